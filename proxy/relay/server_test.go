package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
)

func TestUntilClose(t *testing.T) {
	for _, kind := range []string{"tcp", "tls", "unix"} {
		f := newFront(t, kind).serve()
		write(t, f.client, get)
		server := f.server()
		head(t, server)
		write(t, server, "HTTP/1.1 200 OK\r\n\r\n"+strings.Repeat("z", 3*bufferSize))
		server.Close()
		if h := head(t, f.client); !strings.Contains(h, "Connection: close\r\n") {
			t.Errorf("the client got %q", h)
		}
		expect(t, f.client, strings.Repeat("z", 3*bufferSize))
		expectEnd(t, f.client)
	}
}

func TestTruncated(t *testing.T) {
	for _, kind := range []string{"tcp", "tls"} {
		for _, response := range []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
		} {
			f := newFront(t, kind).serve()
			write(t, f.client, get)
			server := f.server()
			head(t, server)
			write(t, server, response)
			server.Close()
			got := expectCut(t, f.client)
			if bytes.Contains(got, []byte("\r\n0\r\n\r\n")) {
				t.Errorf("%q became complete: %q", response, got)
			}
		}
	}
}

func TestUntilCloseReset(t *testing.T) {
	f := newFront(t, "tcp").serve()
	write(t, f.client, get)
	server := f.server()
	head(t, server)
	write(t, server, "HTTP/1.1 200 OK\r\n\r\nhalf")
	head(t, f.client)
	expect(t, f.client, "half")
	reset(server)
	expectCut(t, f.client)
}

func TestExtraBytes(t *testing.T) {
	for _, response := range []string{
		ok("one") + ok("two"),
		"HTTP/1.1 204 No Content\r\n\r\nextra",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\nextra",
		"HTTP/1.1 100 Continue\r\n\r\n" + ok("one") + "HTTP/1.1 100 Continue\r\n\r\n",
	} {
		f := newFront(t, "tcp").serve()
		write(t, f.client, get)
		server := f.server()
		head(t, server)
		write(t, server, response)
		until(t, "the server to be dropped", func() bool { return f.disconnects.Load() == 1 })
		write(t, f.client, "GET /second HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		server = f.server()
		head(t, server)
		write(t, server, ok("second"))
		all, err := io.ReadAll(f.client)
		if err != nil || bytes.Contains(all, []byte("extra")) || bytes.Contains(all, []byte("two")) || !bytes.HasSuffix(all, []byte("second")) {
			t.Errorf("%q: the client got %q (%v)", response, all, err)
		}
	}
}

func TestLateExtraBytes(t *testing.T) {
	f := newFront(t, "tcp").serve()
	write(t, f.client, get)
	server := f.server()
	head(t, server)
	write(t, server, ok("one"))
	head(t, f.client)
	expect(t, f.client, "one")
	write(t, server, ok("poison")) // on loopback it is there when write returns
	write(t, f.client, "GET /second HTTP/1.1\r\nHost: h\r\n\r\n")
	server = f.server()
	head(t, server)
	write(t, server, ok("second"))
	head(t, f.client)
	expect(t, f.client, "second")
}

func TestRetry(t *testing.T) {
	// exchange has a request answered by the server at hand.
	exchange := func(f *front) net.Conn {
		write(t, f.client, get)
		server := f.server()
		head(t, server)
		write(t, server, ok("one"))
		head(t, f.client)
		expect(t, f.client, "one")
		return server
	}
	t.Run("GET", func(t *testing.T) {
		f := newFront(t, "tcp").serve()
		server := exchange(f)
		write(t, f.client, get)
		head(t, server) // the request is lost in a server that closes
		server.Close()
		server = f.server()
		head(t, server)
		write(t, server, ok("again"))
		head(t, f.client)
		expect(t, f.client, "again")
	})
	t.Run("GET once only", func(t *testing.T) {
		f := newFront(t, "tcp").serve()
		server := exchange(f)
		write(t, f.client, get)
		head(t, server)
		server.Close()
		server = f.server()
		head(t, server)
		server.Close()
		f.status("502")
		if n := f.connects.Load(); n != 2 {
			t.Errorf("%d connections to servers, expected 2", n)
		}
	})
	t.Run("PUT in hand", func(t *testing.T) {
		f := newFront(t, "tcp").serve()
		server := exchange(f)
		put := "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
		write(t, f.client, put)
		head(t, server)
		expect(t, server, "abc")
		server.Close()
		server = f.server()
		head(t, server)
		expect(t, server, "abc")
		write(t, server, ok("again"))
		head(t, f.client)
		expect(t, f.client, "again")
	})
	t.Run("PUT in parts", func(t *testing.T) {
		f := newFront(t, "tcp").serve()
		server := exchange(f)
		body := strings.Repeat("x", 3*bufferSize)
		write(t, f.client, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
		head(t, server)
		expect(t, server, body)
		server.Close()
		f.status("502") // only its beginning is in hand
		if n := f.connects.Load(); n != 1 {
			t.Errorf("%d connections to servers, expected 1", n)
		}
	})
	t.Run("POST", func(t *testing.T) {
		f := newFront(t, "tcp").serve()
		server := exchange(f)
		write(t, f.client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
		head(t, server)
		expect(t, server, "abc")
		server.Close()
		f.status("502")
		if n := f.connects.Load(); n != 1 {
			t.Errorf("%d connections to servers, expected 1", n)
		}
	})
	t.Run("answer begun", func(t *testing.T) {
		f := newFront(t, "tcp").serve()
		server := exchange(f)
		write(t, f.client, get)
		head(t, server)
		write(t, server, "HTTP/1.1 200 OK\r\nContent-")
		server.Close()
		f.status("502")
		if n := f.connects.Load(); n != 1 {
			t.Errorf("%d connections to servers, expected 1", n)
		}
	})
}

func TestBadServers(t *testing.T) {
	for name, response := range map[string]string{
		"nothing":             "",
		"garbage":             "SSH-2.0-OpenSSH\r\n",
		"half a head":         "HTTP/1.1 200 OK\r\nContent-Le",
		"both framings":       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"line folding":        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
		"unasked 101":         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		"too large a head":    "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 70<<10) + "\r\n\r\n",
		"nothing but interim": "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/9.9 what\r\n",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			t.Run(name+"/"+method, func(t *testing.T) {
				f := newFront(t, "tcp").serve()
				write(t, f.client, method+" / HTTP/1.1\r\nHost: h\r\n\r\n")
				server := f.server()
				head(t, server)
				go func() {
					io.WriteString(server, response) //nolint:errcheck // it may be refused half way
					server.Close()
				}()
				if strings.Contains(response, " 103 ") {
					head(t, f.client)
				}
				page := f.status("502")
				if method == "HEAD" && !strings.HasSuffix(page, "\r\n\r\n") {
					t.Errorf("a body in the answer to HEAD: %q", page)
				}
				f.refusedWith(502)
			})
		}
	}
}

func TestConnectFails(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{{ErrNoServer, 503}, {fmt.Errorf("all servers: %w", ErrNoServer), 503}, {errors.New("refused"), 502}} {
		for _, method := range []string{"GET", "HEAD"} {
			f := newFront(t, "tcp")
			f.config.Connect = func(anew bool) (*Stream, error) { return nil, c.err }
			f.serve()
			write(t, f.client, method+" / HTTP/1.1\r\nHost: h\r\n\r\n")
			if page := f.status(strconv.Itoa(c.want)); strings.HasSuffix(page, "\r\n\r\n") != (method == "HEAD") {
				t.Errorf("%s: %q", method, page)
			}
			f.refusedWith(c.want)
		}
	}
}

func TestServersAreNotNamed(t *testing.T) {
	f := newFront(t, "tcp")
	cause := errors.New("read tcp 10.1.2.3:80: no route to host")
	connect := f.config.Connect
	f.config.Connect = func(anew bool) (*Stream, error) {
		s, err := connect(anew)
		s.tls = failing{s.sock, cause}
		return s, err
	}
	f.serve()
	write(t, f.client, get)
	if page := f.status("502"); strings.Contains(page, "10.1.2.3") {
		t.Errorf("the client learns of a server's address: %q", page)
	}
	closed(t, "the relay to end", f.done)
	if !strings.Contains(f.reasons[0], "10.1.2.3") {
		t.Errorf("the log does not: %q", f.reasons)
	}
}

type failing struct {
	*Socket
	err error
}

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestExtraRecords: what a server said unasked may be in the hands of TLS already, where the socket does not show it.
func TestExtraRecords(t *testing.T) {
	f := newFront(t, "tcp")
	f.config.Connect = func(bool) (*Stream, error) {
		server, stream := side(t, "tls")
		if f.connects.Add(1) == 1 { // on loopback it is there, in two records, when write returns
			write(t, server, ok("one"))
			write(t, server, ok("poison"))
		} else {
			write(t, server, ok("second"))
		}
		return stream, nil
	}
	f.serve()
	for _, answer := range []string{"one", "second"} {
		write(t, f.client, get)
		head(t, f.client)
		expect(t, f.client, answer)
	}
}

// TestRetryAfterAStaleConnection: that one was found closed before it was asked does not use up the try that another deserves.
func TestRetryAfterAStaleConnection(t *testing.T) {
	f := newFront(t, "tcp")
	spares := make(chan *Stream, 2)
	f.config.Connect = func(anew bool) (*Stream, error) {
		f.connects.Add(1)
		if !anew && len(spares) > 0 {
			return <-spares, nil
		}
		server, stream := side(t, "tcp")
		f.servers <- server
		return stream, nil
	}
	closed, stale := side(t, "tcp")
	closed.Close()
	until(t, "the end to arrive", func() bool { return !stale.sock.alive() })
	lost, spare := side(t, "tcp")
	stale.served, spare.served = true, true
	spares <- stale
	spares <- spare
	f.serve()
	write(t, f.client, get)
	head(t, lost)
	lost.Close()
	server := f.server()
	head(t, server)
	write(t, server, ok("again"))
	head(t, f.client)
	expect(t, f.client, "again")
}

// TestWhatCannotBeSentTwice goes over a connection that nobody has used before, which no server is tired of.
func TestWhatCannotBeSentTwice(t *testing.T) {
	for request, want := range map[string]bool{
		get: false,
		"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc":       false,
		"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n":          true,
		"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n": true,
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc":      true,
	} {
		f := newFront(t, "tcp")
		asked := make(chan bool, 1)
		f.config.Connect = func(anew bool) (*Stream, error) {
			asked <- anew
			return nil, ErrNoServer
		}
		f.serve()
		write(t, f.client, request)
		if anew := <-asked; anew != want {
			t.Errorf("%q: anew is %v", request, anew)
		}
		f.client.Close()
	}
}
