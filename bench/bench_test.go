// Package bench holds the benchmarks of what every connection and request goes through, side by side:
//
//	go test -bench . ./bench
//
// The comparison with other proxies is the program in bench/compare.
package bench

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"edgepen/httpx"
	"edgepen/proxy/backend"
	"edgepen/proxy/relay"
)

const request = "GET /1k HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: bench/1.0 (load generator)\r\n" +
	"Accept: text/html,application/json;q=0.9\r\nAccept-Language: en-GB\r\nCookie: session=0123456789abcdef\r\n\r\n"

var (
	response = append([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n"), bytes.Repeat([]byte("x"), 1024)...)
	forward  = httpx.Forward{Client: "192.0.2.1", Proto: "https", Port: "443"}
)

// BenchmarkParser is a request head, read and made anew for the server.
func BenchmarkParser(b *testing.B) {
	var r httpx.Request
	in, out := []byte(request), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		if n, err := r.Parse(in, 64<<10); n == 0 || err != nil {
			b.Fatal(n, err)
		}
		out = r.AppendForward(out[:0], in, &forward)
	}
}

// BenchmarkSelection is a client looked up and a server chosen for it.
func BenchmarkSelection(b *testing.B) {
	for name, mode := range map[string]backend.Mode{"tracked": {}, "roundrobin": {RoundRobin: true}, "hash": {Hash: true}} {
		b.Run(name, func(b *testing.B) {
			clients, set, now := backend.NewClients(100_000), servers(10, mode), time.Now()
			addr := netip.MustParseAddr("192.0.2.1")
			b.ReportAllocs()
			for b.Loop() {
				c := clients.Visit(addr, now, 0)
				for srv := range set.Candidates(backend.Request{Client: addr, Last: c.Last(), Now: now}) {
					if srv.Acquire(false) {
						c.SetLast(srv.Index)
						srv.Release()
						break
					}
				}
				addr = addr.Next()
			}
		})
	}
}

func servers(n int, mode backend.Mode) *backend.Set {
	c := backend.SetConfig{Mode: mode}
	for i := range n {
		c.Servers = append(c.Servers, &backend.Server{Index: i, State: new(backend.State),
			Spec: backend.Spec{Address: "192.0.2." + strconv.Itoa(i), Port: 80}})
	}
	return backend.NewSet(c)
}

// BenchmarkRelay is one exchange on established connections: as bytes, and as HTTP.
func BenchmarkRelay(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		exchanges(b, func(client, server *relay.Stream) { relay.Raw(client, server, 0, nobody{}) })
	})
	b.Run("http", func(b *testing.B) {
		exchanges(b, func(client, server *relay.Stream) {
			relay.HTTP(client, &relay.HTTPConfig{Forward: forward, HeadLimit: 64 << 10, Idle: time.Minute, HeadTimeout: time.Minute,
				Connect:      func(bool) (*relay.Stream, error) { return server, nil },
				Disconnected: func() {}, Refused: func(int, error) {}, Meter: nobody{}})
		})
	})
}

// nobody is a meter that does not count.
type nobody struct{}

func (nobody) Up(int64)   {}
func (nobody) Down(int64) {}

// exchanges measures requests through a relay between a client and a server of its own.
func exchanges(b *testing.B, run func(client, server *relay.Stream)) {
	client, front := pair(b)
	back, server := pair(b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(stream(b, front), stream(b, back))
	}()
	go answer(server)
	ask, in := []byte(request), make([]byte, len(response))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Write(ask); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(client, in); err != nil {
			b.Fatal(err)
		}
	}
	client.Close()
	<-done
}

// answer gives the same response for whatever comes in one piece.
func answer(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
		if _, err := c.Write(response); err != nil {
			return
		}
	}
}

func stream(b *testing.B, c net.Conn) *relay.Stream {
	s, err := relay.NewSocket(c)
	if err != nil {
		b.Fatal(err)
	}
	return relay.NewStream(s, nil)
}

// pair is a connection on loopback.
func pair(b *testing.B) (near, far net.Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	if near, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		b.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		b.Fatal(err)
	}
	return near, far
}
