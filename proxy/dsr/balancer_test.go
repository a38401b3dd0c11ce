package dsr

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"edgepen/proxy/backend"
)

// A wire is a link whose other end is a test.
type wire struct {
	in       chan any    // frames to read, or errors
	out      chan []byte // frames written
	closed   chan struct{}
	deadline time.Time
	broken   atomic.Bool // Write fails
}

func newWire() *wire {
	return &wire{in: make(chan any), out: make(chan []byte, 1000), closed: make(chan struct{})}
}

func (w *wire) Read(b []byte) (int, error) {
	timeout := time.NewTimer(time.Until(w.deadline))
	defer timeout.Stop()
	select {
	case x := <-w.in:
		if err, ok := x.(error); ok {
			return 0, err
		}
		return copy(b, x.([]byte)), nil
	case <-w.closed:
		return 0, os.ErrClosed
	case <-timeout.C:
		return 0, os.ErrDeadlineExceeded
	}
}

func (w *wire) Write(b []byte) (int, error) {
	if w.broken.Load() {
		return 0, errors.New("network is down")
	}
	w.out <- append([]byte(nil), b...)
	return len(b), nil
}

func (w *wire) SetDeadline(t time.Time) error { w.deadline = t; return nil }

func (w *wire) Close() error {
	select {
	case <-w.closed:
		return os.ErrClosed
	default:
		close(w.closed)
		return nil
	}
}

// send is a frame that arrives with the given byte for its offload header.
func (w *wire) send(offload byte, frame []byte) {
	b := make([]byte, offloadLen, offloadLen+len(frame))
	b[0] = offload
	w.in <- append(b, frame...)
	synctest.Wait()
}

// sent is the frames written since the last time.
func (w *wire) sent() (frames [][]byte) {
	synctest.Wait()
	for {
		select {
		case b := <-w.out:
			frames = append(frames, b)
		default:
			return frames
		}
	}
}

func testHost() (host, error) {
	return host{mac: ourMAC, networks: []netip.Prefix{ourAddr}}, nil
}

// begin starts a balancer on a wire and keeps what it logs.
func begin(t *testing.T, c Config) (*Balancer, *wire, *strings.Builder) {
	t.Helper()
	h, _ := testHost()
	table, err := compile(c, h, nil)
	if err != nil {
		t.Fatal(err)
	}
	w, log := newWire(), new(strings.Builder)
	b := start(table, w, testHost, slog.New(slog.NewTextHandler(log, nil)))
	synctest.Wait()
	return b, w, log
}

func TestBalancerForwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testConfig()
		c.Tarpit = func(a netip.Addr) bool { return a == trapped }
		state := new(backend.State)
		c.Servers[0].State = state
		b, w, log := begin(t, c)
		defer b.Close()
		if n := len(w.sent()); n != 2 {
			t.Fatalf("%d requests at start, want 2", n)
		}
		w.send(0, tcpFrame(clientAddr, 5000, 80, flagSYN)) // too early
		w.send(0, isAt(server1, mac1))
		w.send(0, isAt(server2, mac2))
		w.send(1, tcpFrame(clientAddr, 5000, 80, flagSYN))
		w.send(1, whoHas(service))
		w.send(1, ipFrame(clientAddr, trapped, protoTCP, 0, tcpSegment(1, 2, flagSYN)))
		w.send(1, tcpFrame(clientAddr, 5000, 81, flagSYN))
		w.in <- []byte{1, 2, 3}

		frames := w.sent()
		if len(frames) != 3 || frames[0][0] != 1 || MAC(frames[0][offloadLen:]) != mac1 {
			t.Fatalf("sent %x", frames)
		}
		if frames[1][0] != 0 || frames[2][0] != 0 {
			t.Error("an answer was sent with the request's offload header")
		}
		s := b.Status()
		if s.Forwarded != 1 || s.ARP != 1 || s.Tarpitted != 1 || s.Dropped != 1 || s.Failed != 0 {
			t.Errorf("status %+v", s)
		}
		if got, want := s.Servers[1], (ServerStatus{Addr: server2, MAC: mac2, Up: true, Slots: 128}); got != want {
			t.Errorf("server 1: %+v, want %+v", got, want)
		}
		if state.Sent() != 40 {
			t.Errorf("counted %d bytes, want 40", state.Sent())
		}
		if !strings.Contains(log.String(), "server found\" address=10.9.0.1 mac=02:00:00:00:00:01") {
			t.Errorf("logged %s", log)
		}
	})
}

func TestBalancerNoticesLostServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w, log := begin(t, testConfig())
		defer b.Close()
		w.send(0, isAt(server1, mac1))
		time.Sleep(2500 * time.Millisecond)
		if n := len(w.sent()); n != 2+2 {
			t.Errorf("%d requests in the first seconds, want 4", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !strings.Contains(log.String(), "server does not answer ARP\" server=1 address=10.9.0.2") {
			t.Errorf("logged %s", log)
		}
		w.sent()
		w.send(0, tcpFrame(netip.MustParseAddr("10.9.0.76"), 5000, 80, flagSYN)) // slot of server 1
		if frames := w.sent(); len(frames) != 1 || MAC(frames[0][offloadLen:]) != mac1 {
			t.Errorf("sent %x", frames)
		}
	})
}

func TestUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w, log := begin(t, testConfig())
		defer b.Close()
		w.send(0, isAt(server1, mac1))
		w.sent()

		c := testConfig()
		c.Address, c.Port, c.Servers = ourAddr.Addr(), 0, []Server{{}, {Addr: server1}}
		if err := b.Update(c); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), "this host holds the service address itself") {
			t.Errorf("logged %s", log)
		}
		w.send(0, ipFrame(clientAddr, ourAddr.Addr(), protoTCP, 0, tcpSegment(5000, 22, flagSYN)))
		if frames := w.sent(); len(frames) != 1 || MAC(frames[0][offloadLen:]) != mac1 {
			t.Errorf("sent %x", frames)
		}

		for _, edit := range []func(*Config){
			func(c *Config) { c.Interface = "eth1" },
			func(c *Config) { c.Address = netip.Addr{} },
		} {
			bad := c
			edit(&bad)
			if err := b.Update(bad); err == nil || !strings.HasPrefix(err.Error(), "dsr_if "+bad.Interface+": ") {
				t.Errorf("bad configuration: %v", err)
			}
		}
		if got := b.Status().Servers[1].Slots; got != slotCount {
			t.Errorf("after refused updates: %d slots", got)
		}
	})
}

func TestTroubleIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w, log := begin(t, testConfig())
		count := func() int { synctest.Wait(); return strings.Count(log.String(), "frames are lost") }
		w.broken.Store(true) // every request for server addresses fails
		time.Sleep(20 * time.Second)
		if n := count(); n != 1 {
			t.Errorf("broken for 20 s: logged %d times", n)
		}
		w.broken.Store(false)
		time.Sleep(5 * time.Second)
		for range 3 * maxFailures { // waits when it is too much
			w.in <- errors.New("cannot be read")
		}
		time.Sleep(2 * time.Second)
		if n := count(); n != 2 {
			t.Errorf("broken again: logged %d times:\n%s", n, log)
		}
		if failed := b.Status().Failed; failed < 3*maxFailures {
			t.Errorf("%d failures counted", failed)
		}
		for range maxFailures {
			w.in <- errors.New("cannot be read")
		}
		b.Close() // does not wait
	})
}

func TestCloseTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, _ := begin(t, testConfig())
		b.Close()
		b.Close()
	})
}

func TestOpenErrors(t *testing.T) {
	c := testConfig()
	c.Interface = "nosuch0"
	b, err := Open(c, nil)
	if err == nil {
		b.Close()
		t.Fatal("an interface that does not exist was opened")
	}
	if !strings.HasPrefix(err.Error(), "dsr_if nosuch0: ") {
		t.Errorf("got %v", err)
	}
}
