//go:build !nohttp3

package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

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

// TestHTTP3Crowds leave nothing behind.
func TestHTTP3Crowds(t *testing.T) {
	p, _ := startQUIC(t, func(c *Config) { c.Limits.Concurrent, c.HandshakeTimeout = 100, time.Minute })
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

// TestHTTP3RequestsMax: after so many requests a connection takes no more, and ends when those under way have; the client comes again.
func TestHTTP3RequestsMax(t *testing.T) {
	p, _ := startQUIC(t, func(c *Config) { c.RequestsMax = 3 })
	c := quicTo(t, p, "127.0.0.1", nil)
	c.ask(t, "GET", "/", nil, nil)
	first := c.conn.Load()
	c.ask(t, "GET", "/", nil, nil)
	body, upload := io.Pipe()
	answered := make(chan string, 1)
	go func() {
		said, err := c.try("POST", "/sum", body, nil)
		answered <- fmt.Sprint(said, err)
	}()
	upload.Write([]byte("half")) //nolint:errcheck // it is a pipe
	until(t, "the client to come again", func() bool {
		c.ask(t, "GET", "/", nil, nil)
		return c.conn.Load() != first
	})
	if first.Context().Err() != nil {
		t.Error("the connection has ended with a request under way")
	}
	upload.Write([]byte("whole")) //nolint:errcheck // it is a pipe
	upload.Close()
	if got := <-answered; !strings.HasPrefix(got, "200  9 -1") {
		t.Errorf("the response was %q", got)
	}
	wait(t, "the connection to end", first.Context().Done())
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
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond) // before there is an answer
			req, _ := http.NewRequestWithContext(ctx, "GET", "https://localhost/never", nil)
			resp, err := c.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
			cancel()
			if q := c.conn.Load(); q != nil && q.Context().Err() != nil {
				break
			}
			if i > 5000 {
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
