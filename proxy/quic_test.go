//go:build !nohttp3

package proxy

import (
	"bufio"
	"context"
	stdtls "crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"edgepen/acl"
	"edgepen/certs/certtest"
	"edgepen/proxy/backend"
	"edgepen/tls"
)

// web is a server that answers by the path: the head it was asked with, or what a test needs.
func web(t testing.TB) (backend.Spec, *atomic.Int64) {
	t.Helper()
	asked := new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.Path {
		case "/sum":
			body, err := io.ReadAll(r.Body)
			fmt.Fprint(w, len(body), r.ContentLength, err, r.Trailer.Get("X-Sum")) //nolint:errcheck // the client sees it
		case "/trailer":
			w.Header().Set("Trailer", "X-End")
			io.WriteString(w, "body") //nolint:errcheck // the client sees it
			w.Header().Set("X-End", "yes")
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: one\n\n") //nolint:errcheck // the client sees it
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/hints":
			w.Header().Set("Link", "</x>")
			w.WriteHeader(http.StatusEarlyHints)
			io.WriteString(w, "late") //nolint:errcheck // the client sees it
		case "/broken":
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "abc") //nolint:errcheck // the client sees it
		case "/alt":
			w.Header().Set("Alt-Svc", `h3=":1"`)
		case "/large":
			w.Write(make([]byte, 3<<20)) //nolint:errcheck // the client sees it
		default:
			w.Header().Set("X-Length", fmt.Sprint(r.ContentLength, r.TransferEncoding))
			r.Header.Write(w) //nolint:errcheck // the client sees it
		}
	}))
	t.Cleanup(s.Close)
	return spec(t, s.Listener.Addr().String()), asked
}

// startQUIC runs a proxy with HTTP/3 before web.
func startQUIC(t testing.TB, edit func(*Config)) (*Proxy, *record) {
	t.Helper()
	server, _ := web(t)
	return start(t, func(c *Config) {
		c.Servers = []backend.Spec{server}
		c.HTTP, c.HTTP3 = true, true
		c.Certificates.SelfSigned = "localhost"
		edit(c)
	})
}

// quicClient is a client of HTTP/3 with one socket and, as long as that lasts, one connection.
type quicClient struct {
	*http3.Transport
	socket net.PacketConn
	below  *quic.Transport
	to     *net.UDPAddr
	conn   atomic.Pointer[quic.Conn]
}

// quicTo makes a client of a proxy's first listener that comes from an address.
func quicTo(t testing.TB, p *Proxy, from string, config *stdtls.Config) *quicClient {
	t.Helper()
	socket, err := net.ListenPacket("udp4", net.JoinHostPort(from, "0"))
	if err != nil {
		t.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp", address(p, 0))
	if err != nil {
		t.Fatal(err)
	}
	if config == nil {
		config = &stdtls.Config{}
	}
	config.InsecureSkipVerify = true
	c := &quicClient{socket: &spy{PacketConn: socket}, to: to}
	c.below = &quic.Transport{Conn: c.socket}
	c.Transport = &http3.Transport{TLSClientConfig: config, Dial: func(ctx context.Context, _ string, tc *stdtls.Config, qc *quic.Config) (*quic.Conn, error) {
		q, err := c.below.DialEarly(ctx, c.to, tc, qc)
		c.conn.Store(q)
		return q, err
	}}
	t.Cleanup(func() { c.Close(); c.below.Close(); socket.Close() })
	return c
}

// spy sees what kinds of packets come.
type spy struct {
	net.PacketConn
	retries atomic.Int64
}

func (s *spy) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := s.PacketConn.ReadFrom(p)
	if n > 0 && p[0]&0x80 != 0 && p[0]>>4&3 == 3 { // RFC 9000 section 17.2.5
		s.retries.Add(1)
	}
	return n, from, err
}

func (c *quicClient) retries() int64 { return c.socket.(*spy).retries.Load() }

// ask makes a request and puts the response into words.
func (c *quicClient) ask(t testing.TB, method, path string, body io.Reader, edit func(*http.Request)) string {
	t.Helper()
	said, err := c.try(method, path, body, edit)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return said
}

func (c *quicClient) try(method, path string, body io.Reader, edit func(*http.Request)) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "https://localhost:"+fmt.Sprint(c.to.Port)+path, body)
	if err != nil {
		return "", err
	}
	if edit != nil {
		edit(req)
	}
	resp, err := c.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("X-Length"), " ", string(got), resp.Trailer.Get("X-End")), err
}

func TestHTTP3(t *testing.T) {
	p, log := startQUIC(t, func(*Config) {})
	c := quicTo(t, p, "127.0.0.1", nil)
	got := c.ask(t, "GET", "/", nil, func(r *http.Request) { r.Header.Set("X-Forwarded-For", "6.6.6.6") })
	for _, want := range []string{"200 0 []", "X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: https\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if strings.Contains(got, "6.6.6.6") {
		t.Errorf("a forged address reached the server: %q", got)
	}
	long := strings.Repeat("0123456789", 100_000)
	for _, tt := range []struct {
		what, method, path, body, want string
		edit                           func(*http.Request)
	}{
		{"a body of known length", "POST", "/sum", long, "200  1000000 1000000 <nil>", nil},
		{"a body of unknown length", "POST", "/sum", long, "200  1000000 -1 <nil>", func(r *http.Request) { r.ContentLength = -1 }},
		{"a GET with a body", "GET", "/sum", "abc", "200  3 -1 <nil>", func(r *http.Request) { r.ContentLength = -1 }},
		{"a trailer", "PUT", "/sum", "abc", "200  3 -1 <nil>7", func(r *http.Request) { r.ContentLength, r.Trailer = -1, http.Header{"X-Sum": {"7"}} }},
		{"no body", "DELETE", "/", "", "200 0 [] ", nil},
		{"a response's trailer", "GET", "/trailer", "", "200  bodyyes", nil},
		{"an interim response", "GET", "/hints", "", "200  late", nil},
		{"what is to be expected", "POST", "/sum", "abc", "200  3 3 <nil>", func(r *http.Request) { r.Header.Set("Expect", "100-continue") }},
		{"a head alone", "HEAD", "/", "", "200 0 [] ", nil},
	} {
		var body io.Reader
		if tt.body != "" {
			body = struct{ io.Reader }{strings.NewReader(tt.body)}
		}
		got := c.ask(t, tt.method, tt.path, body, func(r *http.Request) {
			if r.ContentLength = int64(len(tt.body)); tt.edit != nil {
				tt.edit(r)
			}
		})
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.what, got, tt.want)
		}
	}
	if got := c.ask(t, "GET", "/large", nil, nil); len(got) < 3<<20 {
		t.Errorf("%d bytes came", len(got))
	}
	if _, err := c.try("GET", "/broken", nil, nil); err == nil {
		t.Error("an answer that broke off looks whole")
	}
	if p.Connections() != 1 || strings.Contains(log.String(), "panic") {
		t.Errorf("%d connections\n%s", p.Connections(), log)
	}
	if state := c.conn.Load().ConnectionState(); state.Used0RTT || state.TLS.NegotiatedProtocol != "h3" {
		t.Errorf("%+v", state)
	}
}

// TestHTTP3Events: what a server says reaches the client while the response goes on, and a client that leaves ends it.
func TestHTTP3Events(t *testing.T) {
	p, _ := startQUIC(t, func(*Config) {})
	c := quicTo(t, p, "127.0.0.1", nil)
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", "https://localhost/events", nil)
	resp, err := c.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	event := make([]byte, len("data: one\n\n"))
	if _, err := io.ReadFull(resp.Body, event); err != nil || string(event) != "data: one\n\n" {
		t.Fatalf("%q (%v)", event, err)
	}
	cancel()
	until(t, "the server's place to be free", func() bool { return p.states[0].Conns() == 0 })
}

// sockets is a server that opens a WebSocket, or what its answer says, echoes, and hangs up when it is told to.
func sockets(t testing.TB, answer string) (backend.Spec, <-chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heads := make(chan string, 10)
	serve(t, ln, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		heads <- fmt.Sprint(req.Method, " ", req.RequestURI, " ", req.Host, " ", req.Header.Get("Upgrade"), " ", len(req.Header.Get("Sec-WebSocket-Key")))
		io.WriteString(c, answer) //nolint:errcheck // the client sees it
		b := make([]byte, 100)
		for n, err := r.Read(b); err == nil && string(b[:n]) != "bye"; n, err = r.Read(b) {
			c.Write(b[:n]) //nolint:errcheck // as above
		}
	})
	return spec(t, ln.Addr().String()), heads
}

// opens opens a WebSocket by CONNECT.
func (c *quicClient) opens(t testing.TB, protocol string) (*http3.RequestStream, *http.Response, error) {
	t.Helper()
	config := c.TLSClientConfig.Clone()
	config.NextProtos = []string{"h3"}
	q, err := c.below.Dial(t.Context(), c.to, config, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.NewClientConn(q).OpenRequestStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // it keeps a broken test from hanging
	req, _ := http.NewRequestWithContext(t.Context(), "CONNECT", "https://localhost/chat", nil)
	req.Proto, req.ProtoMajor = protocol, 3
	req.Header.Set("Sec-WebSocket-Version", "13")
	if err := s.SendRequestHeader(req); err != nil {
		t.Fatal(err)
	}
	resp, err := s.ReadResponse()
	return s, resp, err
}

// TestHTTP3WebSocket: a WebSocket by CONNECT is one by Upgrade to the server, and whatever opens none is seen to open none.
func TestHTTP3WebSocket(t *testing.T) {
	const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
	server, heads := sockets(t, switching+"welcome")
	p, _ := startQUIC(t, func(c *Config) { c.Servers = []backend.Spec{server} })
	c := quicTo(t, p, "127.0.0.1", nil)
	hears := func(s *http3.RequestStream, want string) {
		t.Helper()
		b := make([]byte, len(want))
		if _, err := io.ReadFull(s, b); err != nil || string(b) != want {
			t.Fatalf("%q (%v), want %q", b, err, want)
		}
	}
	s, resp, err := c.opens(t, "websocket")
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Sec-WebSocket-Protocol") != "chat" || resp.Header.Get("Sec-WebSocket-Accept") != "" {
		t.Fatalf("%v, %+v", err, resp)
	}
	if head := <-heads; head != "GET /chat localhost websocket 24" {
		t.Errorf("the server was asked %q", head)
	}
	hears(s, "welcome")
	s.Write([]byte("hello")) //nolint:errcheck // what follows fails
	hears(s, "hello")
	s.Write([]byte("bye")) //nolint:errcheck // what follows fails
	if rest, err := io.ReadAll(s); err != nil || len(rest) > 0 {
		t.Errorf("the server's end: %q, %v", rest, err)
	}
	s, _, err = c.opens(t, "websocket")
	if err != nil {
		t.Fatal(err)
	}
	hears(s, "welcome")
	s.Close() // the client's end
	if rest, err := io.ReadAll(s); err != nil || len(rest) > 0 {
		t.Errorf("behind the client's end: %q, %v", rest, err)
	}
	until(t, "the server's place to be free", func() bool { return p.states[0].Conns() == 0 })
	if _, resp, err := c.opens(t, "webtransport"); err != nil || resp.StatusCode != 400 {
		t.Errorf("another protocol: %v, %v", resp, err)
	}
	for said, want := range map[string]int{
		"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n": 403,
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":        0,
	} {
		server, _ := sockets(t, said)
		update(t, p, func(c *Config) { c.Servers = []backend.Spec{server} })
		if _, resp, err := c.opens(t, "websocket"); want == 0 && err == nil || want != 0 && (err != nil || resp.StatusCode != want) {
			t.Errorf("%q: %v, %v", said, resp, err)
		}
	}
}

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

// TestHTTP3Comes and goes with its setting; a connection lives on, and its socket with it, until it ends.
func TestHTTP3ComesAndGoes(t *testing.T) {
	p, _ := startQUIC(t, func(*Config) {})
	c := quicTo(t, p, "127.0.0.1", nil)
	c.ask(t, "GET", "/", nil, nil)
	update(t, p, func(c *Config) { c.HTTP3 = false })
	if _, err := quicTo(t, p, "127.0.0.1", nil).try("GET", "/", nil, nil); !refusedByQUIC(err) {
		t.Errorf("while HTTP/3 is off: %v", err)
	}
	c.ask(t, "GET", "/", nil, nil)
	update(t, p, func(c *Config) { c.HTTP3 = true })
	quicTo(t, p, "127.0.0.1", nil).ask(t, "GET", "/", nil, nil)
	c.ask(t, "GET", "/", nil, nil)
	c.Close()
	update(t, p, func(c *Config) { c.HTTP3 = false })
	until(t, "the socket to be closed", func() bool {
		socket, err := net.ListenUDP("udp4", c.to)
		if err == nil {
			socket.Close()
		}
		return err == nil || p.Connections() > 0
	})
	update(t, p, func(c *Config) { c.HTTP3 = true })
	quicTo(t, p, "127.0.0.1", nil).ask(t, "GET", "/", nil, nil)
	if err := p.Update(func(d *Draft) error { d.HTTP = false; return nil }); err == nil {
		t.Error("HTTP/3 without HTTP mode is accepted")
	}
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
		c.ProxyFrom = []ProxySource{{Peers: netip.MustParsePrefix("127.0.0.2/32")}, {Peers: netip.MustParsePrefix("127.0.0.3/32"), Optional: true}}
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

// TestHTTP3IntroducesClients: servers are told of them in PROXY headers as of others, and "dummy" answers them.
func TestHTTP3IntroducesClients(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	serve(t, ln, func(c net.Conn) {
		line, _ := bufio.NewReader(c).ReadString('\n')
		said <- line
	})
	p, _ := startQUIC(t, func(c *Config) { c.Servers, c.ProxyOut = []backend.Spec{spec(t, ln.Addr().String())}, 1 })
	c := quicTo(t, p, "127.0.0.1", nil)
	if got := c.ask(t, "GET", "/", nil, nil); !strings.HasPrefix(got, "502") {
		t.Errorf("got %q", got)
	}
	_, port, _ := net.SplitHostPort(c.socket.LocalAddr().String())
	if got, want := <-said, fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %s %d\r\n", port, c.to.Port); got != want {
		t.Errorf("the header was %q, want %q", got, want)
	}
	update(t, p, func(c *Config) { c.Dummy, c.Peek = true, true })
	if got := quicTo(t, p, "127.0.0.1", nil).ask(t, "GET", "/", nil, nil); got != "200  Ulric was here." {
		t.Errorf("dummy answers %q", got)
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
	p, log := startQUIC(t, func(c *Config) { c.HandshakeTimeout = 400 * time.Millisecond; c.HTTP3Retry = 3 })
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

// TestHTTP3Crowds leave nothing behind.
func TestHTTP3Crowds(t *testing.T) {
	p, _ := startQUIC(t, func(c *Config) { c.Limits.Concurrent = 100 })
	var all sync.WaitGroup
	for range 40 {
		c := quicTo(t, p, "127.0.0.1", nil)
		all.Go(func() {
			for range 5 {
				if got, err := c.try("POST", "/sum", strings.NewReader("abc"), nil); err != nil || !strings.HasPrefix(got, "200  3 3") {
					t.Errorf("%q, %v", got, err)
				}
			}
			c.Close()
		})
	}
	all.Wait()
	until(t, "all places to be free", func() bool { return p.Connections() == 0 && p.states[0].Conns() == 0 })
	update(t, p, func(c *Config) { c.Limits.Concurrent = 1 })
	quicTo(t, p, "127.0.0.1", nil).ask(t, "GET", "/", nil, nil)
}

// TestHTTP3Drain: told to end, the proxy answers what it has been asked and says GOAWAY.
func TestHTTP3Drain(t *testing.T) {
	p, _ := startQUIC(t, func(c *Config) { c.DrainTimeout = time.Minute })
	late := quicTo(t, p, "127.0.0.1", nil)
	idle := quicTo(t, p, "127.0.0.1", nil)
	idle.ask(t, "GET", "/", nil, nil)
	busy := quicTo(t, p, "127.0.0.1", nil)
	body, upload := io.Pipe()
	answered := make(chan string, 1)
	go func() {
		said, err := busy.try("POST", "/sum", body, nil)
		answered <- fmt.Sprint(said, err)
	}()
	upload.Write([]byte("half")) //nolint:errcheck // it is a pipe
	until(t, "the request to arrive", func() bool { return p.states[0].Conns() > 0 })
	drained := make(chan struct{})
	go func() { defer close(drained); p.Drain(context.Background()) }()
	wait(t, "the idle connection to end", idle.conn.Load().Context().Done())
	if _, err := late.try("GET", "/", nil, nil); !refusedByQUIC(err) {
		t.Errorf("a new client: %v", err)
	}
	upload.Write([]byte("whole")) //nolint:errcheck // it is a pipe
	upload.Close()
	if got := <-answered; !strings.HasPrefix(got, "200  9 -1") {
		t.Errorf("the response was %q", got)
	}
	wait(t, "the end", drained)
}

// TestHTTP3Idle: a connection without requests ends, whatever else its client does; a stream that begins a request and does not go on is none.
func TestHTTP3Idle(t *testing.T) {
	p, _ := startQUIC(t, func(c *Config) { c.IdleTimeout, c.HeadTimeout = 300*time.Millisecond, 500*time.Millisecond })
	c := quicTo(t, p, "127.0.0.1", nil)
	c.ask(t, "GET", "/", nil, nil)
	q := c.conn.Load()
	s, err := q.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte{1, 0x40, 0xff, 0}) //nolint:errcheck // HEADERS of 255 bytes, of which one comes
	wait(t, "the connection to end", q.Context().Done())
}

// TestHTTP3Floods: what costs the client little must not cost us much.
func TestHTTP3Floods(t *testing.T) {
	p, _ := startQUIC(t, func(c *Config) { c.HTTP2Streams = 10; c.HeadMax = 8 << 10 })
	t.Run("requests that are given up", func(t *testing.T) {
		c := quicTo(t, p, "127.0.0.1", nil)
		for i := 0; ; i++ {
			ctx, cancel := context.WithCancel(t.Context())
			req, _ := http.NewRequestWithContext(ctx, "GET", "https://localhost/events", nil)
			resp, err := c.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
			cancel()
			if i > 0 && c.conn.Load().Context().Err() != nil {
				break
			}
			if i > 1000 {
				t.Fatal("the client may give up for ever")
			}
		}
	})
	t.Run("a head that is too large", func(t *testing.T) {
		got := quicTo(t, p, "127.0.0.1", nil).ask(t, "GET", "/", nil, func(r *http.Request) {
			for i := range 12 {
				r.Header.Set(fmt.Sprint("X", i), strings.Repeat("a", 1000))
			}
		})
		if !strings.HasPrefix(got, "431") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("CONNECT", func(t *testing.T) {
		if got := quicTo(t, p, "127.0.0.1", nil).ask(t, "CONNECT", "", nil, nil); !strings.HasPrefix(got, "400") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("garbage", func(t *testing.T) {
		c, err := net.Dial("udp4", address(p, 0))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for i := range 200 {
			b := make([]byte, 1200)
			b[0], b[4], b[5] = 0xc0|byte(i), 1, 8 // Initial packets that nothing can be made of
			c.Write(b)                            //nolint:errcheck // it is lost, perhaps
		}
		quicTo(t, p, "127.0.0.1", nil).ask(t, "GET", "/", nil, nil)
	})
}

// TestAltSvc: who comes over TCP and TLS learns of HTTP/3, and of no other's.
func TestAltSvc(t *testing.T) {
	c := Config{HTTP: true, HTTP3: true, Listeners: []Listener{{Address: "8443"}, {Address: "8080", TLS: TLSNever}, {Address: "/run/x", TLS: TLSAlways}}}
	c.Certificates.SelfSigned = "localhost"
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	c.HSTS.MaxAge = time.Hour
	all := c.announcingPolicies()
	if p := all["8443"]; len(all) != 1 || p == nil || p.Append != "Strict-Transport-Security: max-age=3600\r\nAlt-Svc: h3=\":8443\"; ma=86400\r\n" ||
		strings.Join(p.Remove, " ") != "Strict-Transport-Security Alt-Svc" {
		t.Errorf("%+v", all["8443"])
	}
	c.HTTP = false
	if c.check() == nil {
		t.Error("HTTP/3 without HTTP mode is accepted")
	}
}

// TestHTTP3LeavesNothing: no goroutine outlives the proxy.
func TestHTTP3LeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("", func(t *testing.T) {
		p, _ := startQUIC(t, func(*Config) {})
		for range 3 {
			c := quicTo(t, p, "127.0.0.1", nil)
			c.ask(t, "GET", "/", nil, nil)
			go c.try("GET", "/events", nil, nil) //nolint:errcheck // it ends with the proxy
		}
		until(t, "the requests to arrive", func() bool { return p.states[0].Conns() == 3 })
		c, err := net.Dial("udp4", address(p, 0))
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte{0xc0, 0, 0, 0, 1}) //nolint:errcheck // it is lost, perhaps
		c.Close()
		began := time.Now()
		closes(t, p)
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("closing took %v", d)
		}
	})
	until(t, "all goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}
