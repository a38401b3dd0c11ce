package tls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edgepen/certs"
	"edgepen/certs/certtest"
	"edgepen/tls/policy"
)

func TestHandshakeKeyKinds(t *testing.T) {
	f := newFarm(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"RSA": rsaKey, "P-256": certtest.NewKey(t), "P-521": p521, "Ed25519": edKey} {
		leaf := f.middle.Issue(t, "server", key, nil)
		chained := certs.Source{Certs: []string{certtest.Write(t, "c.pem", certtest.PEM(leaf, f.middle.Cert))}, Keys: []string{certtest.Write(t, "k.pem", certtest.KeyPEM(t, key))}}
		alone := certs.Source{
			Certs:  []string{certtest.Write(t, "c.pem", certtest.PEM(leaf), certtest.KeyPEM(t, key))},
			CAFile: certtest.Write(t, "ca.pem", certtest.PEM(f.middle.Cert, f.root.Cert)),
		}
		for _, source := range []certs.Source{chained, alone} {
			for version, want := range map[uint16]string{stdtls.VersionTLS12: "TLS 1.2", stdtls.VersionTLS13: "TLS 1.3"} {
				client := f.client()
				client.MaxVersion = version
				o := try(t, fixed(profile(t, source, Options{})), client)
				if o.both() != nil || o.info.Version != want || o.info.ServerName != "localhost" || o.info.CipherSuite == "" {
					t.Errorf("%s, %s: %+v (%v)", name, want, o.info, o.both())
				}
				if len(o.state.PeerCertificates) != 2 {
					t.Errorf("%s, %s: %d certificates sent, want 2", name, want, len(o.state.PeerCertificates))
				}
			}
		}
	}
}

func TestClientCertificates(t *testing.T) {
	f := newFarm(t)
	stranger := certtest.NewRoot(t, "stranger")
	serverOnly := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }
	for _, test := range []struct {
		name   string
		client *stdtls.Config
		want   string // in the server's error
	}{
		{"good", withCert(t, f.client(), f.root, nil), ""},
		{"through an intermediate", withCert(t, f.client(), f.middle, nil), ""},
		{"none", f.client(), "client didn't provide a certificate"},
		{"of another CA", withCert(t, f.client(), stranger, nil), "unknown authority"},
		{"for servers", withCert(t, f.client(), f.root, serverOnly), "incompatible key usage"},
		{"expired", withCert(t, f.client(), f.root, expired), "expired"},
	} {
		for _, version := range []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13} {
			client := test.client.Clone()
			client.MaxVersion = version
			o := try(t, fixed(profile(t, f.withCA(), Options{ClientAuth: "required"})), client)
			switch {
			case test.want == "" && o.both() != nil:
				t.Errorf("%s, %s: %v", test.name, stdtls.VersionName(version), o.both())
			case test.want != "" && (o.server == nil || o.client == nil || !strings.Contains(o.server.Error(), test.want)):
				t.Errorf("%s, %s: server %v, client %v, want %q", test.name, stdtls.VersionName(version), o.server, o.client, test.want)
			}
		}
	}
}

// TestCertificateRequest holds what clients are asked for: nothing without
// RequireClientCert, otherwise a certificate of the CAs in -G.
func TestCertificateRequest(t *testing.T) {
	f := newFarm(t)
	for _, require := range []bool{false, true} {
		var asked [][]byte
		client := withCert(t, f.client(), f.root, nil)
		give := client.GetClientCertificate
		client.GetClientCertificate = func(info *stdtls.CertificateRequestInfo) (*stdtls.Certificate, error) {
			asked = info.AcceptableCAs
			return give(info)
		}
		o := try(t, fixed(profile(t, f.withCA(), Options{ClientAuth: map[bool]string{true: "required"}[require]})), client)
		if o.both() != nil {
			t.Fatal(o.both())
		}
		if want := map[bool]int{true: 1}[require]; len(asked) != want || want == 1 && string(asked[0]) != string(f.root.Cert.RawSubject) {
			t.Errorf("required %v: asked for %q", require, asked)
		}
	}
}

// TestResumption changes the profile between a client's two connections.
func TestResumption(t *testing.T) {
	f := newFarm(t)
	stranger := certtest.NewRoot(t, "stranger")
	plain := f.source()
	withCA := f.withCA()
	otherCA := certs.Source{Certs: []string{f.cert}, CAFile: certtest.Write(t, "other.pem", certtest.PEM(stranger.Cert))}
	renewed := certs.Source{Certs: []string{f.issue(t, certtest.NewKey(t), "localhost")}}
	required := Options{ClientAuth: "required"}

	for _, test := range []struct {
		name            string
		before, after   *Profile
		cert            bool // the client has one
		served, resumed bool
	}{
		{"the same", profile(t, plain, Options{}), profile(t, plain, Options{}), false, true, true},
		{"a new certificate", profile(t, plain, Options{}), profile(t, renewed, Options{}), false, true, true},
		{"other options", profile(t, plain, Options{}), profile(t, plain, Options{Policy: policy.Options{Compat: true}}), false, true, true},
		{"the same CA", profile(t, withCA, required), profile(t, withCA, required), true, true, true},
		{"certificate required, client has none", profile(t, plain, Options{}), profile(t, withCA, required), false, false, false},
		{"certificate required, client has one", profile(t, plain, Options{}), profile(t, withCA, required), true, true, false},
		{"another CA", profile(t, withCA, required), profile(t, otherCA, required), true, false, false},
		{"no longer required", profile(t, withCA, required), profile(t, plain, Options{}), true, true, false},
	} {
		for _, version := range []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13} {
			client := f.client()
			if test.cert {
				withCert(t, client, f.root, nil)
			}
			client.MaxVersion = version
			client.ClientSessionCache = stdtls.NewLRUClientSessionCache(1)
			current := test.before
			term := NewTerminator(func() *Profile { return current })
			if first := try(t, term, client); first.both() != nil || first.info.Resumed {
				t.Fatalf("%s: the first connection: %+v", test.name, first)
			}
			current = test.after
			second := try(t, term, client)
			if (second.both() == nil) != test.served || second.info.Resumed != test.resumed {
				t.Errorf("%s, %s: served %v, resumed %v, want %v, %v (%v)", test.name, stdtls.VersionName(version),
					second.both() == nil, second.info.Resumed, test.served, test.resumed, second.both())
			}
		}
	}
}

// TestTighterVersion holds that a session of TLS 1.2 ends where 1.3 is the floor.
func TestTighterVersion(t *testing.T) {
	f := newFarm(t)
	client := f.client()
	client.MaxVersion = stdtls.VersionTLS12
	client.ClientSessionCache = stdtls.NewLRUClientSessionCache(1)
	current := profile(t, f.source(), Options{})
	term := NewTerminator(func() *Profile { return current })
	if o := try(t, term, client); o.both() != nil {
		t.Fatal(o.both())
	}
	current = profile(t, f.source(), Options{Policy: policy.Options{MinVersion: "tls1.3"}})
	o := try(t, term, client)
	if o.server == nil || !strings.Contains(o.server.Error(), `for "localhost": tls: client offered only unsupported versions`) {
		t.Errorf("error %v", o.server)
	}
}

// TestProfilePerHandshake holds that current is called once for a handshake,
// a repeated ClientHello included, and that nothing is made for it.
func TestProfilePerHandshake(t *testing.T) {
	f := newFarm(t)
	p, calls := profile(t, f.source(), Options{}), 0
	p.main.config.CurvePreferences = []stdtls.CurveID{stdtls.CurveP384} // the client sends no share for it at first
	term := NewTerminator(func() *Profile { calls++; return p })
	var hello *stdtls.ClientHelloInfo
	get := term.base.GetConfigForClient
	term.base.GetConfigForClient = func(chi *stdtls.ClientHelloInfo) (*stdtls.Config, error) {
		hello = chi
		return get(chi)
	}
	client := f.client()
	client.CurvePreferences = []stdtls.CurveID{stdtls.X25519, stdtls.CurveP384}
	if o := try(t, term, client); o.both() != nil || calls != 1 || !o.state.HelloRetryRequest {
		t.Fatalf("current was called %d times (%v, retry %v)", calls, o.both(), o.state.HelloRetryRequest)
	}
	if allocs := testing.AllocsPerRun(100, func() {
		if config, err := get(hello); err != nil || config != p.main.config {
			t.Error("not the profile's configuration")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestNoProfile(t *testing.T) {
	o := try(t, fixed(nil), newFarm(t).client())
	if o.server == nil || o.server.Error() != `TLS handshake for "localhost": no certificate is configured` {
		t.Errorf("error %v", o.server)
	}
}

func TestNotTLS(t *testing.T) {
	term := fixed(profile(t, certs.Source{SelfSigned: certs.DefaultNames}, Options{}))
	for _, test := range []struct {
		name, bytes string
		http        bool
	}{
		{"nothing", "", false},
		{"GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
		{"POST", "POST /a HTTP/1.1\r\n\r\n", true},
		{"OPTIONS", "OPTIONS * HTTP/1.1\r\n\r\n", true},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true},
		{"SSH", "SSH-2.0-OpenSSH_9.9\r\n", false},
		{"SMTP", "EHLO example.com\r\n", false},
		{"GETX", "GETX / HTTP/1.1\r\n\r\n", false},
		{"zeros", strings.Repeat("\x00", 100), false},
		{"SSLv2 ClientHello", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", false},
		{"oversize record", "\x16\x03\x01\xff\xff" + strings.Repeat("\x01", 1000), false},
		{"oversize ClientHello", "\x16\x03\x01\x00\x04\x01\xff\xff\xff", false},
		{"empty records", strings.Repeat("\x16\x03\x01\x00\x00", 100), false},
		{"cut ClientHello", "\x16\x03\x01\x00\x20\x01\x00\x00\x1c\x03\x03", false},
		{"alert", "\x15\x03\x01\x00\x02\x02\x28", false},
	} {
		_, err := term.Handshake(newScript(test.bytes), time.Time{}, Checks{})
		if err == nil || IsPlainHTTP(err) != test.http {
			t.Errorf("%s: error %v, plain HTTP %v, want %v", test.name, err, IsPlainHTTP(err), test.http)
		}
	}
	if IsPlainHTTP(nil) || IsPlainHTTP(io.EOF) {
		t.Error("plain HTTP without a record")
	}
}

// TestHalfOpen holds that a silent client, and one that sends a byte now and
// then, are cut off at the deadline, and that no goroutine stays behind.
func TestHalfOpen(t *testing.T) {
	for _, drip := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			term := fixed(profile(t, certs.Source{SelfSigned: certs.DefaultNames}, Options{}))
			near, far := net.Pipe()
			dripped := make(chan struct{})
			if !drip {
				close(dripped)
			} else {
				go func() {
					defer close(dripped)
					for _, c := range []byte("\x16\x03\x01\x01\x00\x01" + strings.Repeat("\x00", 250)) {
						if _, err := far.Write([]byte{c}); err != nil {
							return
						}
						<-time.After(time.Second)
					}
				}()
			}
			begun := time.Now()
			_, err := term.Handshake(near, begun.Add(10*time.Second), Checks{})
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != 10*time.Second {
				t.Errorf("drip %v: error %v after %v", drip, err, time.Since(begun))
			}
			near.Close()
			far.Close()
			<-dripped
		})
	}
}

// TestDeadlineCleared lets more time pass after a handshake than it had.
func TestDeadlineCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term := fixed(profile(t, certs.Source{SelfSigned: certs.DefaultNames}, Options{}))
		near, far := net.Pipe()
		client := stdtls.Client(far, &stdtls.Config{InsecureSkipVerify: true})
		go func() {
			client.Handshake()
			io.Copy(client, client)
		}()
		conn, err := term.Handshake(near, time.Now().Add(time.Second), Checks{})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		conn.Write([]byte("echo"))
		if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
			t.Error(err)
		}
		conn.Close()
		far.Close()
	})
}

// TestCloseWrite half-closes: the client sees the end of the TLS stream and of
// the TCP stream, and can go on sending.
func TestCloseWrite(t *testing.T) {
	f := newFarm(t)
	term := fixed(profile(t, f.source(), Options{}))
	near, far := tcpPair(t)
	far.SetDeadline(time.Now().Add(patience))
	client := stdtls.Client(far, f.client())
	said := make(chan error, 1)
	go func() {
		if _, err := io.ReadAll(client); err != nil {
			said <- err
			return
		}
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			said <- errors.New("the TCP stream has not ended")
			return
		}
		_, err := client.Write([]byte("late"))
		said <- errors.Join(err, client.CloseWrite())
	}()
	conn, err := term.Handshake(near, time.Now().Add(patience), Checks{})
	if err != nil {
		t.Fatal(err)
	}
	if conn.NetConn() != near {
		t.Error("NetConn is not the accepted connection")
	}
	if err := conn.CloseWrite(); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "late" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := <-said; err != nil {
		t.Error(err)
	}
}
