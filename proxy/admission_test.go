package proxy

import (
	"bufio"
	"crypto/sha256"
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"edgepen/acl"
	"edgepen/certs/certtest"
	"edgepen/certs/revoke"
	"edgepen/proxy/backend"
	"edgepen/tls"
)

// TestHandshakeUnderOneConfiguration: a client that connected while certificates were required, and says hello only once an access list has
// taken their place, finds one of the two in its way.
func TestHandshakeUnderOneConfiguration(t *testing.T) {
	root := certtest.NewRoot(t, "root")
	p, _ := start(t, func(c *Config) {
		c.Certificates.SelfSigned = "localhost"
		c.Certificates.CAFile = certtest.Write(t, "ca.pem", certtest.PEM(root.Cert))
		c.TLS.ClientAuth = "required"
	})
	snap := p.now.Load()
	early := &connection{p: p, snap: snap, asker: asker{snap: snap, who: acl.Client{Addr: netip.MustParseAddr("127.0.0.1")}}}
	update(t, p, func(c *Config) {
		c.TLS.ClientAuth = ""
		c.ACLs[0] = entries(t, "deny 127.0.0.1", "permit all")
	})
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		c := stdtls.Client(far, &stdtls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
		io.Copy(io.Discard, c) //nolint:errcheck // the server's side says what happened
	}()
	_, err := p.terminator.Handshake(near, time.Now().Add(patience), early.checks())
	if h, ok := errors.AsType[*tls.HandshakeError](err); !ok || h.Reason != tls.ReasonNoClientCert {
		t.Errorf("the handshake ended with %v, want %q", err, tls.ReasonNoClientCert)
	}
}

// TestDeniedCA: to deny a CA's key ends the connections of its clients, and lets no other in.
func TestDeniedCA(t *testing.T) {
	root := certtest.NewRoot(t, "root")
	ca, key := root.Intermediate(t, "CA"), certtest.NewKey(t)
	shown := stdtls.Certificate{Certificate: [][]byte{ca.Issue(t, "client", key, nil).Raw, ca.Cert.Raw}, PrivateKey: key}
	a := newServer(t, "a")
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{a.spec(t, "")}
		c.Certificates.SelfSigned = "localhost"
		c.Certificates.CAFile = certtest.Write(t, "ca.pem", certtest.PEM(root.Cert))
		c.TLS.ClientAuth = "required"
	})
	connect := func() *stdtls.Conn {
		return stdtls.Client(dial(t, address(p, 0)), &stdtls.Config{InsecureSkipVerify: true, ServerName: "localhost", Certificates: []stdtls.Certificate{shown}})
	}
	inside := connect()
	if _, err := io.ReadFull(inside, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	update(t, p, func(c *Config) {
		c.DeniedCerts = []revoke.Denial{{SPKI: sha256.Sum256(ca.Cert.RawSubjectPublicKeyInfo)}}
	})
	until(t, "the connection to end", func() bool { return p.Connections() == 0 })
	if _, err := connect().Read(make([]byte, 1)); err == nil {
		t.Error("a client of the denied CA is served")
	}
}

// TestRevocationRules: lists are asked only where certificates are, and only where there is something to ask.
func TestRevocationRules(t *testing.T) {
	root := certtest.NewRoot(t, "root")
	chain := []*x509.Certificate{root.Issue(t, "client", certtest.NewKey(t), nil), root.Cert}
	for _, tt := range []struct {
		name   string
		edit   func(*Config)
		passes bool
	}{
		{"nothing to ask", func(*Config) {}, true},
		{"nobody is asked", func(c *Config) { c.TLS.ClientAuth, c.CRL.Fetch = "", true }, true},
		{"to be fetched from nowhere", func(c *Config) { c.CRL.Fetch = true }, false},
		{"the same softly", func(c *Config) { c.CRL = revoke.Policy{Mode: revoke.Soft, Fetch: true} }, true},
		{"denied", func(c *Config) {
			c.DeniedCerts = []revoke.Denial{{SPKI: sha256.Sum256(chain[0].RawSubjectPublicKeyInfo)}}
		}, false},
	} {
		s := &snapshot{Config: DefaultConfig()}
		s.TLS.ClientAuth = "required"
		tt.edit(&s.Config)
		if err := s.ruleOnRevocation(); err != nil {
			t.Fatal(err)
		}
		p, _ := start(t, func(*Config) {})
		if err := p.revocation.Check(t.Context(), s.revocation, chain, time.Now()); (err == nil) != tt.passes {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestMisdirected: a name with CAs of its own for its clients cannot be asked for on a connection that others vouch for.
func TestMisdirected(t *testing.T) {
	root, other := certtest.NewRoot(t, "root"), certtest.NewRoot(t, "other")
	serverKey, clientKey := certtest.NewKey(t), certtest.NewKey(t)
	dir := t.TempDir()
	for name, content := range map[string]string{
		"own.example.crt": certtest.PEM(root.Issue(t, "own.example", serverKey, nil)), "own.example.key": certtest.KeyPEM(t, serverKey),
		"own.example.ca": certtest.PEM(other.Cert),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{newHTTPServer(t)}
		c.HTTP = true
		c.Certificates.SelfSigned, c.Certificates.SNIPath = "localhost", dir
		c.Certificates.CAFile = certtest.Write(t, "ca.pem", certtest.PEM(root.Cert))
		c.TLS.ClientAuth = "required"
	})
	for _, tt := range []struct {
		by         *certtest.Authority
		name, host string
		status     int
	}{
		{root, "localhost", "localhost", 200},
		{root, "localhost", "unknown.example:8443", 200},
		{root, "localhost", "own.example", 421},
		{root, "localhost", "OWN.example.:443", 421},
		{other, "own.example", "Own.Example:443", 200},
		{other, "own.example", "localhost", 421},
	} {
		shown := stdtls.Certificate{Certificate: [][]byte{tt.by.Issue(t, "client", clientKey, nil).Raw}, PrivateKey: clientKey}
		c := stdtls.Client(dial(t, address(p, 0)), &stdtls.Config{InsecureSkipVerify: true, ServerName: tt.name, Certificates: []stdtls.Certificate{shown}})
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+tt.host+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("let in as %s and asking for %s: %d, want %d", tt.name, tt.host, resp.StatusCode, tt.status)
		}
	}
}
