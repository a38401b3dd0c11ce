package tls

import (
	"crypto"
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"edgepen/certs"
	"edgepen/certs/certtest"
)

// patience is how long a test waits for what should come at once.
const patience = 10 * time.Second

// outcome is how one handshake went, on both sides.
type outcome struct {
	info           Info
	server, client error
	state          stdtls.ConnectionState // the client's
}

// try does one handshake over loopback; on success the server sends a byte, so
// that the client has seen all of the server's handshake, tickets included.
func try(t testing.TB, term *Terminator, client *stdtls.Config) outcome {
	t.Helper()
	return tryChecked(t, term, client, Checks{})
}

// tryChecked is try with something to be asked.
func tryChecked(t testing.TB, term *Terminator, client *stdtls.Config, checks Checks) outcome {
	t.Helper()
	near, far := tcpPair(t)
	var o outcome
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer near.Close()
		conn, err := term.Handshake(near, time.Now().Add(patience), checks)
		if o.server = err; err == nil {
			o.info = conn.Info()
			conn.Write([]byte("x"))
			io.Copy(io.Discard, conn)
		}
	}()
	c := stdtls.Client(far, client)
	c.SetDeadline(time.Now().Add(patience))
	if o.client = c.Handshake(); o.client == nil {
		_, o.client = io.ReadFull(c, make([]byte, 1))
	}
	o.state = c.ConnectionState()
	c.Close()
	<-done
	return o
}

// tcpPair connects two sockets over loopback; both are closed with the test.
func tcpPair(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialled, err := net.DialTimeout("tcp", ln.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close(); accepted.Close() })
	return accepted.(*net.TCPConn), dialled.(*net.TCPConn)
}

// farm is a CA with an intermediate, a server certificate, and what clients
// need to trust it.
type farm struct {
	root, middle *certtest.Authority
	cert         string // path of certificate, intermediate and key, for localhost
	ca           string // path of the root
}

// source is the certificate alone.
func (f *farm) source() certs.Source { return certs.Source{Certs: []string{f.cert}} }

// withCA is the certificate and the CA.
func (f *farm) withCA() certs.Source { return certs.Source{Certs: []string{f.cert}, CAFile: f.ca} }

// issue writes a certificate for names, with intermediate and key.
func (f *farm) issue(t testing.TB, key crypto.Signer, names ...string) string {
	t.Helper()
	leaf := f.middle.Issue(t, names[0], key, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = names, nil })
	return certtest.Write(t, "cert.pem", certtest.PEM(leaf, f.middle.Cert), certtest.KeyPEM(t, key))
}

// certificate makes one that comes from no file, as those of ACME.
func (f *farm) certificate(t testing.TB, name string) *certs.Certificate {
	t.Helper()
	key := certtest.NewKey(t)
	leaf := f.middle.Issue(t, name, key, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{name}, nil })
	c, err := certs.NewCertificate(stdtls.Certificate{Certificate: [][]byte{leaf.Raw, f.middle.Cert.Raw}, PrivateKey: key}, "test")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newFarm(t testing.TB) *farm {
	t.Helper()
	root := certtest.NewRoot(t, "root")
	middle := root.Intermediate(t, "middle")
	key := certtest.NewKey(t)
	return &farm{
		root: root, middle: middle,
		cert: certtest.Write(t, "cert.pem", certtest.PEM(middle.Issue(t, "server", key, nil), middle.Cert), certtest.KeyPEM(t, key)),
		ca:   certtest.Write(t, "ca.pem", certtest.PEM(root.Cert)),
	}
}

// client is the configuration of a client that trusts the root only, so that
// the server has to send the intermediate.
func (f *farm) client() *stdtls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(f.root.Cert)
	return &stdtls.Config{RootCAs: roots, ServerName: "localhost"}
}

// clientOf is a client that asks for name.
func (f *farm) clientOf(name string) *stdtls.Config {
	c := f.client()
	c.ServerName = name
	return c
}

// withCert adds a client certificate that is sent whatever CAs the server names.
func withCert(t testing.TB, c *stdtls.Config, a *certtest.Authority, edit func(*x509.Certificate)) *stdtls.Config {
	t.Helper()
	key := certtest.NewKey(t)
	cert := &stdtls.Certificate{Certificate: [][]byte{a.Issue(t, "client", key, edit).Raw, a.Cert.Raw}, PrivateKey: key}
	c.GetClientCertificate = func(*stdtls.CertificateRequestInfo) (*stdtls.Certificate, error) { return cert, nil }
	return c
}

func profile(t testing.TB, s certs.Source, o Options) *Profile {
	t.Helper()
	return profileOf(t, Material{Set: load(t, s)}, o)
}

func profileOf(t testing.TB, m Material, o Options) *Profile {
	t.Helper()
	p, err := NewProfile(m, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func load(t testing.TB, s certs.Source) *certs.Set {
	t.Helper()
	set, err := certs.NewStore().Load(s, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func fixed(p *Profile) *Terminator { return NewTerminator(func() *Profile { return p }) }

// both returns what failed on either side, nil if nothing did.
func (o outcome) both() error { return errors.Join(o.server, o.client) }
