package relay

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

const get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

func ok(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// chunks frames a body in chunks of n bytes.
func chunks(body string, n int) string {
	var b strings.Builder
	for len(body) > 0 {
		part := body[:min(n, len(body))]
		body = body[len(part):]
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
	}
	return b.String() + "0\r\n\r\n"
}

// message is a request's or a response's head after the start line, and what is behind it.
type message struct{ fields, body string }

// messages are bodies of every kind and of sizes below, at and above what one buffer holds.
func messages() []message {
	all := []message{{"Content-Length: 0\r\n", ""}, {"Transfer-Encoding: chunked\r\n", "0\r\n\r\n"},
		{"Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"}}
	for _, n := range []int{1, bufferSize - 100, bufferSize, bufferSize + 1, 5*bufferSize + 7} {
		body := strings.Repeat("0123456789abcdef\r\n", n/18+1)[:n]
		all = append(all, message{"Content-Length: " + strconv.Itoa(n) + "\r\n", body},
			message{"Transfer-Encoding: chunked\r\n", chunks(body, 1000)},
			message{"Transfer-Encoding: chunked\r\n", chunks(body, bufferSize+3)})
	}
	return all
}

// TestKeepAlive has requests with every kind of body follow each other, and responses likewise.
func TestKeepAlive(t *testing.T) {
	for _, kind := range []string{"tcp", "tls", "unix"} {
		t.Run(kind, func(t *testing.T) {
			f := newFront(t, kind).serve()
			write(t, f.client, get)
			server := f.server()
			head(t, server)
			write(t, server, ok("first"))
			head(t, f.client)
			expect(t, f.client, "first")
			all := messages()
			for i, m := range all {
				answer := all[len(all)-1-i]
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					write(t, f.client, "PUT /"+strconv.Itoa(i)+" HTTP/1.1\r\nHost: h\r\n"+m.fields+"\r\n"+m.body)
				}()
				if h := head(t, server); !strings.Contains(h, m.fields) || !strings.HasPrefix(h, "PUT /"+strconv.Itoa(i)+" ") {
					t.Fatalf("request %d: the server got %q", i, h)
				}
				expect(t, server, m.body)
				closed(t, "the request to be sent", sent)
				go write(t, server, "HTTP/1.1 200 OK\r\n"+answer.fields+"\r\n"+answer.body)
				if h := head(t, f.client); !strings.Contains(h, answer.fields) || strings.Contains(h, "close") {
					t.Fatalf("response %d: the client got %q", i, h)
				}
				expect(t, f.client, answer.body)
			}
			if n := f.connects.Load(); n != 1 {
				t.Errorf("%d connections to servers, expected 1", n)
			}
			f.client.Close()
			expectEnd(t, server)
		})
	}
}

// trickle writes byte by byte, each in a segment of its own.
func trickle(t testing.TB, c net.Conn, s string) {
	t.Helper()
	for i := range len(s) {
		if _, err := io.WriteString(c, s[i:i+1]); err != nil {
			t.Errorf("byte %d: %v", i, err)
			return
		}
	}
}

func TestByteByByte(t *testing.T) {
	for _, kind := range []string{"tcp", "tls"} {
		t.Run(kind, func(t *testing.T) {
			f := newFront(t, kind).serve()
			body := chunks("some text that is sent in several chunks", 7)
			var server net.Conn
			for range 2 {
				go trickle(t, f.client, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"+body)
				if server == nil {
					server = f.server()
				}
				head(t, server)
				expect(t, server, body)
				go trickle(t, server, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+body)
				if h := head(t, f.client); !strings.HasPrefix(h, "HTTP/1.1 103 ") {
					t.Fatalf("the client got %q", h)
				}
				head(t, f.client)
				expect(t, f.client, body)
			}
		})
	}
}

func TestPipelined(t *testing.T) {
	f := newFront(t, "tcp").serve()
	big := "GET /big HTTP/1.1\r\nHost: h\r\nX-Big: " + strings.Repeat("x", 40<<10) + "\r\n\r\n"
	sequence := []string{
		"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
		big, big,
		"POST /5 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(strings.Repeat("y", 50<<10), 999),
		"GET /6 HTTP/1.1\r\nHost: h\r\n\r\n",
	}
	go write(t, f.client, strings.Join(sequence, ""))
	server := f.server()
	for i, s := range sequence {
		first, _, _ := strings.Cut(s, "\r\n")
		if h := head(t, server); !strings.HasPrefix(h, first+"\r\n") || strings.Contains(s, "X-Big") && len(h) < 40<<10 {
			t.Fatalf("request %d: the server got %.100q, expected %.100q", i, h, first)
		}
		_, body, _ := strings.Cut(s, "\r\n\r\n")
		expect(t, server, body)
		write(t, server, ok(strconv.Itoa(i)))
		head(t, f.client)
		expect(t, f.client, strconv.Itoa(i))
	}
}

func TestExpectContinue(t *testing.T) {
	f := newFront(t, "tls").serve()
	write(t, f.client, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	server := f.server()
	if h := head(t, server); !strings.Contains(h, "Expect: 100-continue\r\n") {
		t.Errorf("the server got %q", h)
	}
	write(t, server, "HTTP/1.1 100 Continue\r\n\r\n")
	expect(t, f.client, "HTTP/1.1 100 Continue\r\n\r\n")
	write(t, f.client, "body")
	expect(t, server, "body")
	write(t, server, ok("done"))
	if h := head(t, f.client); strings.Contains(h, "close") {
		t.Errorf("the connection is closed after %q", h)
	}
	expect(t, f.client, "done")
}

// TestExpectDeclined has a server answer without asking for the body: the client need not send it, and does not.
func TestExpectDeclined(t *testing.T) {
	f := newFront(t, "tcp").serve()
	write(t, f.client, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	server := f.server()
	head(t, server)
	write(t, server, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
	if h := head(t, f.client); !strings.Contains(h, "Connection: close\r\n") {
		t.Errorf("the client got %q", h)
	}
	expectEnd(t, f.client)
	expectEnd(t, server)
}

func TestInterimIsNotForOldClients(t *testing.T) {
	f := newFront(t, "tcp").serve()
	write(t, f.client, "GET / HTTP/1.0\r\n\r\n")
	server := f.server()
	head(t, server)
	write(t, server, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+ok("x"))
	if h := head(t, f.client); !strings.HasPrefix(h, "HTTP/1.1 200 ") {
		t.Errorf("the client got %q", h)
	}
	expect(t, f.client, "x")
	expectEnd(t, f.client)
}

func TestChunksAreNotForOldClients(t *testing.T) {
	f := newFront(t, "tcp").serve()
	write(t, f.client, "GET / HTTP/1.0\r\n\r\n")
	server := f.server()
	head(t, server)
	write(t, server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
	f.status("502")
}

// TestBodiless has responses without a body, whatever their fields say.
func TestBodiless(t *testing.T) {
	f := newFront(t, "tcp").serve()
	var server net.Conn
	for _, c := range []struct{ method, response, want string }{
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "Content-Length: 1000\r\n"},
		{"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding: chunked\r\n"},
		{"GET", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n"},
		{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n"},
		{"HEAD", "HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"},
	} {
		write(t, f.client, c.method+" / HTTP/1.1\r\nHost: h\r\n\r\n")
		if server == nil {
			server = f.server()
		}
		head(t, server)
		write(t, server, c.response)
		if h := head(t, f.client); !strings.Contains(h, c.want) || strings.Contains(h, "Connection: close") {
			t.Errorf("%s: the client got %q", c.method, h)
		}
	}
}

// TestTruncated has servers end within a response: the client must not take what it got for the whole.
// TestUntilCloseReset: an error is no end of a response that ends with the connection.
// TestLateExtraBytes: what a server says between two exchanges is no answer to the second.
// TestServersAreNotNamed: where servers live is not for clients to know.
// failing is a stream whose reads fail.
func TestBadRequests(t *testing.T) {
	for _, c := range []struct{ request, want string }{
		{"GET / HTTP/1.1\r\n\r\n", "400"},
		{"nonsense\r\n\r\n", "400"},
		{"\x16\x03\x01\x02\x00", "400"},
		{"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
		{"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505"},
		{"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", "501"},
		{"GET / HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("x", 70<<10) + "\r\n\r\n", "431"},
		{"GET /" + strings.Repeat("x", 70<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n", "414"},
		{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"}, // came with the head
	} {
		f := newFront(t, "tcp").serve()
		go io.WriteString(f.client, c.request) //nolint:errcheck // it may be refused half way
		f.status(c.want)
		want, _ := strconv.Atoi(c.want)
		f.refusedWith(want)
		if n := f.connects.Load(); n != 0 {
			t.Errorf("%.40q: a server was connected to", c.request)
		}
	}
}

// TestBadPipelined: what was good before a bad request is answered, and the server hears nothing of the bad one.
func TestBadPipelined(t *testing.T) {
	f := newFront(t, "tcp").serve()
	write(t, f.client, get+"GET / HTTP/1.1\r\nHost : h\r\n\r\n")
	server := f.server()
	head(t, server)
	write(t, server, ok("one"))
	head(t, f.client)
	expect(t, f.client, "one")
	f.status("400")
	expectEnd(t, server)
}

// TestHeadLargerThanABuffer passes in both directions.
func TestHeadLargerThanABuffer(t *testing.T) {
	for _, kind := range []string{"tcp", "tls"} {
		f := newFront(t, kind).serve()
		long := "X-Long: " + strings.Repeat("l", 40<<10) + "\r\n"
		for i := range 3 {
			write(t, f.client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"+long+"\r\nhello")
			if i == 0 {
				f.known = f.server()
			}
			if h := head(t, f.known); !strings.Contains(h, long) {
				t.Fatalf("the server got %d bytes without the long field", len(h))
			}
			expect(t, f.known, "hello")
			write(t, f.known, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"+long+"\r\nbye")
			if h := head(t, f.client); !strings.Contains(h, long) {
				t.Fatalf("the client got %d bytes without the long field", len(h))
			}
			expect(t, f.client, "bye")
		}
	}
}

func TestUpgrade(t *testing.T) {
	const ask = "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
	const yes = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
	for _, kind := range []string{"tcp", "tls"} {
		t.Run(kind, func(t *testing.T) {
			f := newFront(t, kind).serve()
			write(t, f.client, ask+"early client")
			server := f.server()
			if h := head(t, server); !strings.Contains(h, "Connection: Upgrade\r\n") {
				t.Errorf("the server got %q", h)
			}
			write(t, server, yes+"early server")
			if h := head(t, f.client); !strings.HasPrefix(h, "HTTP/1.1 101 ") || strings.Contains(h, "close") {
				t.Errorf("the client got %q", h)
			}
			expect(t, f.client, "early server")
			expect(t, server, "early client")
			write(t, server, "more")
			expect(t, f.client, "more")
			halfClose(t, server)
			expectEnd(t, f.client)
			write(t, f.client, "last")
			expect(t, server, "last")
			f.client.Close()
			expectEnd(t, server)
		})
	}
	t.Run("refused", func(t *testing.T) {
		f := newFront(t, "tcp").serve()
		write(t, f.client, ask+get)
		server := f.server()
		head(t, server)
		write(t, server, ok("no"))
		head(t, f.client)
		expect(t, f.client, "no")
		head(t, server) // what followed is the next request
		write(t, server, ok("next"))
		head(t, f.client)
		expect(t, f.client, "next")
	})
}

// TestHoldsNoBuffersWhileIdle looks at the exchange from within.
func TestHoldsNoBuffersWhileIdle(t *testing.T) {
	for _, kind := range []string{"tcp", "tls"} {
		f := newFront(t, kind)
		x := exchange{HTTPConfig: &f.config, client: f.stream}
		for range 3 {
			write(t, f.client, get)
			if x.server == nil {
				go func() {
					f.known = f.server()
					answer(f.known)
				}()
			}
			if !x.one() {
				t.Fatal("the exchange failed")
			}
			head(t, f.client)
			expect(t, f.client, "answer")
		}
		f.client.Close()
		if x.one() {
			t.Error("an exchange without a request")
		}
		for name, s := range map[string]*store{"in": &x.in, "back": &x.back, "out": &x.out} {
			if s.pooled != nil || s.b != nil {
				t.Errorf("%s: store %s holds a buffer while waiting for a request", kind, name)
			}
		}
		if x.client.sock.ahead != nil || x.server.sock.ahead != nil {
			t.Errorf("%s: a socket holds a buffer", kind)
		}
		x.dropServer()
		f.stream.Close()
	}
}

// answer answers every request on a connection.
func answer(c net.Conn) {
	for {
		if _, err := readHead(c); err != nil {
			return
		}
		if _, err := io.WriteString(c, ok("answer")); err != nil {
			return
		}
	}
}

func TestHTTPLeaksNothing(t *testing.T) {
	round := func(kind string) {
		f := newFront(t, kind).serve()
		write(t, f.client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc")
		server := f.server()
		head(t, server)
		expect(t, server, "abc")
		f.client.Close()
		expectEnd(t, server)
		server.Close()
		closed(t, "the relay to end", f.done)
	}
	round("tcp")
	round("tls")
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	for range 20 {
		round("tcp")
		round("tls")
	}
	until(t, "goroutines and descriptors to be given back", func() bool {
		return runtime.NumGoroutine() <= goroutines && descriptors(t) <= files
	})
}

// TestHTTPCounts: the meter is told of what passed, as it passed: heads as we forward them, and bodies.
func TestHTTPCounts(t *testing.T) {
	f := newFront(t, "tls").serve()
	body := strings.Repeat("x", 2*bufferSize)
	write(t, f.client, post(len(body))+body)
	server := f.server()
	up := len(head(t, server)) + len(body)
	expect(t, server, body)
	write(t, server, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n"+
		"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"+chunks(body, 5000))
	down := len(head(t, f.client)) + len(head(t, f.client)) + len(chunks(body, 5000))
	expect(t, f.client, chunks(body, 5000))
	until(t, "the bytes to be counted", func() bool {
		return f.meter.up.Load() == int64(up) && f.meter.down.Load() == int64(down)
	})
}
