package relay

import (
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

const (
	benchRequest = "GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: bench\r\nAccept: */*\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n"
	benchAnswer  = "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n0123456789"
)

// loop has a client exchange fixed messages with a server through a relay; neither allocates.
type loop struct {
	client        net.Conn
	request, read []byte
}

// newHTTPLoop starts an HTTP relay between a client and a server that answers benchAnswer.
func newHTTPLoop(t testing.TB, kind string) *loop {
	f := newFront(t, kind)
	f.client.SetDeadline(time.Time{}) //nolint:errcheck // it fails on a closed connection only
	f.serve()
	l := &loop{client: f.client, request: []byte(benchRequest), read: make([]byte, len(benchAnswer))}
	write(t, f.client, benchRequest)
	server := f.server()
	server.SetDeadline(time.Time{}) //nolint:errcheck // as above
	forwarded := len(head(t, server))
	write(t, server, benchAnswer)
	expect(t, f.client, benchAnswer)
	go serveFixed(server, make([]byte, forwarded), []byte(benchAnswer))
	return l
}

// serveFixed answers every message of the length of request.
func serveFixed(c net.Conn, request, answer []byte) {
	for {
		if _, err := io.ReadFull(c, request); err != nil {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

func (l *loop) exchange(t testing.TB) {
	if _, err := l.client.Write(l.request); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(l.client, l.read); err != nil {
		t.Fatal(err)
	}
}

// TestKeepAliveAllocates nothing, once it is in its stride. Buffers that the pool had to make do not count: the race
// detector has it forget a part of them, and the garbage collector all.
func TestKeepAliveAllocates(t *testing.T) {
	for _, c := range []struct {
		kind  string
		limit float64
	}{{"tcp", 0.1}, {"tls", 0.1 + tlsAllocs}} {
		t.Run(c.kind, func(t *testing.T) {
			var made atomic.Int64
			fresh := buffers.New
			buffers.New = func() any { made.Add(1); return fresh() }
			l := newHTTPLoop(t, c.kind)
			t.Cleanup(func() { buffers.New = fresh })
			for range 100 {
				l.exchange(t)
			}
			const exchanges = 2000
			var before, after runtime.MemStats
			was := made.Load()
			runtime.ReadMemStats(&before)
			for range exchanges {
				l.exchange(t)
			}
			runtime.ReadMemStats(&after)
			n := float64(int64(after.Mallocs-before.Mallocs)-(made.Load()-was)) / exchanges
			if n > c.limit {
				t.Errorf("%.2f allocations for an exchange, expected at most %.1f", n, c.limit)
			}
			t.Logf("%.3f allocations for an exchange, buffers aside", n)
		})
	}
}

func BenchmarkHTTPKeepAlive(b *testing.B) {
	for _, kind := range []string{"tcp", "tls"} {
		b.Run(kind, func(b *testing.B) {
			l := newHTTPLoop(b, kind)
			b.ReportAllocs()
			for b.Loop() {
				l.exchange(b)
			}
		})
	}
}

func BenchmarkRawEcho(b *testing.B) {
	for _, kind := range []string{"tcp", "tls"} {
		b.Run(kind, func(b *testing.B) {
			f := newRaw(b, kind, "tcp", time.Minute)
			for _, c := range []net.Conn{f.client, f.server} {
				c.SetDeadline(time.Time{}) //nolint:errcheck // it fails on a closed connection only
			}
			message := make([]byte, 1024)
			go serveFixed(f.server, make([]byte, len(message)), make([]byte, len(message)))
			l := &loop{client: f.client, request: message, read: make([]byte, len(message))}
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				l.exchange(b)
			}
		})
	}
}

// BenchmarkRawBulk downloads; an operation is a mebibyte.
func BenchmarkRawBulk(b *testing.B) {
	for _, kind := range []string{"tcp", "tls"} {
		b.Run(kind, func(b *testing.B) {
			f := newRaw(b, kind, "tcp", 0)
			for _, c := range []net.Conn{f.client, f.server} {
				c.SetDeadline(time.Time{}) //nolint:errcheck // as above
			}
			const size = 1 << 20
			go func() {
				for p := make([]byte, size/4); ; {
					if _, err := f.server.Write(p); err != nil {
						return
					}
				}
			}()
			p := make([]byte, size)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := io.ReadFull(f.client, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
