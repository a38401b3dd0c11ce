package policy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHandshakes shows that crypto/tls, given the policy, speaks exactly what
// the policy says: a client of one version, suite or group each.
func TestHandshakes(t *testing.T) {
	t.Log("FIPS 140-3 mode:", fips140.Enabled())
	checkHandshakes(t)
}

// TestHandshakesInFIPSMode does the same where only what is approved remains.
// The mode is the process's, hence another one.
func TestHandshakesInFIPSMode(t *testing.T) {
	if fips140.Enabled() {
		return // TestHandshakes did it
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestHandshakes$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=on")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "FIPS 140-3 mode: true") {
		t.Errorf("error %v:\n%s", err, out)
	}
}

func checkHandshakes(t *testing.T) {
	certs := certificates(t)
	for _, o := range []Options{
		{},
		{Profile: "modern"},
		{Compat: true},
		{Compat: true, SSLOptions: "no_tlsv1"},
		{Ciphers: "HIGH:!AES128"},
		{Ciphers: "ECDHE-RSA-AES128-SHA:kRSA:ECDHE-ECDSA-AES128-SHA256:ECDHE+AESGCM"},
		{Groups: "P-256:SecP384r1MLKEM1024"},
		{RequirePQ: true},
	} {
		p, err := Compile(o)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
			continue
		}
		server := &stdtls.Config{Certificates: certs, MinVersion: p.Min, MaxVersion: p.Max, CipherSuites: p.CipherSuites}
		for _, g := range p.Groups {
			server.CurvePreferences = append(server.CurvePreferences, stdtls.CurveID(g))
		}
		check := func(what string, client *stdtls.Config, want bool) {
			client.InsecureSkipVerify = true
			if err := handshake(server, client); (err == nil) != want {
				t.Errorf("%+v: %s: served %v, want %v (%v)", o, what, err == nil, want, err)
			}
		}
		for _, v := range []uint16{stdtls.VersionTLS10, stdtls.VersionTLS11, stdtls.VersionTLS12, stdtls.VersionTLS13} {
			check(stdtls.VersionName(v), &stdtls.Config{MinVersion: v, MaxVersion: v, CipherSuites: every()}, p.Min <= v)
		}
		for _, id := range every() {
			check(stdtls.CipherSuiteName(id), &stdtls.Config{MinVersion: stdtls.VersionTLS12, MaxVersion: stdtls.VersionTLS12, CipherSuites: []uint16{id}},
				slices.Contains(p.CipherSuites, id))
		}
		for _, g := range allGroups() {
			check(g.names[0], &stdtls.Config{MinVersion: stdtls.VersionTLS13, CurvePreferences: []stdtls.CurveID{g.id}}, slices.Contains(p.Groups, uint16(g.id)))
			check(g.names[0]+" in TLS 1.2", &stdtls.Config{MaxVersion: stdtls.VersionTLS12, CurvePreferences: []stdtls.CurveID{g.id}, CipherSuites: ephemeral()},
				!g.hybrid && slices.Contains(p.Groups, uint16(g.id)) && p.Min <= stdtls.VersionTLS12)
		}
	}
}

// every gives all suites of TLS 1.2 and older that crypto/tls has.
func every() (ids []uint16) {
	for _, c := range append(stdtls.CipherSuites(), stdtls.InsecureCipherSuites()...) {
		if slices.Contains(c.SupportedVersions, stdtls.VersionTLS12) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

func ephemeral() (ids []uint16) {
	for _, s := range allSuites() {
		if s.flaws&staticRSA == 0 {
			ids = append(ids, s.id)
		}
	}
	return ids
}

// handshake goes over loopback: with a HelloRetryRequest both sides write at
// once, which a net.Pipe cannot.
func handshake(server, client *stdtls.Config) error {
	listener, err := stdtls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		return err
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			err = conn.(*stdtls.Conn).Handshake()
			conn.Close()
		}
		done <- err
	}()
	conn, err := stdtls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", listener.Addr().String(), client)
	if err == nil {
		conn.Close()
	}
	return errors.Join(<-done, err)
}

// certificates gives an ECDSA and an RSA one.
func certificates(t *testing.T) (list []stdtls.Certificate) {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{ec, rs} {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, stdtls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
	}
	return list
}
