package ech

import (
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	"edgepen/certs/certtest"
)

// site is a server that hides secret.example.com behind cover.example.com.
type site struct {
	t     *testing.T
	roots *x509.CertPool
	cert  stdtls.Certificate
}

func newSite(t *testing.T) *site {
	root := certtest.NewRoot(t, "Root")
	key := certtest.NewKey(t)
	leaf := root.Issue(t, "both", key, func(c *x509.Certificate) {
		c.DNSNames = []string{"cover.example.com", "secret.example.com"}
	})
	s := &site{t: t, roots: x509.NewCertPool(), cert: stdtls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}
	s.roots.AddCert(root.Cert)
	return s
}

// visit does a handshake of crypto/tls's client with a config list and its
// server with keys, and returns what the client says and the name that the
// server saw.
func (s *site) visit(keys []Key, list []byte) (accepted bool, name string, err error) {
	near, far := net.Pipe()
	defer far.Close()
	near.SetDeadline(time.Now().Add(10 * time.Second))
	far.SetDeadline(time.Now().Add(10 * time.Second))
	server := stdtls.Server(near, &stdtls.Config{
		Certificates: []stdtls.Certificate{s.cert}, EncryptedClientHelloKeys: ForTLS(keys),
		MinVersion: stdtls.VersionTLS12, // a listener for clients without ECH as well
	})
	served := make(chan error, 1)
	go func() {
		served <- server.Handshake()
		near.Close()
	}()
	client := stdtls.Client(far, &stdtls.Config{
		RootCAs: s.roots, ServerName: "secret.example.com", EncryptedClientHelloConfigList: list,
	})
	err = client.Handshake()
	if err == nil {
		client.Read(make([]byte, 1)) // the ticket, so that the server can end
	}
	far.Close()
	serverErr := <-served
	accepted, name = client.ConnectionState().ECHAccepted, server.ConnectionState().ServerName
	if err == nil && (serverErr != nil || accepted != server.ConnectionState().ECHAccepted) {
		s.t.Errorf("the server: %v, accepted: %v; the client: %v", serverErr, !accepted, accepted)
	}
	return accepted, name, err
}

func generate(t *testing.T, publicName string, id uint8) Key {
	t.Helper()
	k, err := Generate(publicName, id)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestHandshake(t *testing.T) {
	s := newSite(t)
	first := []Key{generate(t, "cover.example.com", 7)}
	if accepted, name, err := s.visit(first, ConfigList(first)); err != nil || !accepted || name != "secret.example.com" {
		t.Errorf("a key of our own: accepted %v, for %q, %v", accepted, name, err)
	}
	if accepted, _, err := s.visit(first, nil); err != nil || accepted {
		t.Errorf("a client without ECH: accepted %v, %v", accepted, err)
	}
	t.Run("after a rotation", func(t *testing.T) {
		old := first[0]
		old.Retry = false
		both := []Key{generate(t, "cover.example.com", 8), old}
		for _, list := range [][]byte{ConfigList(first), ConfigList(both)} {
			if accepted, _, err := s.visit(both, list); err != nil || !accepted {
				t.Errorf("accepted %v, %v", accepted, err)
			}
		}
	})
	t.Run("an unknown config", func(t *testing.T) {
		old := generate(t, "cover.example.com", 8)
		old.Retry = false
		now := []Key{first[0], old}
		_, _, err := s.visit(now, ConfigList([]Key{generate(t, "cover.example.com", 7)}))
		rejection, ok := errors.AsType[*stdtls.ECHRejectionError](err)
		if !ok {
			t.Fatalf("error %v, want a rejection", err)
		}
		if string(rejection.RetryConfigList) != string(ConfigList(now)) {
			t.Error("the retry configs are others than those of the key to publish")
		}
		if accepted, name, err := s.visit(now, rejection.RetryConfigList); err != nil || !accepted || name != "secret.example.com" {
			t.Errorf("with the retry configs: accepted %v, for %q, %v", accepted, name, err)
		}
	})
}

// TestSuites has clients that know a single suite each.
func TestSuites(t *testing.T) {
	s := newSite(t)
	key := generate(t, "cover.example.com", 1)
	keys, err := Parse("f", Format([]Key{key}))
	if err != nil {
		t.Fatal(err)
	}
	configs, err := parseList(ConfigList(keys))
	if err != nil || len(configs) != 1 || len(configs[0].suites) != 3 {
		t.Fatalf("%d configs, %v", len(configs), err)
	}
	for i := range configs[0].suites {
		// The config is part of what is encrypted: one with the suites in
		// another order is another key's.
		c := other(key, func(suites [][2]uint16) [][2]uint16 { return suites[i : i+1] })
		if accepted, _, err := s.visit([]Key{c}, ConfigList([]Key{c})); err != nil || !accepted {
			t.Errorf("suite %v: accepted %v, %v", configs[0].suites[i], accepted, err)
		}
	}
}
