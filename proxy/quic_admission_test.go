//go:build !nohttp3

package proxy

import (
	"context"
	stdtls "crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"edgepen/acl"
	"edgepen/certs/certtest"
	"edgepen/tls"
)

// TestHTTP3Denied: a client that may not come is refused before anything else, and one that is to get a page gets it.
func TestHTTP3Denied(t *testing.T) {
	p, _ := startQUIC(t, func(c *Config) {
		c.ACLs[0] = acl.List{entry(t, "deny 127.0.0.2"), entry(t, "permit 0.0.0.0/0")}
	})
	if _, err := quicTo(t, p, "127.0.0.2", nil).try("GET", "/", nil, nil); !refusedByQUIC(err) {
		t.Errorf("denied by address: %v", err)
	}
	quicTo(t, p, "127.0.0.1", nil).ask(t, "GET", "/", nil, nil)
	if n := p.denials[DeniedByList].Load(); n != 1 {
		t.Errorf("%d clients were denied", n)
	}
	for _, counter := range p.terminator.Stats() {
		if counter.Group == "failure" && counter.Count > 0 {
			t.Errorf("a handshake was begun: %v", counter)
		}
	}
	update(t, p, func(c *Config) { c.Denied[DeniedByList] = Forbidden })
	if got := quicTo(t, p, "127.0.0.2", nil).ask(t, "GET", "/", nil, nil); !strings.HasPrefix(got, "403") {
		t.Errorf("got %q", got)
	}
	update(t, p, func(c *Config) {
		c.Denied[DeniedByList] = AsOriginal
		c.ACLs[0] = acl.List{entry(t, "permit sni good.example")}
	})
	_, err := quicTo(t, p, "127.0.0.1", &stdtls.Config{ServerName: "bad.example"}).try("GET", "/", nil, nil)
	if alert, ok := errors.AsType[*quic.TransportError](err); !ok || alert.ErrorCode != 0x100+49 { // access_denied
		t.Errorf("denied by name: %v", err)
	}
	c := quicTo(t, p, "127.0.0.1", &stdtls.Config{ServerName: "good.example"})
	if got := c.ask(t, "GET", "/", nil, nil); !strings.HasPrefix(got, "421") {
		t.Errorf("a host that was not judged got %q", got)
	}
	c.ask(t, "GET", "/", nil, func(r *http.Request) { r.Host = "good.example" })
}

// refusedByQUIC reports whether a client was told that its connection is refused.
func refusedByQUIC(err error) bool {
	t, ok := errors.AsType[*quic.TransportError](err)
	return ok && t.Remote && t.ErrorCode == quic.ConnectionRefused
}

func TestHTTP3Limits(t *testing.T) {
	p, _ := startQUIC(t, func(c *Config) { c.ConnMax = 2; c.Limits.Concurrent = 1 })
	one := quicTo(t, p, "127.0.0.1", nil)
	one.ask(t, "GET", "/", nil, nil)
	if one.retries() == 0 {
		t.Errorf("%d retries: who is counted has to show that its address is its own", one.retries())
	}
	if _, err := quicTo(t, p, "127.0.0.1", nil).try("GET", "/", nil, nil); !refusedByQUIC(err) {
		t.Errorf("a second connection: %v", err)
	}
	until(t, "its place to be free", func() bool { return p.Connections() == 1 })
	quicTo(t, p, "127.0.0.2", nil).ask(t, "GET", "/", nil, nil)
	if _, err := quicTo(t, p, "127.0.0.3", nil).try("GET", "/", nil, nil); !refusedByQUIC(err) {
		t.Errorf("where no place is free: %v", err)
	}
	one.Close()
	until(t, "the place to be free", func() bool { return p.Connections() == 1 })
	quicTo(t, p, "127.0.0.1", nil).ask(t, "GET", "/", nil, nil)
}

// TestHTTP3Retry: addresses are validated under load, or always.
func TestHTTP3Retry(t *testing.T) {
	p, _ := startQUIC(t, func(*Config) {})
	for _, tt := range []struct {
		from int
		want int64
	}{{32, 0}, {0, 1}} { // one for each datagram of the ClientHello
		update(t, p, func(c *Config) { c.HTTP3Retry = tt.from })
		c := quicTo(t, p, "127.0.0.1", nil)
		c.ask(t, "GET", "/", nil, nil)
		if min(c.retries(), 1) != tt.want {
			t.Errorf("from %d handshakes on: %d retries", tt.from, c.retries())
		}
	}
}

// TestHTTP3ClientsThatMove come from another address, for which nobody has asked the access lists.
func TestHTTP3ClientsThatMove(t *testing.T) {
	p, _ := startQUIC(t, func(*Config) {})
	c := quicTo(t, p, "127.0.0.1", nil)
	c.ask(t, "GET", "/", nil, nil)
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	other := &quic.Transport{Conn: socket}
	defer other.Close()
	q := c.conn.Load()
	path, err := q.AddPath(other)
	if err == nil {
		err = path.Probe(t.Context())
	}
	if err == nil {
		err = path.Switch()
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.try("GET", "/", nil, nil); err == nil && strings.Contains(got, "127.0.0.1") && q.Context().Err() == nil {
		t.Errorf("a client that moved is served as who it was: %q", got)
	}
	wait(t, "the connection to end", q.Context().Done())
}

// TestHTTP3Certificates: the certificates of TCP's clients are those of QUIC's, also after a reload, and sessions are resumed across it.
func TestHTTP3Certificates(t *testing.T) {
	root := certtest.NewRoot(t, "root")
	key, other := certtest.NewKey(t), certtest.NewKey(t)
	dir := t.TempDir()
	put := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put("own.example.crt", certtest.PEM(root.Issue(t, "own.example", key, nil)))
	put("own.example.key", certtest.KeyPEM(t, key))
	p, log := startQUIC(t, func(c *Config) { c.Certificates.SNIPath = dir })
	config := &stdtls.Config{ServerName: "own.example", ClientSessionCache: stdtls.NewLRUClientSessionCache(4)}
	c := quicTo(t, p, "127.0.0.1", config)
	c.ask(t, "GET", "/", nil, nil)
	if got := c.conn.Load().ConnectionState().TLS.PeerCertificates[0].Subject.CommonName; got != "own.example" {
		t.Errorf("a certificate for %v", got)
	}
	c.Close()
	put("own.example.crt", certtest.PEM(root.Issue(t, "own.example", other, nil)))
	put("own.example.key", certtest.KeyPEM(t, other))
	if err := p.Refresh(); err != nil {
		t.Fatal(err)
	}
	c = quicTo(t, p, "127.0.0.1", config)
	c.ask(t, "GET", "/", nil, nil)
	if state := c.conn.Load().ConnectionState(); !state.TLS.DidResume || state.Used0RTT {
		t.Errorf("resumed %v, 0-RTT %v", state.TLS.DidResume, state.Used0RTT)
	}
	c.Close()
	update(t, p, func(c *Config) {
		c.Certificates.CAFile = certtest.Write(t, "ca.pem", certtest.PEM(root.Cert))
		c.TLS.ClientAuth = "required"
	})
	c = quicTo(t, p, "127.0.0.1", config)
	if _, err := c.try("GET", "/", nil, nil); err == nil {
		t.Error("a session without a certificate is resumed")
	}
	config.Certificates = []stdtls.Certificate{{Certificate: [][]byte{root.Issue(t, "client", key, nil).Raw}, PrivateKey: key}}
	c = quicTo(t, p, "127.0.0.1", config)
	if got := c.ask(t, "GET", "/", nil, func(r *http.Request) { r.Host = "own.example" }); !strings.Contains(got, "Client-Cert: ") {
		t.Errorf("the server is not told whose certificate came: %q", got)
	}
	until(t, "the log to say why", func() bool { return strings.Contains(log.String(), tls.ReasonNoClientCert) })
}

// TestHTTP3Refusals: what fails is said and counted as over TCP.
func TestHTTP3Refusals(t *testing.T) {
	p, _ := startQUIC(t, func(c *Config) { c.TLS.StrictSNI = true })
	dial := func(config *stdtls.Config) error {
		config.InsecureSkipVerify = true
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		q, err := quic.DialAddr(ctx, address(p, 0), config, nil)
		if err == nil {
			<-q.Context().Done()
			err = context.Cause(q.Context())
		}
		return err
	}
	for _, tt := range []struct {
		config *stdtls.Config
		alert  quic.TransportErrorCode
		reason string
	}{
		{&stdtls.Config{NextProtos: []string{"hq-interop"}, ServerName: "localhost"}, 120, tls.ReasonALPN},
		{&stdtls.Config{NextProtos: []string{"acme-tls/1"}, ServerName: "localhost"}, 120, tls.ReasonALPN},
		{&stdtls.Config{NextProtos: []string{"h3"}, ServerName: "unknown.example"}, 112, tls.ReasonName},
	} {
		before := failuresOf(p, tt.reason)
		err := dial(tt.config)
		if got, ok := errors.AsType[*quic.TransportError](err); !ok || got.ErrorCode != 0x100+tt.alert {
			t.Errorf("%v: %v, want alert %d", tt.config.NextProtos, err, tt.alert)
		}
		until(t, "the failure to be counted: "+tt.reason, func() bool { return failuresOf(p, tt.reason) > before })
	}
	config := stdtls.Config{NextProtos: []string{"h3"}, ServerName: "localhost"}
	config.VerifyConnection = func(stdtls.ConnectionState) error { return errors.New("not good enough") }
	if err := dial(&config); err == nil {
		t.Error("a client accepts what it does not accept")
	}
	until(t, "the client's alert to be counted", func() bool {
		return failuresOf(p, "refused by client: bad_certificate")+failuresOf(p, "refused by client: internal_error") > 0
	})
}

func failuresOf(p *Proxy, reason string) (n uint64) {
	for _, c := range p.terminator.Stats() {
		if c.Group == "failure" && c.Name == reason {
			n = c.Count
		}
	}
	return n
}

// TestHTTP3EncryptedHello: the name may come encrypted, and servers of names that are passed on cannot be reached.
func TestHTTP3EncryptedHello(t *testing.T) {
	p, _ := startQUIC(t, func(c *Config) {
		c.Certificates.SelfSigned = "public.example,secret.example"
		c.ECHName, c.Certificates.ECHKeys = "public.example", filepath.Join(t.TempDir(), "keys")
		c.Routes = []Route{{Name: "routed.example", Servers: c.Servers}}
	})
	var records []string
	if err := p.Update(func(d *Draft) error { records = d.ECHRecords(); return nil }); err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	if !strings.Contains(records[0], `alpn="h3,h2,http/1.1"`) {
		t.Errorf("HTTP/3 is not in %s", records[0])
	}
	_, list, _ := strings.Cut(records[0], `ech="`)
	configs, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(list, `"`))
	if err != nil {
		t.Fatal(err)
	}
	c := quicTo(t, p, "127.0.0.1", &stdtls.Config{ServerName: "secret.example", EncryptedClientHelloConfigList: configs, MinVersion: stdtls.VersionTLS13,
		EncryptedClientHelloRejectionVerify: func(stdtls.ConnectionState) error { return nil }})
	c.ask(t, "GET", "/", nil, nil)
	if state := c.conn.Load().ConnectionState().TLS; !state.ECHAccepted {
		t.Error("the encrypted ClientHello was not accepted")
	}
	_, err = quicTo(t, p, "127.0.0.1", &stdtls.Config{ServerName: "routed.example"}).try("GET", "/", nil, nil)
	if alert, ok := errors.AsType[*quic.TransportError](err); !ok || alert.ErrorCode != 0x100+112 { // unrecognized_name
		t.Errorf("a name that is passed on: %v", err)
	}
}

// TestHTTP3Fingerprints begin with q, and lists may ask for them.
func TestHTTP3Fingerprints(t *testing.T) {
	p, log := startQUIC(t, func(c *Config) { c.TLS.StrictSNI = true })
	if _, err := quicTo(t, p, "127.0.0.1", &stdtls.Config{ServerName: "unknown.example"}).try("GET", "/", nil, nil); err == nil {
		t.Fatal("a name without a certificate is served")
	}
	until(t, "the failure to be recorded", func() bool { return strings.Contains(log.String(), "ja4=q13d") })
	_, rest, _ := strings.Cut(log.String(), "ja4=")
	fingerprint, _, _ := strings.Cut(rest, " ")
	update(t, p, func(c *Config) { c.ACLs[0] = acl.List{entry(t, "deny ja4 "+fingerprint), entry(t, "permit all")} })
	_, err := quicTo(t, p, "127.0.0.1", &stdtls.Config{ServerName: "localhost"}).try("GET", "/", nil, nil)
	if alert, ok := errors.AsType[*quic.TransportError](err); !ok || alert.ErrorCode != 0x100+49 {
		t.Errorf("a denied fingerprint: %v", err)
	}
}

// TestHTTP3BehindProxies: who has to introduce its clients cannot do so over QUIC.
func TestHTTP3BehindProxies(t *testing.T) {
	p, _ := startQUIC(t, func(c *Config) {
		c.ProxyFrom = []ProxySource{{Peers: netip.MustParsePrefix("127.0.0.2/32")}, {Peers: netip.MustParsePrefix("127.0.0.3/32"), Rule: ProxyOptional}}
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.4/32")}
	})
	if _, err := quicTo(t, p, "127.0.0.2", nil).try("GET", "/", nil, nil); !refusedByQUIC(err) {
		t.Errorf("without a PROXY header: %v", err)
	}
	quicTo(t, p, "127.0.0.3", nil).ask(t, "GET", "/", nil, nil)
	got := quicTo(t, p, "127.0.0.4", nil).ask(t, "GET", "/", nil, func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") })
	if !strings.Contains(got, "X-Forwarded-For: 192.0.2.1, 127.0.0.4\r\n") {
		t.Errorf("a trusted proxy's word is not kept: %q", got)
	}
}

// TestHTTP3Handshakes of which there are too many are told so, those that hang do not hold up the end.
func TestHTTP3Handshakes(t *testing.T) {
	p, _ := startQUIC(t, func(c *Config) { c.HandshakeTimeout = time.Minute; c.Limits.Handshakes = 1 })
	turn, err := p.budget.Acquire(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := quicTo(t, p, "127.0.0.1", nil).try("GET", "/", nil, nil)
		failed <- err
	}()
	until(t, "the handshake to wait", func() bool { return p.Connections() == 1 })
	began := time.Now()
	closes(t, p)
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("closing took %v", d)
	}
	if err := <-failed; err == nil {
		t.Error("a handshake without a turn has succeeded")
	}
	turn.Done(true)
}

// deaf hears nothing, like who has forged an address.
type deaf struct{ net.PacketConn }

func (d deaf) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		if _, from, err := d.PacketConn.ReadFrom(p); err != nil {
			return 0, from, err
		}
	}
}

// TestHTTP3HandshakesThatStop give their places back.
func TestHTTP3HandshakesThatStop(t *testing.T) {
	p, log := startQUIC(t, func(c *Config) { c.HandshakeTimeout = time.Second; c.HTTP3Retry = 3 })
	before := failuresOf(p, tls.ReasonTimeout)
	for range 6 {
		socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		below := &quic.Transport{Conn: deaf{socket}}
		defer below.Close()
		to, _ := net.ResolveUDPAddr("udp", address(p, 0))
		go below.Dial(t.Context(), to, &stdtls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil) //nolint:errcheck // it fails
	}
	until(t, "the handshakes to begin", func() bool { return p.Connections() == 3 })
	quicTo(t, p, "127.0.0.1", nil).ask(t, "GET", "/", nil, nil) // which shows its address and passes
	until(t, "the handshakes to end", func() bool { return p.Connections() == 1 })
	if n := failuresOf(p, tls.ReasonTimeout); n < before+3 {
		t.Errorf("%d handshakes timed out\n%s", n, log)
	}
}
