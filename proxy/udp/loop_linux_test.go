package udp

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestNothingIsLeftAfterClose counts descriptors and goroutines; Close returns only when they are gone.
func TestNothingIsLeftAfterClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		p := newObserved(echo(t, "A", "udp4", "127.0.0.1:0"), gone(t, "X"))
		descriptors, goroutines := countDescriptors(t), runtime.NumGoroutine()
		for range 20 {
			s := start(t, engine, listen(t, "udp4", "127.0.0.1:0"), p, Config{FlowsMax: 3})
			for range 5 {
				c := dialClient(t, s)
				exchange(t, c, "x", "Ax")
				c.Close()
			}
			s.Close()
			s.Close() // harmless
			p.mu.Lock()
			p.shunned = nil
			p.mu.Unlock()
		}
		if n := countDescriptors(t); n > descriptors {
			t.Errorf("%d descriptors are open, %d before", n, descriptors)
		}
		for by := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines; runtime.Gosched() { // the last one is on its way out
			if time.Now().After(by) {
				t.Fatalf("%d goroutines run, %d before", runtime.NumGoroutine(), goroutines)
			}
		}
	})
}

func countDescriptors(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// TestAnswersComeFromTheAddressThatWasAsked is about a listening socket bound to
// no address: a client's connected socket takes an answer from no other address
// than the one it sent to. All of 127.0.0.0/8 is this machine's.
func TestAnswersComeFromTheAddressThatWasAsked(t *testing.T) {
	for _, network := range []string{"udp4", "udp"} {
		s := start(t, newEngine, listen(t, network, ":0"), newObserved(echo(t, "A", "udp4", "127.0.0.1:0")), Config{FlowsMax: 10})
		port := s.Addr().(*net.UDPAddr).Port
		from := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)}
		for _, ip := range []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 1, 2, 3), net.IPv4(127, 0, 0, 1)} {
			c, err := net.DialUDP("udp4", from, &net.UDPAddr{IP: ip, Port: port})
			if err != nil {
				t.Fatal(err)
			}
			from = c.LocalAddr().(*net.UDPAddr) // the same client, so the same flow
			c.SetDeadline(time.Now().Add(10 * time.Second))
			exchange(t, c, "x", "Ax")
			c.Close()
		}
		if s.Flows() != 1 {
			t.Errorf("%d flows, want 1", s.Flows())
		}
	}
}

// TestAServerOnAUnixSocketAnswers needs a name for our end, which Linux finds.
func TestAServerOnAUnixSocketAnswers(t *testing.T) {
	dir := t.TempDir()
	p := newObserved(echo(t, "U", "unixgram", filepath.Join(dir, "server")))
	s := start(t, newEngine, listen(t, "unixgram", filepath.Join(dir, "front")), p, Config{FlowsMax: 10})
	c := dialUnix(t, s, filepath.Join(dir, "client"))
	exchange(t, c, "x", "Ux")
	exchange(t, c, strings.Repeat("x", datagramMax-1), "U"+strings.Repeat("x", datagramMax-1))
	c.Write(make([]byte, datagramMax+1)) // dropped, rather than cut
	c.Write(make([]byte, datagramMax))   // the answer is too long
	exchange(t, c, "", "U")
	if n := p.servers[0].Sent(); n != 2*datagramMax {
		t.Errorf("%d bytes were sent to the server, want %d", n, 2*datagramMax)
	}
}

// TestAServerOnAUnixSocketRestarts: the socket of the same name is another one.
func TestAServerOnAUnixSocketRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server")
	buf := make([]byte, 100)
	far := listen(t, "unixgram", path)
	p := newObserved(serverAt("U", far.LocalAddr()))
	s := start(t, newEngine, listen(t, "udp4", "127.0.0.1:0"), p, Config{FlowsMax: 10})
	c := dialClient(t, s)
	for _, datagram := range []string{"first", "second"} {
		c.Write([]byte(datagram))
		if n, _, err := far.ReadFrom(buf); err != nil || string(buf[:n]) != datagram {
			t.Fatalf("the server got %q, %v; want %s", buf[:n], err, datagram)
		}
		far.Close()
		os.Remove(path)
		far = listen(t, "unixgram", path)
	}
	far.Close()
	c.Write([]byte("lost"))
	p.await(t, "failed "+path)
}

// TestAStuckUnixClient has a client that never reads beside one that does. The
// kernel queues few datagrams for a client that is not connected.
func TestAStuckUnixClient(t *testing.T) {
	dir := t.TempDir()
	p := newObserved(echo(t, "A", "udp4", "127.0.0.1:0"))
	s := start(t, newEngine, listen(t, "unixgram", filepath.Join(dir, "front")), p, Config{FlowsMax: 10})
	stuck := listen(t, "unixgram", filepath.Join(dir, "stuck"))
	defer stuck.Close()
	live := dialUnix(t, s, filepath.Join(dir, "live"))
	for range 500 {
		stuck.WriteTo([]byte("x"), s.Addr())
		exchange(t, live, "y", "Ay")
	}
}
