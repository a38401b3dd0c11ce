package h2

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"edgepen/httpx"
)

// serving serves one connection, each of whose requests goes to exchange as a whole head, and returns the client's end.
func serving(t *testing.T, exchange func(ctx context.Context, head string, client net.Conn)) net.Conn {
	t.Helper()
	return servingStreams(t, 10, exchange)
}

// servingStreams does so for so many requests at once.
func servingStreams(t *testing.T, streams int, exchange func(ctx context.Context, head string, client net.Conn)) net.Conn {
	t.Helper()
	client, _ := servingUntil(t, streams, exchange)
	return client
}

// servingUntil does so until stop is called, and then ends as it ought to.
func servingUntil(t *testing.T, streams int, exchange func(ctx context.Context, head string, client net.Conn)) (client net.Conn, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Serve(ctx, conn, Config{Streams: streams, HeadMax: 8 << 10, Idle: time.Minute, WebSockets: true, Exchange: func(c *Stream) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			c.OnGone(cancel)
			head := make([]byte, 64<<10)
			n, _ := c.Read(head)
			exchange(ctx, string(head[:n]), c)
		}})
	}()
	t.Cleanup(func() { cancel(); client.Close(); <-done })
	return client, cancel
}

// transport is net/http's client over a connection.
func transport(conn net.Conn) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: protocols, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
}

func say(text string) func(context.Context, string, net.Conn) {
	return func(_ context.Context, _ string, c net.Conn) { io.WriteString(c, text) } //nolint:errcheck // the client sees it
}

func TestResponses(t *testing.T) {
	for _, c := range []struct{ name, said, method, want string }{
		{"by length", "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nhi", "GET", "200 A=[b] hi"},
		{"nothing", "HTTP/1.1 204 No Content\r\n\r\n", "GET", "204 "},
		{"a head alone", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", "200 "},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nA\r\n0123456789\r\n0\r\n\r\n", "GET", "200 hi0123456789"},
		{"a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n", "GET", "200 hi trailer A=[b]"},
		{"interim", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\n\r\n", "GET", "200 A=[b] "},
		{"of a connection", "HTTP/1.1 200 OK\r\nConnection: close\r\nKeep-Alive: 5\r\nContent-Length: 0\r\n\r\n", "GET", "200 "},
		{"cut off", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", "GET", "INTERNAL_ERROR"},
		{"cut off in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", "GET", "INTERNAL_ERROR"},
		{"no response", "", "GET", "INTERNAL_ERROR"},
		{"garbage", "garbage\r\n\r\n", "GET", "INTERNAL_ERROR"},
	} {
		for _, whole := range []bool{true, false} {
			answer := say(c.said)
			if !whole {
				answer = func(_ context.Context, _ string, client net.Conn) {
					for i := range c.said {
						client.Write([]byte{c.said[i]}) //nolint:errcheck // the client sees it
					}
				}
			}
			conn := serving(t, answer)
			if got := asked(t, transport(conn), c.method); got != c.want && !(strings.HasPrefix(c.want, "INT") && strings.Contains(got, c.want)) {
				t.Errorf("%s, whole %v: %q, want %q", c.name, whole, got, c.want)
			}
		}
	}
}

// asked makes a request and puts the response, or the error, into words.
func asked(t *testing.T, tr *http.Transport, method string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://example.com/path?q", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	said := fmt.Sprint(resp.StatusCode, " ")
	for name, values := range resp.Header {
		if name != "Content-Length" {
			said += fmt.Sprint(name, "=", values, " ")
		}
	}
	said += string(body)
	for name, values := range resp.Trailer {
		said += fmt.Sprint(" trailer ", name, "=", values)
	}
	return said
}

func TestRequestBodies(t *testing.T) {
	type seen struct{ head, body, trailer string }
	requests := make(chan seen, 1)
	conn := serving(t, func(_ context.Context, head string, c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), &chunky{c})))
		if err != nil {
			t.Errorf("%q: %v", head, err)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		requests <- seen{head, string(body), r.Trailer.Get("X-Sum")}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") //nolint:errcheck // the client sees it
	})
	tr := transport(conn)
	long := strings.Repeat("0123456789", 20000)
	for _, c := range []struct {
		length int64
		want   string
	}{{int64(len(long)), "\r\nContent-Length: 200000\r\n"}, {-1, "\r\nTransfer-Encoding: chunked\r\n"}} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://example.com/", io.NopCloser(strings.NewReader(long)))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = c.length
		if c.length < 0 {
			req.Trailer = http.Header{"X-Sum": {"7"}}
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		got := <-requests
		if got.body != long || !strings.Contains(got.head, c.want) {
			t.Errorf("length %d: a body of %d bytes behind %q", c.length, len(got.body), got.head)
		}
		if c.length < 0 && got.trailer != "7" {
			t.Errorf("trailer %q", got.trailer)
		}
	}
}

// chunky reads in pieces that are large enough for a chunk.
type chunky struct{ net.Conn }

func (c *chunky) Read(p []byte) (int, error) { return c.Conn.Read(p) }

// TestWhatIsWrittenIsSent: events reach the client while the response goes on.
func TestWhatIsWrittenIsSent(t *testing.T) {
	more := make(chan bool)
	conn := serving(t, func(_ context.Context, _ string, c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n") //nolint:errcheck // the client sees it
		<-more
		io.WriteString(c, "3\r\ntwo\r\n0\r\n\r\n") //nolint:errcheck // the client sees it
	})
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://example.com/", nil)
	resp, err := transport(conn).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 3)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "one" {
		t.Fatalf("%q, %v", first, err)
	}
	close(more)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "two" {
		t.Fatalf("%q, %v", rest, err)
	}
}

// TestAnAnswerBeforeTheRequestIsWhole arrives whole, while the client is still sending.
func TestAnAnswerBeforeTheRequestIsWhole(t *testing.T) {
	conn := serving(t, func(_ context.Context, _ string, c net.Conn) {
		c.SetReadDeadline(time.Unix(1, 0))                                                                              //nolint:errcheck // as the relay does to end the reading
		io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo much\n") //nolint:errcheck // the client sees it
		c.Close()
	})
	f := newFrames(t, conn)
	f.headers(1, false, map[string]string{":method": "PUT", "content-length": "20000000"})
	go func() {
		for range 200 { // within the window: a client that goes on whatever it is told
			if f.fr.WriteData(1, false, make([]byte, 1000)) != nil {
				return
			}
		}
	}()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // the read fails
	for body := ""; ; {
		frame, err := f.fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.DataFrame:
			if body += string(frame.Data()); frame.StreamEnded() {
				if body != "too much\n" {
					t.Errorf("the body was %q", body)
				}
				return
			}
		case *http2.RSTStreamFrame:
			t.Fatalf("%v before the body was whole: %q", frame.ErrCode, body)
		case *http2.GoAwayFrame:
			t.Fatalf("GOAWAY %v: %q", frame.ErrCode, body)
		}
	}
}

func TestAClientThatGivesUpEndsTheExchange(t *testing.T) {
	ended := make(chan struct{})
	begun := make(chan struct{})
	conn := serving(t, func(ctx context.Context, _ string, _ net.Conn) {
		close(begun)
		<-ctx.Done()
		close(ended)
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://example.com/", nil)
	go func() { <-begun; cancel() }()
	if _, err := transport(conn).RoundTrip(req); err == nil {
		t.Fatal("a response to a request that was given up")
	}
	<-ended
}

// TestNothingIsSmuggled sends pseudo-headers that would be something else in HTTP/1.1.
func TestNothingIsSmuggled(t *testing.T) {
	for _, c := range []struct{ name, value string }{
		{":path", "/ HTTP/1.1\r\nX: y"},
		{":path", "/a b"},
		{":path", "/\x00"},
		{":path", ""},
		{":authority", "a\r\nX: y"},
		{":authority", "a b"},
		{":method", "GET /x HTTP/1.1\r\nX:"},
		{":method", "GE T"},
		{"x", "y\r\nZ: z"},
		{"x\r\nz", "y"},
		{"x: y", "z"},
		{"X-Upper", "y"},
		{"transfer-encoding", "chunked"},
		{"connection", "x"},
		{"content-length", "5, 6"},
		{"te", "gzip"},
		{"host", "evil.example"},
		{"transfer-encoding", "\x0bchunked"},
		{"content-length", "0\r\nTransfer-Encoding: chunked"},
		{":method", "GET /admin? HTTP/1.1"}, // before :path, as in CVE-2021-33193
		{":path", "/static HTTP/1.1\r\nHost: evil\r\n\r\nGET /"},
		{":authority", "a:80@evil"},
		{":scheme", "https://evil/?"},
	} {
		asked := make(chan string, 1)
		conn := serving(t, func(_ context.Context, head string, client net.Conn) {
			asked <- head
			io.WriteString(client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") //nolint:errcheck // the client sees it
		})
		f := newFrames(t, conn)
		f.headers(1, true, map[string]string{c.name: c.value})
		answer := f.until(1)
		select {
		case head := <-asked:
			if got := strings.Count(head, "\r\n"); got != strings.Count(strings.ReplaceAll(head, c.value, ""), "\r\n") || strings.Contains(head, "X: y") ||
				!oneRequest(head) || strings.Count(head, "\r\nHost: ") > 1 || strings.Contains(head, "evil.example") || strings.Contains(strings.ToLower(head), "transfer-encoding") {
				t.Errorf("%s %q reached a server: %q", c.name, c.value, head)
			}
		default:
			if answer == "" {
				t.Errorf("%s %q: neither an answer nor a request", c.name, c.value)
			}
		}
	}
}

// oneRequest tells whether the strict parser takes a head for one request, or refuses it.
func oneRequest(head string) bool {
	var r httpx.Request
	n, err := r.Parse([]byte(head), 64<<10)
	return err != nil || n == len(head)
}

// frames is a client that chooses its frames itself.
type frames struct {
	t    *testing.T
	conn net.Conn
	fr   *http2.Framer
}

func newFrames(t *testing.T, conn net.Conn) *frames {
	t.Helper()
	io.WriteString(conn, http2.ClientPreface) //nolint:errcheck // the next read fails
	f := &frames{t, conn, http2.NewFramer(conn, conn)}
	f.fr.AllowIllegalWrites = true
	f.fr.WriteSettings() //nolint:errcheck // the next read fails
	return f
}

func (f *frames) headers(id uint32, end bool, change map[string]string) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	all := [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "example.com"}}
	for i := range all {
		if v, ok := change[all[i][0]]; ok {
			all[i][1] = v
			delete(change, all[i][0])
		}
	}
	for _, pseudo := range []bool{true, false} {
		for name, value := range change {
			if strings.HasPrefix(name, ":") == pseudo {
				all = append(all, [2]string{name, value})
			}
		}
	}
	for _, h := range all {
		enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}) //nolint:errcheck // into memory
	}
	f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: end, EndHeaders: true}) //nolint:errcheck // the next read fails
}

// until reads frames until something is said about a stream, or the connection ends, and says what that was.
func (f *frames) until(id uint32) string {
	f.conn.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // the read fails
	for {
		frame, err := f.fr.ReadFrame()
		if err != nil {
			return err.Error()
		}
		switch frame := frame.(type) {
		case *http2.GoAwayFrame:
			return "GOAWAY " + frame.ErrCode.String()
		case *http2.RSTStreamFrame:
			if frame.StreamID == id {
				return "RST_STREAM " + frame.ErrCode.String()
			}
		case *http2.HeadersFrame:
			if frame.StreamID == id {
				return "HEADERS"
			}
		}
	}
}

// TestFloods: what costs the client little must not cost us much.
func TestFloods(t *testing.T) {
	quiet := func(ctx context.Context, _ string, _ net.Conn) { <-ctx.Done() }
	t.Run("rapid reset (CVE-2023-44487)", func(t *testing.T) {
		f := newFrames(t, serving(t, quiet))
		go func() {
			for id := uint32(1); id < 20000; id += 2 {
				f.headers(id, true, nil)
				if f.fr.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
					return
				}
			}
		}()
		if got := f.until(0); got != "GOAWAY ENHANCE_YOUR_CALM" {
			t.Errorf("ended with %q", got)
		}
	})
	t.Run("answers without end, given up", func(t *testing.T) {
		f := newFrames(t, serving(t, func(ctx context.Context, _ string, c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") //nolint:errcheck // the client sees it
			<-ctx.Done()
		}))
		for id := uint32(1); id < 1000; id += 2 {
			f.headers(id, true, nil)
			if got := f.until(id); got != "HEADERS" {
				t.Fatalf("stream %d got %q", id, got)
			}
			f.fr.WriteRSTStream(id, http2.ErrCodeCancel) //nolint:errcheck // the next read fails
		}
	})
	t.Run("more streams than allowed", func(t *testing.T) {
		f := newFrames(t, serving(t, quiet))
		for id := uint32(1); id < 30; id += 2 {
			f.headers(id, true, nil)
		}
		if got := f.until(21); got != "RST_STREAM PROTOCOL_ERROR" && got != "RST_STREAM REFUSED_STREAM" {
			t.Errorf("the eleventh stream got %q", got)
		}
	})
	t.Run("CONTINUATION without end", func(t *testing.T) {
		f := newFrames(t, serving(t, quiet))
		go func() {
			f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}) //nolint:errcheck // seen below
			for f.fr.WriteContinuation(1, false, bytes.Repeat([]byte{0, 1, 'a', 1, 'b'}, 3000)) == nil {
			}
		}()
		if got := f.until(1); got != "GOAWAY ENHANCE_YOUR_CALM" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("a head that is too large", func(t *testing.T) {
		f := newFrames(t, serving(t, quiet))
		many := map[string]string{}
		for i := range 12 {
			many[fmt.Sprint("x", i)] = strings.Repeat("a", 1000)
		}
		f.headers(1, true, many)
		if got := f.until(1); got != "HEADERS" { // net/http answers 431
			t.Errorf("got %q", got)
		}
	})
}
