package tls

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edgepen/certs"
	"edgepen/certs/certtest"
)

// shown is the common name of the certificate that a client was shown.
func (o outcome) shown() string {
	if len(o.state.PeerCertificates) == 0 {
		return ""
	}
	return o.state.PeerCertificates[0].Subject.CommonName
}

// TestNames holds which certificate is chosen for a name, and in which order
// those are asked that may have it.
func TestNames(t *testing.T) {
	f := newFarm(t)
	set := load(t, certs.Source{Certs: []string{
		f.cert, f.issue(t, certtest.NewKey(t), "a.example"), f.issue(t, certtest.NewKey(t), "*.example", "w.test"),
	}})
	more, obtained := f.certificate(t, "more.test"), f.certificate(t, "new.test")
	var asked, obtain []string
	m := Material{
		Set: set,
		More: func(name string) []*certs.Certificate {
			asked = append(asked, name)
			if name == "more.test" {
				return []*certs.Certificate{more}
			}
			return nil
		},
		Obtain: func(ctx context.Context, name string) []*certs.Certificate {
			if _, limited := ctx.Deadline(); !limited {
				t.Error("nothing limits how long a certificate may take")
			}
			obtain = append(obtain, name)
			if name == "new.test" {
				return []*certs.Certificate{obtained}
			}
			return nil
		},
	}
	lenient, strict := fixed(profileOf(t, m, Options{})), fixed(profileOf(t, m, Options{StrictSNI: true}))
	for _, test := range []struct {
		name, want string
		strict     bool   // served by strict as well
		asked      string // of More, then of Obtain
	}{
		{"", "server", false, ""},
		{"localhost", "server", true, ""},
		{"LocalHost", "server", true, ""},
		{"a.example", "a.example", true, ""},
		{"b.example", "*.example", true, ""},
		{"w.test", "*.example", true, ""},
		{"more.test", "more.test", true, "more.test|"},
		{"new.test", "new.test", true, "new.test|new.test"},
		{"c.b.example", "server", false, "c.b.example|c.b.example"},
		{"not a name", "server", false, ""},
	} {
		for _, term := range []*Terminator{lenient, strict} {
			asked, obtain = nil, nil
			o := try(t, term, &stdtls.Config{InsecureSkipVerify: true, ServerName: test.name})
			if got := strings.Join(asked, ",") + "|" + strings.Join(obtain, ","); got != test.asked && got != test.asked+"|" {
				t.Errorf("%q: asked %q, want %q", test.name, got, test.asked)
			}
			if term == strict && !test.strict {
				if o.client == nil || !strings.Contains(o.client.Error(), "unrecognized name") {
					t.Errorf("%q: the client sees %v", test.name, o.client)
				}
			} else if o.both() != nil || o.shown() != test.want {
				t.Errorf("%q: served %s, want %s (%v)", test.name, o.shown(), test.want, o.both())
			}
		}
	}
}

// TestNoDefault holds that a Profile that has certificates of More alone
// refuses the other names.
func TestNoDefault(t *testing.T) {
	f := newFarm(t)
	cert := f.certificate(t, "more.test")
	term := fixed(profileOf(t, Material{Set: load(t, certs.Source{}), More: func(name string) []*certs.Certificate {
		if name == "more.test" {
			return []*certs.Certificate{cert}
		}
		return nil
	}}, Options{}))
	if o := try(t, term, f.clientOf("more.test")); o.both() != nil {
		t.Error(o.both())
	}
	for name, want := range map[string]string{
		"other.test": `TLS handshake for "other.test": no certificate for this name`,
		"":           `TLS handshake: the client names no host`,
	} {
		o := try(t, term, &stdtls.Config{InsecureSkipVerify: true, ServerName: name})
		if o.server == nil || o.server.Error() != want || !strings.Contains(o.client.Error(), "unrecognized name") {
			t.Errorf("%q: server %v, client %v", name, o.server, o.client)
		}
	}
}

// twoKinds writes an RSA and an ECDSA certificate for localhost.
func twoKinds(t testing.TB, f *farm) certs.Source {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return certs.Source{Certs: []string{f.issue(t, rsaKey, "localhost"), f.issue(t, certtest.NewKey(t), "localhost")}}
}

// TestKindOfKey holds that clients get ECDSA where they can, and RSA where
// they cannot, also for names that no certificate is for.
func TestKindOfKey(t *testing.T) {
	f := newFarm(t)
	term := fixed(profile(t, twoKinds(t, f), Options{}))
	rsaOnly := func(c *stdtls.Config) { c.CipherSuites = []uint16{stdtls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256} }
	for _, test := range []struct {
		name    string
		server  string
		version uint16
		edit    func(*stdtls.Config)
		want    x509.PublicKeyAlgorithm
	}{
		{"TLS 1.3", "localhost", stdtls.VersionTLS13, nil, x509.ECDSA},
		{"TLS 1.2", "localhost", stdtls.VersionTLS12, nil, x509.ECDSA},
		{"TLS 1.2, RSA only", "localhost", stdtls.VersionTLS12, rsaOnly, x509.RSA},
		{"TLS 1.2, RSA only, unknown name", "other.test", stdtls.VersionTLS12, rsaOnly, x509.RSA},
		{"unknown name", "other.test", stdtls.VersionTLS13, nil, x509.ECDSA},
	} {
		client := &stdtls.Config{InsecureSkipVerify: true, ServerName: test.server, MaxVersion: test.version}
		if test.edit != nil {
			test.edit(client)
		}
		o := try(t, term, client)
		if o.both() != nil {
			t.Errorf("%s: %v", test.name, o.both())
		} else if got := o.state.PeerCertificates[0].PublicKeyAlgorithm; got != test.want || o.info.ServerName != test.server {
			t.Errorf("%s: %v for %s, want %v", test.name, got, o.info.ServerName, test.want)
		}
	}
}

// sniPath writes two names, each with CAs of its own.
func sniPath(t *testing.T, f *farm, cas map[string]*certtest.Authority) string {
	t.Helper()
	dir := t.TempDir()
	for name, ca := range cas {
		pem, err := os.ReadFile(f.issue(t, certtest.NewKey(t), name))
		if err != nil {
			t.Fatal(err)
		}
		for file, content := range map[string][]byte{name + ".crt": pem, name + ".ca": []byte(certtest.PEM(ca.Cert))} {
			if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// TestOwnCAs holds that the clients of a name with CAs of its own are verified
// against them, that a session of one name does not open the other, and that
// names without CAs of their own go by those of everybody.
func TestOwnCAs(t *testing.T) {
	f := newFarm(t)
	a, b := certtest.NewRoot(t, "a"), certtest.NewRoot(t, "b")
	source := f.withCA()
	source.SNIPath = sniPath(t, f, map[string]*certtest.Authority{"a.test": a, "b.test": b})
	elsewhere := f.certificate(t, "more.test") // from outside the Set
	elsewhere.CAs = x509.NewCertPool()
	elsewhere.CAs.AddCert(b.Cert)
	m := Material{Set: load(t, source), More: func(name string) []*certs.Certificate {
		return map[string][]*certs.Certificate{"more.test": {elsewhere}}[name]
	}}
	for _, mode := range []string{"required", "optional"} {
		p := profileOf(t, m, Options{ClientAuth: mode})
		if lines := p.Explain(); lines[len(lines)-1] != "client certificates for a.test, b.test: each name's own CAs vouch for them instead" {
			t.Errorf("explained as %q", lines)
		}
		term := fixed(p)
		for _, ca := range []*certtest.Authority{a, b, f.root} {
			for name, want := range map[string]*certtest.Authority{"a.test": a, "b.test": b, "more.test": b, "localhost": f.root} {
				o := try(t, term, withCert(t, f.clientOf(name), ca, nil))
				if (o.both() == nil) != (ca == want) || o.info.ClientVerified != (ca == want) {
					t.Errorf("%s, %s: a client of %s: %v", mode, name, ca.Cert.Subject.CommonName, o.both())
				}
			}
		}
	}
}

// oneSession hands a client's last session out whatever name is asked for.
type oneSession struct{ state *stdtls.ClientSessionState }

func (s *oneSession) Get(string) (*stdtls.ClientSessionState, bool) { return s.state, s.state != nil }
func (s *oneSession) Put(_ string, state *stdtls.ClientSessionState) {
	if state != nil {
		s.state = state
	}
}

// TestSessionOfAnotherName resumes at b.test what was begun at a.test.
func TestSessionOfAnotherName(t *testing.T) {
	f := newFarm(t)
	a, b := certtest.NewRoot(t, "a"), certtest.NewRoot(t, "b")
	source := f.withCA()
	source.SNIPath = sniPath(t, f, map[string]*certtest.Authority{"a.test": a, "b.test": b, "c.test": a})
	for _, mode := range []string{"required", "optional"} {
		for _, version := range []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13} {
			term := fixed(profile(t, source, Options{ClientAuth: mode}))
			cache := &oneSession{}
			visit := func(name string) outcome {
				client := withCert(t, &stdtls.Config{InsecureSkipVerify: true, ServerName: name}, a, nil)
				client.MaxVersion, client.ClientSessionCache = version, cache
				return try(t, term, client)
			}
			if o := visit("a.test"); o.both() != nil {
				t.Fatal(o.both())
			}
			if o := visit("c.test"); o.both() != nil || !o.info.Resumed {
				t.Errorf("%s: a name with the same CAs: resumed %v (%v)", mode, o.info.Resumed, o.both())
			}
			if o := visit("b.test"); o.server == nil {
				t.Errorf("%s: served %s with a session of a.test: %+v", mode, "b.test", o.info)
			}
		}
	}
}

// aHello is a ClientHello as a callback gets it, with its handshake.
func aHello(t testing.TB, term *Terminator, client *stdtls.Config) *stdtls.ClientHelloInfo {
	t.Helper()
	var hello *stdtls.ClientHelloInfo
	base := term.base.Clone()
	base.GetConfigForClient = func(chi *stdtls.ClientHelloInfo) (*stdtls.Config, error) {
		config, err := handshakeOf(chi).config(chi)
		if err == nil {
			config = config.Clone()
			config.GetCertificate = func(chi *stdtls.ClientHelloInfo) (*stdtls.Certificate, error) {
				hello = chi
				return pickCertificate(chi)
			}
		}
		return config, err
	}
	old := term.base
	term.base = base
	defer func() { term.base = old }()
	if o := try(t, term, client); o.both() != nil {
		t.Fatal(o.both())
	}
	return hello
}

// TestChoiceAllocations holds that nothing is allocated to choose a
// configuration and, where a name has one certificate, the certificate.
func TestChoiceAllocations(t *testing.T) {
	f := newFarm(t)
	for name, source := range map[string]certs.Source{"one": f.source(), "two": twoKinds(t, f)} {
		term := fixed(profile(t, source, Options{}))
		hello := aHello(t, term, f.client())
		if n := testing.AllocsPerRun(100, func() {
			if _, err := term.base.GetConfigForClient(hello); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations to choose a configuration", name, n)
		}
		limit := map[string]float64{"one": 0, "two": 2}[name] // crypto/tls's, to compare the algorithms
		if n := testing.AllocsPerRun(100, func() {
			if _, err := pickCertificate(hello); err != nil {
				t.Error(err)
			}
		}); n > limit {
			t.Errorf("%s: %v allocations to choose a certificate", name, n)
		}
	}
}

// TestObtainUntilDeadline holds that a certificate that takes too long ends
// the handshake at its deadline.
func TestObtainUntilDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term := fixed(profileOf(t, Material{Set: load(t, certs.Source{}), Obtain: func(ctx context.Context, _ string) []*certs.Certificate {
			<-ctx.Done()
			return nil
		}}, Options{}))
		near, far := net.Pipe()
		done := make(chan error)
		go func() { done <- stdtls.Client(far, &stdtls.Config{ServerName: "a.test"}).Handshake() }()
		begun := time.Now()
		_, err := term.Handshake(near, begun.Add(10*time.Second), Checks{})
		if got, ok := errors.AsType[*HandshakeError](err); !ok || got.Reason != ReasonTimeout || time.Since(begun) != 10*time.Second {
			t.Errorf("error %v after %v", err, time.Since(begun))
		}
		near.Close()
		<-done
	})
}
