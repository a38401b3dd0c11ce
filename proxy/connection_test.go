package proxy

import (
	"bufio"
	stdtls "crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"edgepen/acl"
	"edgepen/certs/certtest"
	"edgepen/proxy/backend"
)

// secure is a TLS connection to an address; sessions may be nil.
func secure(t testing.TB, addr string, sessions stdtls.ClientSessionCache) *stdtls.Conn {
	t.Helper()
	c := stdtls.Client(dial(t, addr), &stdtls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: sessions})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c
}

// newHTTPServer answers every request with its head.
func newHTTPServer(t testing.TB) backend.Spec {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, ln, func(c net.Conn) {
		for r := bufio.NewReader(c); ; {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			var b strings.Builder
			b.WriteString(req.Method + " " + req.RequestURI + "\n")
			req.Header.Write(&b) //nolint:errcheck // into memory
			answer := http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(b.Len())}
			answer.Body = io.NopCloser(strings.NewReader(b.String()))
			if answer.Write(c) != nil {
				return
			}
		}
	})
	return spec(t, ln.Addr().String())
}

// asks sends a request and returns the response's body, which newHTTPServer makes of the request.
func asks(t testing.TB, c net.Conn) string {
	t.Helper()
	if _, err := io.WriteString(c, "GET /path HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("status %d, %q (%v)", resp.StatusCode, b, err)
	}
	return string(b)
}

func TestPlainAndTLSTogether(t *testing.T) {
	p, _ := start(t, func(c *Config) {
		c.Listeners = []Listener{{"127.0.0.1:0", TLSNever}, {"[::1]:0", TLSAlways}}
		c.Servers = []backend.Spec{newHTTPServer(t)}
		c.Certificates.SelfSigned = "localhost"
		c.HTTP = true
	})
	_, port0, _ := net.SplitHostPort(address(p, 0))
	_, port1, _ := net.SplitHostPort(address(p, 1))
	for _, c := range []struct {
		conn                net.Conn
		proto, client, port string
	}{
		{dial(t, address(p, 0)), "http", "127.0.0.1", port0},
		{secure(t, address(p, 1), nil), "https", "::1", port1},
	} {
		for range 2 {
			got := asks(t, c.conn)
			want := "GET /path\nX-Forwarded-For: " + c.client + "\r\nX-Forwarded-Host: h\r\n" +
				"X-Forwarded-Port: " + c.port + "\r\nX-Forwarded-Proto: " + c.proto + "\r\n"
			if got != want {
				t.Errorf("the server got %q, expected %q", got, want)
			}
		}
	}
}

// TestMapped has an IPv4 client come by way of an IPv6 listener.
func TestMapped(t *testing.T) {
	p, _ := start(t, func(c *Config) {
		c.Listeners = []Listener{{Address: "[::]:0"}}
		c.Servers = []backend.Spec{newHTTPServer(t)}
		c.HTTP = true
	})
	_, port, _ := net.SplitHostPort(address(p, 0))
	if got := asks(t, dial(t, "127.0.0.1:"+port)); !strings.Contains(got, "X-Forwarded-For: 127.0.0.1\r\n") {
		t.Errorf("the server got %q", got)
	}
	update(t, p, func(c *Config) { c.ACLs[0] = acl.List{entry(t, "deny 127.0.0.1"), entry(t, "permit all")} })
	turnedAway(t, dial(t, "127.0.0.1:"+port))
	asks(t, dial(t, "[::1]:"+port))
}

func TestNoServer(t *testing.T) {
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{spec(t, refusing(t))}
		c.HTTP = true
	})
	for _, want := range []int{502, 503} { // the first attempt fails, then there is none to attempt
		c := dial(t, address(p, 0))
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n") //nolint:errcheck // what follows fails
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("status %d, expected %d", resp.StatusCode, want)
		}
	}
}

// TestServersChangeUnderAConnection: the next exchange of an old connection that needs a server gets one of today's.
func TestServersChangeUnderAConnection(t *testing.T) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, first, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nfirst") //nolint:errcheck // what follows fails
		}
	})
	second := newHTTPServer(t)
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{spec(t, first.Addr().String())}
		c.HTTP = true
	})
	c := dial(t, address(p, 0))
	if got := asks(t, c); got != "first" {
		t.Errorf("the first answer is %q", got)
	}
	update(t, p, func(conf *Config) { conf.Servers = []backend.Spec{second} })
	if got := asks(t, c); !strings.HasPrefix(got, "GET /path") {
		t.Errorf("the second answer is %q", got)
	}
}

func TestReloadKeepsSelfSigned(t *testing.T) {
	a := newServer(t, "a")
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{a.spec(t, "")}
		c.Certificates.SelfSigned = "localhost"
	})
	leaf := func() string {
		c := secure(t, address(p, 0), nil)
		defer c.Close()
		return string(c.ConnectionState().PeerCertificates[0].Raw)
	}
	before := leaf()
	if err := p.Reload(func(*Draft) error { return nil }); err != nil {
		t.Fatal(err)
	}
	update(t, p, func(c *Config) { c.HTTP = true })
	if leaf() != before {
		t.Error("the self-signed certificate changed")
	}
	update(t, p, func(c *Config) { c.Certificates.SelfSigned = "example.com" })
	if leaf() == before {
		t.Error("the self-signed certificate did not change with its name")
	}
}

// replace puts one file in another's place.
func replace(t testing.TB, path, by string) {
	t.Helper()
	if err := os.Rename(by, path); err != nil {
		t.Fatal(err)
	}
}

func TestReloadReadsCertificates(t *testing.T) {
	a := newServer(t, "a")
	root, key := certtest.NewRoot(t, "root"), certtest.NewKey(t)
	file := func(name string) string {
		return certtest.Write(t, "c.pem", certtest.PEM(root.Issue(t, name, key, nil)), certtest.KeyPEM(t, key))
	}
	path := file("one")
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{a.spec(t, "")}
		c.Certificates.Certs = []string{path}
	})
	name := func() string {
		c := secure(t, address(p, 0), nil)
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	established := secure(t, address(p, 0), nil)
	greeting(t, established)
	replace(t, path, file("two"))
	update(t, p, func(c *Config) { c.Blacklist++ })
	if got := name(); got != "one" {
		t.Errorf("an update read the certificate again: %s", got)
	}
	if err := p.Reload(func(*Draft) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := name(); got != "two" {
		t.Errorf("the certificate is %s, expected two", got)
	}
	replace(t, path, certtest.Write(t, "bad.pem", "nonsense"))
	if err := p.Reload(func(*Draft) error { return nil }); err == nil {
		t.Error("a bad certificate was taken")
	}
	if got := name(); got != "two" {
		t.Errorf("the certificate is %s, expected the former one", got)
	}
	io.WriteString(established, "still here\n") //nolint:errcheck // what follows fails
	if got := greeting(t, established); got != "still here" {
		t.Errorf("an established connection says %q", got)
	}
}

func TestResumptionAcrossUpdates(t *testing.T) {
	a := newServer(t, "a")
	root, key := certtest.NewRoot(t, "root"), certtest.NewKey(t)
	path := certtest.Write(t, "c.pem", certtest.PEM(root.Issue(t, "one", key, nil)), certtest.KeyPEM(t, key))
	ca := certtest.Write(t, "ca.pem", certtest.PEM(root.Cert))
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{a.spec(t, "")}
		c.Certificates.Certs, c.Certificates.CAFile = []string{path}, ca
	})
	sessions := stdtls.NewLRUClientSessionCache(1)
	resumed := func() bool {
		c := secure(t, address(p, 0), sessions)
		defer c.Close()
		greeting(t, c) // the tickets have come with it
		return c.ConnectionState().DidResume
	}
	if resumed() || !resumed() {
		t.Fatal("the second handshake does not resume the first")
	}
	update(t, p, func(c *Config) { c.TLS.Policy.MinVersion = "tls1.3" })
	if !resumed() {
		t.Error("an update ends all sessions")
	}
	if err := p.Reload(func(*Draft) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if !resumed() {
		t.Error("a reload ends all sessions")
	}
	update(t, p, func(c *Config) { c.TLS.ClientAuth = "required" })
	c := stdtls.Client(dial(t, address(p, 0)), &stdtls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: sessions})
	err := c.Handshake()
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	if err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a session without a client certificate outlives the demand for one: %v", err)
	}
}

func TestIdleByMode(t *testing.T) {
	c := DefaultConfig()
	if d := c.Idle(); d != 0 {
		t.Errorf("raw connections are idle after %v, expected never", d)
	}
	c.HTTP = true
	if d := c.Idle(); d != time.Minute {
		t.Errorf("HTTP connections are idle after %v, expected a minute", d)
	}
	c.IdleTimeout = 0
	if d := c.Idle(); d != 0 {
		t.Errorf("HTTP connections are idle after %v where the time-out is off", d)
	}
}

// A certificate made for the same names stays, also where something else was changed in between.
func TestReloadKeepsSelfSignedAfterAChange(t *testing.T) {
	p, _ := start(t, func(c *Config) { c.Certificates.SelfSigned = "localhost" })
	made := func() string {
		c := secure(t, address(p, 0), nil)
		return string(c.ConnectionState().PeerCertificates[0].Raw)
	}
	before := made()
	update(t, p, func(c *Config) { c.Blacklist = time.Second })
	if err := p.Reload(func(*Draft) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if made() != before {
		t.Error("the certificate was made anew")
	}
}

// TestUnnamedECH: clients with an outdated ECH configuration are told of the new one under a certificate for the public name only.
func TestUnnamedECH(t *testing.T) {
	for name, warns := range map[string]bool{"localhost": true, "localhost,cover.example": false} {
		_, log := start(t, func(c *Config) {
			c.Certificates.SelfSigned = name
			c.Certificates.ECHKeys, c.ECHName = filepath.Join(t.TempDir(), "ech.pem"), "cover.example"
		})
		if strings.Contains(log.String(), "no certificate for cover.example") != warns {
			t.Errorf("a certificate for %s: the log says %q", name, log.String())
		}
	}
}

// TestClientsThatAskForSeveralThingsAtOnce have one server each, and take one turn.
func TestClientsThatAskForSeveralThingsAtOnce(t *testing.T) {
	a, b := newServer(t, "a"), newServer(t, "b")
	p, _ := start(t, func(c *Config) { c.Servers = []backend.Spec{a.spec(t, ""), b.spec(t, "")} })
	turns := map[string]int{}
	for n := range 20 {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 7, byte(1+n))}}
		got := make([]string, 6)
		var all sync.WaitGroup
		for i := range got {
			all.Go(func() {
				c, err := d.Dial("tcp", address(p, 0))
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // the read fails
				got[i] = greeting(t, c)
			})
		}
		all.Wait()
		if slices.Sort(got); got[0] != got[5] {
			t.Errorf("client %d came to %v", n, got)
		}
		turns[got[0]]++
	}
	if turns["a"] != 10 || turns["b"] != 10 {
		t.Errorf("of 20 clients the servers had %v", turns)
	}
}
