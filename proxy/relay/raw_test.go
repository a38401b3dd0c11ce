package relay

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"
)

// rawFront is a raw relay between two connections of a test.
type rawFront struct {
	client, server net.Conn
	meter          meter
	done           chan struct{}
}

func newRaw(t testing.TB, client, server string, idle time.Duration) *rawFront {
	t.Helper()
	f := &rawFront{done: make(chan struct{})}
	var c, s *Stream
	f.client, c = side(t, client)
	f.server, s = side(t, server)
	go func() {
		defer close(f.done)
		Raw(c, s, idle, &f.meter)
	}()
	t.Cleanup(func() {
		f.client.Close()
		f.server.Close()
		closed(t, "the relay to end with its sides", f.done)
	})
	return f
}

var kinds = [][2]string{{"tcp", "tcp"}, {"tls", "tcp"}, {"unix", "tcp"}, {"tcp", "unix"}, {"tls", "unix"}, {"tls", "tls"}}

// halfClose says that nothing more comes.
func halfClose(t testing.TB, c net.Conn) {
	t.Helper()
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
	if s, ok := c.(interface{ NetConn() net.Conn }); ok {
		halfClose(t, s.NetConn())
	}
}

func TestRawHalfClose(t *testing.T) {
	for _, k := range kinds {
		t.Run(k[0]+"-"+k[1], func(t *testing.T) {
			f := newRaw(t, k[0], k[1], 0)
			write(t, f.client, "question")
			halfClose(t, f.client)
			expect(t, f.server, "question")
			expectEnd(t, f.server)
			write(t, f.server, "answer")
			expect(t, f.client, "answer") // the other direction is open still
			f.server.Close()
			expectEnd(t, f.client)
			closed(t, "the relay to end", f.done)
			if up, down := f.meter.up.Load(), f.meter.down.Load(); up != 8 || down != 6 {
				t.Errorf("counted %d up and %d down, expected 8 and 6", up, down)
			}

			f = newRaw(t, k[0], k[1], 0)
			write(t, f.server, "greeting")
			halfClose(t, f.server)
			expect(t, f.client, "greeting")
			expectEnd(t, f.client)
			write(t, f.client, "bye")
			expect(t, f.server, "bye")
			halfClose(t, f.client)
			expectEnd(t, f.server)
			closed(t, "the relay to end", f.done)
		})
	}
}

// noise is an endless, reproducible stream without repetitions.
func noise(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func TestRawBulk(t *testing.T) {
	const size = 6<<20 + 12345
	for _, k := range kinds {
		t.Run(k[0]+"-"+k[1], func(t *testing.T) {
			f := newRaw(t, k[0], k[1], 0)
			ends := []net.Conn{f.client, f.server}
			sums := make(chan [2][32]byte, 2)
			for i := range ends {
				go func() {
					h := sha256.New()
					if _, err := io.Copy(ends[i], io.TeeReader(io.LimitReader(noise(byte(i)), size), h)); err != nil {
						t.Error(err)
					}
					halfClose(t, ends[i])
					sent := [32]byte(h.Sum(nil))
					sums <- [2][32]byte{{byte(i)}, sent}
				}()
			}
			got := [2][32]byte{}
			read := make(chan int, 2)
			for i := range ends {
				go func() {
					h := sha256.New()
					if n, err := io.Copy(h, ends[1-i]); n != size || err != nil {
						t.Errorf("received %d bytes (%v), expected %d", n, err, size)
					}
					got[i] = [32]byte(h.Sum(nil))
					read <- i
				}()
			}
			<-read
			<-read
			for range ends {
				if s := <-sums; s[1] != got[s[0][0]] {
					t.Errorf("side %d: what arrived differs from what was sent", s[0][0])
				}
			}
			closed(t, "the relay to end", f.done)
			if up, down := f.meter.up.Load(), f.meter.down.Load(); up != size || down != size {
				t.Errorf("counted %d up and %d down, expected %d", up, down, size)
			}
		})
	}
}

func TestRawResetEndsTheOtherSide(t *testing.T) {
	for _, k := range kinds {
		for _, who := range []string{"client", "server"} {
			t.Run(k[0]+"-"+k[1]+"/"+who, func(t *testing.T) {
				f := newRaw(t, k[0], k[1], 0)
				write(t, f.client, "x")
				expect(t, f.server, "x")
				gone, other := f.client, f.server
				if who == "server" {
					gone, other = other, gone
				}
				reset(gone)
				one := make([]byte, 1)
				if _, err := other.Read(one); err == nil || isTimeout(err) {
					t.Errorf("the other side read %v, expected an end", err)
				}
				other.Close() // of a Unix socket's peer we see no more than an orderly end, which may be a half-close
				closed(t, "the relay to end", f.done)
			})
		}
	}
}

// reset ends a connection with an error for its peer, where the socket can do that.
func reset(c net.Conn) {
	if s, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = s.NetConn()
	}
	if s, ok := c.(*net.TCPConn); ok {
		s.SetLinger(0) //nolint:errcheck // the test fails by what follows
	}
	c.Close()
}

func TestRawIdle(t *testing.T) {
	const idle = 2 * brief
	for _, k := range kinds {
		t.Run(k[0]+"-"+k[1], func(t *testing.T) {
			t.Parallel() // they do little but wait
			f := newRaw(t, k[0], k[1], idle)
			// While one side speaks, the other may be silent for longer.
			tick := time.NewTicker(idle / 16)
			defer tick.Stop()
			var last time.Time
			for range 24 {
				<-tick.C
				last = time.Now()
				write(t, f.client, "x")
				expect(t, f.server, "x")
			}
			closed(t, "the idle relay to end", f.done)
			if after := time.Since(last); after < idle {
				t.Errorf("ended after %v without traffic, expected %v", after, idle)
			}
			expectEnd(t, f.client)
			expectEnd(t, f.server)
		})
	}
}

// TestRawSlowIsNotIdle has a transfer become slow once it moves within the kernel, where nobody sees a byte pass.
func TestRawSlowIsNotIdle(t *testing.T) {
	const idle = 2 * brief
	f := newRaw(t, "tcp", "tcp", idle)
	const bulk = 4 << 20
	go func() {
		if _, err := io.CopyN(f.server, noise(1), bulk); err != nil {
			t.Error(err)
		}
	}()
	if _, err := io.CopyN(io.Discard, f.client, bulk); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(idle / 16)
	defer tick.Stop()
	for range 32 {
		<-tick.C
		write(t, f.server, "drop")
		expect(t, f.client, "drop")
	}
	closed(t, "the idle relay to end", f.done)
}

func TestRawLeaksNothing(t *testing.T) {
	round := func() {
		for _, k := range kinds {
			f := newRaw(t, k[0], k[1], time.Minute)
			write(t, f.client, "x")
			expect(t, f.server, "x")
			f.server.Close()
			f.client.Close()
			closed(t, "the relay to end", f.done)
		}
	}
	round() // whatever the runtime opens once, it has opened now
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	for range 20 {
		round()
	}
	until(t, "goroutines and descriptors to be given back", func() bool {
		return runtime.NumGoroutine() <= goroutines && descriptors(t) <= files
	})
}
