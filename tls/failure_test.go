package tls

import (
	"crypto/rsa"
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"edgepen/certs/certtest"
)

// reasonOf is the reason of an error of Handshake.
func reasonOf(err error) string {
	failed, ok := errors.AsType[*HandshakeError](err)
	if !ok {
		return ""
	}
	return failed.Reason
}

// TestReasonsOfClients provokes every text of crypto/tls that decides about a
// reason, with clients that crypto/tls can play. Where this fails after a new
// version of Go, the texts have changed.
func TestReasonsOfClients(t *testing.T) {
	f := newFarm(t)
	edit := func(edit func(c *stdtls.Config)) *stdtls.Config {
		c := f.client()
		edit(c)
		return c
	}
	with := func(public any) *stdtls.Config { // a certificate for a key that the client does not have
		c, key := f.client(), certtest.NewKey(t)
		der := f.root.Sign(t, public, clientTemplate()).Raw
		c.GetClientCertificate = func(*stdtls.CertificateRequestInfo) (*stdtls.Certificate, error) {
			return &stdtls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
		}
		return c
	}
	garbage := f.client()
	garbageKey := certtest.NewKey(t)
	garbage.GetClientCertificate = func(*stdtls.CertificateRequestInfo) (*stdtls.Certificate, error) {
		return &stdtls.Certificate{Certificate: [][]byte{{1, 2, 3}}, PrivateKey: garbageKey}, nil
	}
	huge := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 8999, 1), E: 65537}
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }
	serverOnly := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }

	open := fixed(profile(t, f.withCA(), Options{ALPN: "h2"}))
	strict := fixed(profile(t, f.withCA(), Options{StrictSNI: true}))
	required := fixed(profile(t, f.withCA(), Options{ClientAuth: "required"}))
	for _, test := range []struct {
		name   string
		term   *Terminator
		client *stdtls.Config
		want   string
	}{
		{"old version", open, edit(func(c *stdtls.Config) { c.MinVersion, c.MaxVersion = stdtls.VersionTLS10, stdtls.VersionTLS11 }), ReasonVersion},
		{"other suite", open, edit(func(c *stdtls.Config) {
			c.MaxVersion, c.CipherSuites = stdtls.VersionTLS12, []uint16{stdtls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		}), ReasonCipher},
		{"other group", open, edit(func(c *stdtls.Config) { c.CurvePreferences = []stdtls.CurveID{stdtls.CurveP521} }), ReasonCipher},
		{"other group, TLS 1.2", open, edit(func(c *stdtls.Config) {
			c.MaxVersion, c.CurvePreferences = stdtls.VersionTLS12, []stdtls.CurveID{stdtls.CurveP521}
		}), ReasonCipher},
		{"other protocol", open, edit(func(c *stdtls.Config) { c.NextProtos = []string{"imap"} }), ReasonALPN},
		{"other name", strict, f.clientOf("other.test"), ReasonName},
		{"no certificate", required, f.client(), ReasonNoClientCert},
		{"of another CA", required, withCert(t, f.client(), certtest.NewRoot(t, "stranger"), nil), ReasonClientCertCA},
		{"expired", required, withCert(t, f.client(), f.root, expired), ReasonClientCertTime},
		{"for servers", required, withCert(t, f.client(), f.root, serverOnly), ReasonCertificate},
		{"no certificate at all", required, garbage, ReasonCertificate},
		{"RSA of 9000 bits", required, with(huge), ReasonCertificate},
		{"the key of another", required, with(certtest.NewKey(t).Public()), ReasonCertificate},
		{"server not trusted", open, &stdtls.Config{ServerName: "localhost", RootCAs: x509.NewCertPool()}, "refused by client: bad_certificate"},
	} {
		before := count(test.term, "failure", test.want)
		o := try(t, test.term, test.client)
		if got := reasonOf(o.server); got != test.want {
			t.Errorf("%s: reason %q, want %q: %v", test.name, got, test.want, o.server)
		}
		if after := count(test.term, "failure", test.want); after != before+1 {
			t.Errorf("%s: counted %d times", test.name, after-before)
		}
	}
}

func clientTemplate() *x509.Certificate {
	return &x509.Certificate{
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// TestReasonsOfStrangers does the same with clients of other makes.
func TestReasonsOfStrangers(t *testing.T) {
	f := newFarm(t)
	term := fixed(profile(t, f.source(), Options{}))
	hello13 := clientHelloOf(t, term, &stdtls.Config{InsecureSkipVerify: true, CurvePreferences: []stdtls.CurveID{stdtls.X25519}})
	hello12 := clientHelloOf(t, term, &stdtls.Config{InsecureSkipVerify: true, MaxVersion: stdtls.VersionTLS12,
		CipherSuites: []uint16{stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, stdtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}})
	for _, test := range []struct{ name, bytes, want string }{
		{"nothing", "", ReasonClosed},
		{"half a ClientHello", hello13[:50], ReasonClosed},
		{"no Finished", hello13[:5+int(hello13[3])<<8+int(hello13[4])], ReasonClosed},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", ReasonPlainHTTP},
		{"SSH", "SSH-2.0-OpenSSH_9.9\r\n", ReasonNotTLS},
		{"SSLv2", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", ReasonNotTLS},
		{"garbage in a record", "\x16\x03\x01\x00\x05\x63\x00\x00\x01\x00", ReasonOther},
		{"a fallback", strings.Replace(hello12, "\xc0\x2c", "\x56\x00", 1), ReasonVersion},
		{"another kind of signature", ed25519Only(hello13), ReasonCertificate},
		{"no kind of signature, TLS 1.2", hello12[:100] + strings.Replace(hello12[100:], "\x00\x0d\x00", "\x7a\x7a\x00", 1), ReasonCipher},
	} {
		_, err := term.Handshake(newScript(test.bytes), time.Time{}, Checks{})
		if got := reasonOf(err); got != test.want {
			t.Errorf("%s: reason %q, want %q: %v", test.name, got, test.want, err)
		}
	}
	near, far := tcpPair(t)
	far.SetLinger(0)
	far.Close()
	if _, err := term.Handshake(near, time.Now().Add(patience), Checks{}); reasonOf(err) != ReasonClosed {
		t.Errorf("reset: reason %q: %v", reasonOf(err), err)
	}
	near, _ = tcpPair(t)
	if _, err := term.Handshake(near, time.Now().Add(-time.Second), Checks{}); reasonOf(err) != ReasonTimeout {
		t.Errorf("too late: reason %q: %v", reasonOf(err), err)
	}
	near.Close()
	if _, err := term.Handshake(near, time.Time{}, Checks{}); reasonOf(err) != ReasonOther || !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed by ourselves: reason %q: %v", reasonOf(err), err)
	}
}

// ed25519Only changes the signature_algorithms of a ClientHello.
func ed25519Only(hello string) string {
	at := strings.Index(hello[100:], "\x00\x0d\x00") + 100
	n := int(hello[at+4])<<8 + int(hello[at+5])
	return hello[:at+6] + strings.Repeat("\x08\x07", n/2) + hello[at+6+n:]
}

// TestReasonsOfAlerts sends each alert there is.
func TestReasonsOfAlerts(t *testing.T) {
	term := fixed(profile(t, newFarm(t).source(), Options{}))
	named := 0
	for code := range 256 {
		_, err := term.Handshake(newScript("\x15\x03\x01\x00\x02\x02"+string([]byte{byte(code)})), time.Time{}, Checks{})
		reason := reasonOf(err)
		alert, ok := strings.CutPrefix(reason, "refused by client: ")
		switch {
		case code == 0 && reason == ReasonClosed:
		case !ok:
			t.Errorf("alert %d: reason %q: %v", code, reason, err)
		case alert != "other":
			named++
		}
		if term.counts.failures[reason] == nil {
			t.Errorf("alert %d: reason %q has no counter", code, reason)
		}
	}
	if named != len(alertReasons()) {
		t.Errorf("%d alerts have names, want %d", named, len(alertReasons()))
	}
	for code, want := range map[byte]string{42: "bad_certificate", 48: "unknown_ca", 45: "certificate_expired", 120: "no_application_protocol", 200: "other"} {
		_, err := term.Handshake(newScript("\x15\x03\x01\x00\x02\x02"+string([]byte{code})), time.Time{}, Checks{})
		if got := reasonOf(err); got != "refused by client: "+want {
			t.Errorf("alert %d: reason %q", code, got)
		}
	}
}

// TestHandshakeErrorText holds the texts, which name what the client asked for.
func TestHandshakeErrorText(t *testing.T) {
	for _, test := range []struct {
		err  HandshakeError
		want string
	}{
		{HandshakeError{Err: errTest}, "TLS handshake: not today"},
		{HandshakeError{Err: errTest, serverName: "a\nb"}, `TLS handshake for "a\nb": not today`},
		{HandshakeError{Err: errTest, serverName: strings.Repeat("x", 1000)}, `TLS handshake for "` + strings.Repeat("x", 255) + `": not today`},
	} {
		if got := test.err.Error(); got != test.want || !errors.Is(&test.err, errTest) {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
	_, err := fixed(nil).Handshake(newScript(""), time.Time{}, Checks{})
	if failed, ok := errors.AsType[*HandshakeError](err); !ok || failed.Hello != nil {
		t.Errorf("a Hello that nobody sent: %+v", err)
	}
}
