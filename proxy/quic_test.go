//go:build !nohttp3

package proxy

import (
	"bufio"
	"context"
	stdtls "crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"

	"edgepen/proxy/backend"
	"edgepen/proxy/streams"
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
		case "/never":
			<-r.Context().Done()
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
		patient := qc.Clone()
		patient.HandshakeIdleTimeout = 20 * time.Second // a busy machine is no matter of what is tested
		q, err := c.below.DialEarly(ctx, c.to, tc, patient)
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

// TestHTTP3Lengths: a request whose body is not as long as it says never reaches a server as a whole, however it comes in pieces.
func TestHTTP3Lengths(t *testing.T) {
	var whole atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err == nil {
			whole.Add(1)
		}
	}))
	t.Cleanup(s.Close)
	p, _ := startQUIC(t, func(c *Config) { c.Servers = []backend.Spec{spec(t, s.Listener.Addr().String())} })
	c := quicTo(t, p, "127.0.0.1", nil)
	for _, l := range []struct {
		length string
		body   []string
		good   bool
	}{
		{"5", []string{"hello"}, true}, {"5", []string{"hell", "o"}, true}, {"1", []string{"x"}, true}, {"5", []string{"h", "", "ello", ""}, true},
		{"0", nil, true}, {"0", []string{""}, true},
		{"5", nil, false}, {"5", []string{"hell"}, false}, {"5", []string{"hello!"}, false}, {"5", []string{"hello", "!"}, false}, {"1", []string{"x", "y"}, false},
		{"5", []string{"hell", "o", "GET / HTTP/1.1"}, false}, {"0", []string{"hello"}, false}, {"0", []string{"", "hello"}, false},
	} {
		before := whole.Load()
		err := c.sends(t, l.length, l.body)
		if now := whole.Load(); l.good != (now > before) || l.good && err != nil {
			t.Errorf("%q for %s bytes: %d whole requests reached the server; the client got %v", l.body, l.length, now-before, err)
		}
	}
}

// sends sends a body in pieces, each in a frame of its own, after it has said how long it is, and reads what comes back. quic-go's client would not let
// the two differ.
func (c *quicClient) sends(t *testing.T, length string, body []string) error {
	t.Helper()
	config := c.TLSClientConfig.Clone()
	config.NextProtos = []string{"h3"}
	q, err := c.below.Dial(t.Context(), c.to, config, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer q.CloseWithError(0, "") //nolint:errcheck // it is over
	s, err := q.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // it keeps a broken test from hanging
	block := []byte{0, 0}                   // RFC 9204 section 4.5.1: no dynamic table
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":path", "/"}, {":authority", "localhost"}, {"content-length", length}} {
		if n := len(f[0]); n < 7 { // section 4.5.6
			block = append(block, 0x20|byte(n))
		} else {
			block = append(block, 0x27, byte(n-7))
		}
		block = append(append(append(block, f[0]...), byte(len(f[1]))), f[1]...)
	}
	frame := func(kind byte, payload []byte) {
		s.Write(append(quicvarint.Append([]byte{kind}, uint64(len(payload))), payload...)) //nolint:errcheck // what is read tells
	}
	frame(1, block) // HEADERS
	for _, part := range body {
		time.Sleep(20 * time.Millisecond) // so that the proxy meets them one by one, if it is fast
		frame(0, []byte(part))            // DATA
	}
	s.Close() //nolint:errcheck // as above
	_, err = io.ReadAll(s)
	return err
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
		accept := "Sec-WebSocket-Accept: " + streams.AcceptOf(req.Header.Get("Sec-WebSocket-Key"))
		io.WriteString(c, strings.Replace(answer, "Sec-WebSocket-Accept: x", accept, 1)) //nolint:errcheck // the client sees it
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

// TestHTTP3IsLogged: the access log has of a request by HTTP/3 what it has of others.
func TestHTTP3IsLogged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	p, _ := startQUIC(t, func(*Config) {})
	update(t, p, func(c *Config) { c.AccessLog, c.AccessLogFormat = path, "json" })
	quicTo(t, p, "127.0.0.1", nil).ask(t, "GET", "/logged", nil, nil)
	until(t, "a line in the log", func() bool {
		line, _ := os.ReadFile(path)
		return len(line) > 0
	})
	line, _ := os.ReadFile(path)
	for _, want := range []string{`"protocol":"HTTP/3.0"`, `"target":"/logged"`, `"tls_version":"TLS 1.3"`, `"alpn":"h3"`, `"status":200`} {
		if !strings.Contains(string(line), want) {
			t.Errorf("%s is not in %s", want, line)
		}
	}
}

// TestAltSvc: who comes over TCP and TLS learns of HTTP/3, and of no other's.
func TestAltSvc(t *testing.T) {
	c := Config{HTTP: true, HTTP3: true, Listeners: []Listener{{Address: "8443"}, {Address: "8080", TLS: TLSNever}, {Address: "/run/x", TLS: TLSAlways}}}
	c.Certificates.SelfSigned = "localhost"
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	c.HSTS = HSTS{On: true, MaxAge: time.Hour}
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
