package upstream

import (
	"context"
	stdtls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"edgepen/certs/certtest"
)

// patience is how long a test waits for what has to happen.
const patience = 10 * time.Second

// pki is a CA with what it has issued.
type pki struct {
	root   *certtest.Authority
	middle *certtest.Authority
	own    *stdtls.Certificate // our certificate for servers
}

func newPKI(t testing.TB) *pki {
	p := &pki{root: certtest.NewRoot(t, "Test Root")}
	p.middle = p.root.Intermediate(t, "Test Intermediate")
	own := p.issue(t, p.root, func(c *x509.Certificate) { c.Subject.CommonName = "the proxy" })
	p.own = &own
	return p
}

// issue makes a server's certificate, for localhost and loopback unless edit
// says otherwise, with its intermediate if it needs one.
func (p *pki) issue(t testing.TB, by *certtest.Authority, edit func(*x509.Certificate)) stdtls.Certificate {
	t.Helper()
	key := certtest.NewKey(t)
	cert := stdtls.Certificate{Certificate: [][]byte{by.Issue(t, "server", key, edit).Raw}, PrivateKey: key}
	if by != p.root {
		cert.Certificate = append(cert.Certificate, by.Cert.Raw)
	}
	return cert
}

func (p *pki) roots() Material { return Material{Roots: pool(p.root.Cert)} }

func pool(certs ...*x509.Certificate) *x509.CertPool {
	all := x509.NewCertPool()
	for _, c := range certs {
		all.AddCert(c)
	}
	return all
}

func client(t testing.TB, o Options, m Material) *Client {
	t.Helper()
	c, err := New(o, m)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pipe is the two ends of a connection in memory, without any buffer, that does
// not outlast the test's patience.
func pipe(t testing.TB) (ours, theirs net.Conn) {
	t.Helper()
	ours, theirs = net.Pipe()
	limit(t, ours, theirs)
	return ours, theirs
}

// loopback is the same over TCP.
func loopback(t testing.TB) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if ours, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if theirs, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	limit(t, ours, theirs)
	return ours, theirs
}

func limit(t testing.TB, conns ...net.Conn) {
	for _, c := range conns {
		c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a test that hangs fails otherwise
		t.Cleanup(func() { c.Close() })
	}
}

// try does a handshake with a server of crypto/tls and returns what both know
// of it.
func try(t testing.TB, c *Client, host string, config *stdtls.Config) (client, server stdtls.ConnectionState, err error) {
	t.Helper()
	ours, theirs := loopback(t)
	srv := stdtls.Server(theirs, config)
	served := make(chan struct{})
	go func() {
		srv.Handshake()               //nolint:errcheck // the client's error is looked at
		theirs.Read(make([]byte, 32)) //nolint:errcheck // until the client has gone
		close(served)
	}()
	conn, err := c.Handshake(t.Context(), ours, host)
	if err == nil {
		client = conn.ConnectionState()
	}
	ours.Close()
	<-served
	return client, srv.ConnectionState(), err
}

func TestNew(t *testing.T) {
	p := newPKI(t)
	skip := "the servers' certificates are not verified: whoever can answer in the place of a server reads and changes everything; give the CA that issued them instead"
	for _, test := range []struct {
		options  Options
		material Material
		warnings []string
		err      string
	}{
		{Options{}, Material{}, nil, ""},
		{Options{On: true, CAFile: "system", MinVersion: "tls1.2", ALPN: "h2, http/1.1", ServerName: "a.example."}, Material{}, nil, ""},
		{Options{CAFile: "ca.pem", CADir: "cas", Cert: "c.pem", Key: "k.pem", MinVersion: "tls1.3", ServerName: "2001:db8::1"}, Material{pool(p.root.Cert), p.own}, nil, ""},
		{Options{SkipVerify: true}, Material{}, []string{skip}, ""},
		{Options{SkipVerify: true, CAFile: "ca.pem"}, p.roots(), []string{skip, "the CAs to verify servers by have no effect, since servers are not verified"}, ""},
		{Options{CAFile: "ca.pem"}, Material{}, nil, "the CAs to verify servers by (ca.pem) have not been read"},
		{Options{CAFile: "system", CADir: "cas"}, Material{}, nil, "the CAs to verify servers by (system cas) have not been read"},
		{Options{Cert: "c.pem"}, Material{}, nil, "the certificate to show to servers (c.pem) has not been read"},
		{Options{MinVersion: "tls1"}, Material{}, nil, `protocol version "tls1" for servers not known; expected tls1.2 or tls1.3`},
		{Options{ALPN: "h2,"}, Material{}, nil, `ALPN list "h2," for servers: expected names of 1 to 255 bytes, separated by commas`},
		{Options{ServerName: "/run/sock"}, Material{}, nil, `server name "/run/sock": expected a host name or an IP address`},
		{Options{ServerName: "a..b"}, Material{}, nil, `server name "a..b": expected a host name or an IP address`},
		{Options{ServerName: strings.Repeat("a.", 127) + "ab"}, Material{}, nil, `server name "` + strings.Repeat("a.", 127) + `a": expected a host name or an IP address`},
	} {
		c, err := New(test.options, test.material)
		if test.err != "" {
			if err == nil || err.Error() != test.err {
				t.Errorf("%+v: error %v, want %s", test.options, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", test.options, err)
		} else if !slices.Equal(c.Warnings(), test.warnings) {
			t.Errorf("%+v: warnings %q", test.options, c.Warnings())
		}
	}
}

// TestNames says what a server is asked for, and that it is verified by it.
func TestNames(t *testing.T) {
	p := newPKI(t)
	cert := p.issue(t, p.middle, func(c *x509.Certificate) {
		c.DNSNames = []string{"a.example", "my_server"}
		c.IPAddresses = []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("fe80::1")}
	})
	for _, test := range []struct {
		host    string
		options Options
		sni     string
		err     string
	}{
		{"a.example", Options{}, "a.example", ""},
		{"A.Example.", Options{}, "a.example", ""},
		{"my_server", Options{}, "my_server", ""},
		{"192.0.2.1", Options{}, "", ""},
		{"::ffff:192.0.2.1", Options{}, "", ""},
		{"[fe80::1]", Options{}, "", ""},
		{"fe80::1%eth0", Options{}, "", ""},
		{"b.example", Options{ServerName: "a.example"}, "a.example", ""},
		{"192.0.2.9", Options{ServerName: "a.example."}, "a.example", ""},
		{"b.example", Options{ServerName: "192.0.2.1"}, "", ""},
		{"/run/sock", Options{ServerName: "a.example"}, "a.example", ""},
		{"/run/sock", Options{SkipVerify: true}, "", ""},
		{"b.example", Options{SkipVerify: true}, "b.example", ""},
		{"/run/sock", Options{}, "", "TLS with server /run/sock: a Unix socket has no name to verify a certificate by; give a server name"},
		{"a b", Options{}, "", "TLS with server a b: it is no host name or IP address to verify a certificate by; give a server name"},
		{"b.example", Options{}, "b.example", "TLS with server b.example: its certificate is for a.example, my_server, 192.0.2.1, fe80::1; expected b.example"},
		{"192.0.2.9", Options{}, "", "TLS with server 192.0.2.9: its certificate is for a.example, my_server, 192.0.2.1, fe80::1; expected 192.0.2.9"},
		{"a.example", Options{ServerName: "b.example"}, "b.example", "TLS with server a.example: its certificate is for a.example, my_server, 192.0.2.1, fe80::1; expected b.example"},
	} {
		var sni string
		_, _, err := try(t, client(t, test.options, p.roots()), test.host, &stdtls.Config{
			GetCertificate: func(hello *stdtls.ClientHelloInfo) (*stdtls.Certificate, error) {
				sni = strings.ToLower(hello.ServerName)
				return &cert, nil
			},
		})
		if got := text(err); got != test.err || sni != test.sni {
			t.Errorf("%s with %+v: asked for %q, error %s\nwant %q, %s", test.host, test.options, sni, got, test.sni, test.err)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestPolicy tries servers that can do one thing only.
func TestPolicy(t *testing.T) {
	p := newPKI(t)
	cert := p.issue(t, p.root, nil)
	for _, test := range []struct {
		name    string
		options Options
		server  *stdtls.Config
		ok      bool
	}{
		{"TLS 1.3", Options{}, &stdtls.Config{MinVersion: stdtls.VersionTLS13}, true},
		{"TLS 1.2", Options{}, &stdtls.Config{MaxVersion: stdtls.VersionTLS12}, true},
		{"TLS 1.2 with a floor of 1.3", Options{MinVersion: "tls1.3"}, &stdtls.Config{MaxVersion: stdtls.VersionTLS12}, false},
		{"TLS 1.1", Options{}, &stdtls.Config{MinVersion: stdtls.VersionTLS10, MaxVersion: stdtls.VersionTLS11}, false},
		{"CBC", Options{}, &stdtls.Config{MaxVersion: stdtls.VersionTLS12, CipherSuites: []uint16{stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, false},
		{"ChaCha20", Options{}, &stdtls.Config{MaxVersion: stdtls.VersionTLS12, CipherSuites: []uint16{stdtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}, true},
		{"hybrid", Options{}, &stdtls.Config{CurvePreferences: []stdtls.CurveID{stdtls.X25519MLKEM768}}, true},
		{"P-384", Options{}, &stdtls.Config{CurvePreferences: []stdtls.CurveID{stdtls.CurveP384}}, true},
		{"P-521", Options{}, &stdtls.Config{CurvePreferences: []stdtls.CurveID{stdtls.CurveP521}}, false},
		{"ALPN", Options{ALPN: "http/1.1"}, &stdtls.Config{NextProtos: []string{"h2", "http/1.1"}}, true},
		{"no ALPN there", Options{ALPN: "http/1.1"}, &stdtls.Config{}, true},
	} {
		test.server.Certificates = []stdtls.Certificate{cert}
		state, _, err := try(t, client(t, test.options, p.roots()), "localhost", test.server)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
		if want := test.server.NextProtos != nil; want != (state.NegotiatedProtocol == "http/1.1") {
			t.Errorf("%s: agreed on %q", test.name, state.NegotiatedProtocol)
		}
	}
}

func TestClientCertificate(t *testing.T) {
	p := newPKI(t)
	cert := p.issue(t, p.root, nil)
	material := Material{Roots: pool(p.root.Cert), Certificate: p.own}
	shown := func(m Material, server *stdtls.Config) (string, error) {
		server.Certificates = []stdtls.Certificate{cert}
		server.MaxVersion = stdtls.VersionTLS12 // 1.3 servers judge the certificate after our handshake is done
		_, state, err := try(t, client(t, Options{}, m), "localhost", server)
		if len(state.PeerCertificates) == 0 {
			return "", err
		}
		return state.PeerCertificates[0].Subject.CommonName, err
	}
	for _, test := range []struct {
		name     string
		material Material
		server   *stdtls.Config
		shown    string
		err      string
	}{
		{"not asked", material, &stdtls.Config{}, "", ""},
		{"asked", material, &stdtls.Config{ClientAuth: stdtls.RequireAndVerifyClientCert, ClientCAs: pool(p.root.Cert)}, "the proxy", ""},
		{"asked with another's CA", material, &stdtls.Config{ClientAuth: stdtls.RequireAnyClientCert, ClientCAs: pool(p.middle.Cert)}, "the proxy", ""},
		{"none to show", p.roots(), &stdtls.Config{ClientAuth: stdtls.RequestClientCert}, "", ""},
		{"none where one is needed", p.roots(), &stdtls.Config{ClientAuth: stdtls.RequireAnyClientCert}, "",
			"TLS with server localhost: remote error: tls: handshake failure (offered: TLS 1.2 and 1.3, with ECDHE and AEAD; no client certificate is configured, if it asks for one)"},
		{"refused", material, &stdtls.Config{ClientAuth: stdtls.RequireAndVerifyClientCert, ClientCAs: pool(p.middle.Cert)}, "",
			"TLS with server localhost: remote error: tls: unknown certificate authority (is our client certificate one that it accepts?)"},
	} {
		if got, err := shown(test.material, test.server); got != test.shown || text(err) != test.err {
			t.Errorf("%s: shown %q, error %v\nwant %q, %s", test.name, got, err, test.shown, test.err)
		}
	}
}

// TestSessions has two servers of the same name that do not know each other's
// sessions: each resumes its own.
func TestSessions(t *testing.T) {
	p := newPKI(t)
	cert := p.issue(t, p.root, func(c *x509.Certificate) { c.DNSNames = []string{"farm.example"} })
	options := Options{ServerName: "farm.example"}
	servers := []string{serve(t, cert), serve(t, cert)}
	for _, c := range []*Client{client(t, options, p.roots()), client(t, options, p.roots())} {
		for turn := range 3 {
			for _, address := range servers {
				if resumed := visit(t, c, address); resumed != (turn > 0) {
					t.Errorf("turn %d: resumed %v", turn, resumed)
				}
				if visit(t, c.Fresh(), address) { // nor does it use up what the next turn resumes
					t.Errorf("turn %d: a client without a memory has resumed", turn)
				}
			}
		}
	}
}

// serve echoes a byte to each client and returns the server's address.
func serve(t *testing.T, cert stdtls.Certificate) string {
	t.Helper()
	l, err := stdtls.Listen("tcp", "127.0.0.1:0", &stdtls.Config{Certificates: []stdtls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // as in limit
			b := make([]byte, 1)
			if _, err := c.Read(b); err == nil {
				c.Write(b) //nolint:errcheck // the client complains
			}
			c.Close()
		}
	}()
	return l.Addr().String()
}

func visit(t *testing.T, c *Client, address string) (resumed bool) {
	t.Helper()
	transport, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer transport.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := c.Handshake(ctx, transport, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // as in limit
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil { // takes in the session on the way
		t.Fatal(err)
	}
	return conn.ConnectionState().DidResume
}

// staleIntermediate is a server's certificate by a CA that has expired.
func staleIntermediate(t *testing.T, p *pki, notAfter time.Time) stdtls.Certificate {
	t.Helper()
	template := *p.middle.Cert
	template.Subject.CommonName, template.RawSubject = "Stale Intermediate", nil
	template.SerialNumber, template.NotAfter = nil, notAfter
	key := certtest.NewKey(t)
	template.PublicKey, template.SubjectKeyId = nil, nil
	return p.issue(t, &certtest.Authority{Cert: p.root.Sign(t, key.Public(), &template), Key: key}, nil)
}

// criticalExtension is one that nobody knows.
func criticalExtension() pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 999, 1}, Critical: true, Value: []byte{5, 0}}
}
