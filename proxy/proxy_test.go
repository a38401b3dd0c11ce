package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edgepen/acl"
	"edgepen/proxy/backend"
)

// patience is how long a test waits for what has to happen: it is never waited out but by a failure.
const patience = 10 * time.Second

// record is a log that a test can read.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// start runs a proxy on a loopback port under the default configuration and an edit of it.
func start(t testing.TB, edit func(*Config)) (*Proxy, *record) {
	t.Helper()
	var log record
	p := New(slog.New(slog.NewTextHandler(&log, nil)), new(slog.LevelVar))
	t.Cleanup(func() { closes(t, p) })
	update(t, p, func(c *Config) {
		c.Listeners = []Listener{{Address: "127.0.0.1:0"}}
		c.Debug = 1
		edit(c)
	})
	if err := errors.Join(p.Listen(), p.Activate()); err != nil {
		t.Fatal(err)
	}
	p.Serve()
	return p, &log
}

func update(t testing.TB, p *Proxy, edit func(*Config)) {
	t.Helper()
	if err := p.Update(func(d *Draft) error { edit(&d.Config); return nil }); err != nil {
		t.Fatal(err)
	}
}

// closes closes a proxy and sees to it that this takes no time.
func closes(t testing.TB, p *Proxy) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Close()
	}()
	wait(t, "the proxy to close", done)
}

func wait(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		buf := make([]byte, 1<<17)
		t.Fatalf("waited %v for: %s\n%s", patience, what, buf[:runtime.Stack(buf, true)])
	}
}

// until waits for an event that nothing announces.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited %v for: %s", patience, what)
		}
	}
}

// address is where listener i really listens.
func address(p *Proxy, i int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listeners[i].ln.Addr().String()
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	network := "tcp"
	if strings.Contains(addr, "/") {
		network = "unix"
	}
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // it keeps a broken test from hanging
	return c
}

// server says its name to whoever connects, and then what it is told.
type server struct {
	name     string
	ln       net.Listener
	accepted atomic.Int64
	ended    atomic.Int64 // of those: closed by the server too
}

func newServer(t testing.TB, name string) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{name: name, ln: ln}
	serve(t, ln, func(c net.Conn) {
		s.accepted.Add(1)
		fmt.Fprintln(c, name)              //nolint:errcheck // the proxy may be gone
		io.Copy(c, struct{ io.Reader }{c}) //nolint:errcheck // as above; by no pipe, whose descriptors would be closed some time later
		c.Close()
		s.ended.Add(1)
	})
	return s
}

// serve handles connections until the test ends, and waits for them to end.
func serve(t testing.TB, ln net.Listener, handle func(net.Conn)) {
	var running sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(2 * patience)) //nolint:errcheck // it keeps a broken test from hanging
				handle(c)
			})
		}
	})
}

func spec(t testing.TB, operand string) backend.Spec {
	t.Helper()
	s, err := backend.ParseSpec(operand, 80)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) spec(t testing.TB, limits string) backend.Spec {
	t.Helper()
	return spec(t, s.ln.Addr().String()+limits)
}

// greeting is what the server that a client came to says.
func greeting(t testing.TB, c net.Conn) string {
	t.Helper()
	line, err := bufio.NewReaderSize(c, 16).ReadString('\n')
	if err != nil {
		t.Fatalf("read %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// greeted connects to the proxy and returns which server that led to.
func greeted(t testing.TB, p *Proxy) string {
	t.Helper()
	c := dial(t, address(p, 0))
	defer c.Close()
	return greeting(t, c)
}

// turnedAway has the proxy close a client's connection with nothing said.
func turnedAway(t testing.TB, c net.Conn) {
	t.Helper()
	if b, err := io.ReadAll(c); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %q (%v), expected the end", b, err)
	}
}

// refusing is the address of a server that does not run.
func refusing(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func entry(t testing.TB, words string) acl.Entry {
	t.Helper()
	e, err := acl.ParseEntry(strings.Fields(words))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestFailover(t *testing.T) {
	a, b := newServer(t, "a"), newServer(t, "b")
	p, log := start(t, func(c *Config) {
		c.Servers = []backend.Spec{a.spec(t, ""), spec(t, refusing(t)), spec(t, refusing(t)), b.spec(t, "")}
	})
	// Round robin begins with server 1, which fails as does the one after it.
	if got := greeted(t, p); got != "b" {
		t.Errorf("the client came to %s, expected b", got)
	}
	for i, want := range []bool{false, true, true, false} {
		if got := p.states[i].Shunned(time.Now()); got != want {
			t.Errorf("server %d is blacklisted: %v, expected %v", i, got, want)
		}
	}
	if strings.Count(log.String(), "server blacklisted") != 2 {
		t.Errorf("the log says:\n%s", log)
	}
	if n := a.accepted.Load(); n != 0 {
		t.Errorf("server a was connected to")
	}
}

func TestBlacklistEnds(t *testing.T) {
	a, b := newServer(t, "a"), newServer(t, "b")
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{a.spec(t, ""), b.spec(t, "")}
		c.Mode.RoundRobin = true
	})
	shun := func(d time.Duration) {
		t.Helper()
		if err := p.Update(func(draft *Draft) error { draft.Shun(1, d); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	shun(time.Hour)
	for range 3 {
		if got := greeted(t, p); got != "a" {
			t.Errorf("the client came to %s, expected a", got)
		}
	}
	shun(0)
	if got := greeted(t, p) + greeted(t, p); got != "ab" && got != "ba" {
		t.Errorf("the clients came to %s, expected both servers", got)
	}
}

func TestStubborn(t *testing.T) {
	a := newServer(t, "a")
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{a.spec(t, ""), spec(t, refusing(t))}
		c.Mode.Stubborn = true
	})
	turnedAway(t, dial(t, address(p, 0)))
}

func TestTracking(t *testing.T) {
	a, b := newServer(t, "a"), newServer(t, "b")
	p, _ := start(t, func(c *Config) { c.Servers = []backend.Spec{a.spec(t, ""), b.spec(t, "")} })
	first := greeted(t, p)
	for range 5 {
		if got := greeted(t, p); got != first {
			t.Errorf("the client came to %s, expected %s as before", got, first)
		}
	}
	update(t, p, func(c *Config) { c.Mode.RoundRobin = true })
	if got := greeted(t, p) + greeted(t, p); got != "ab" && got != "ba" {
		t.Errorf("the clients came to %s, expected both servers", got)
	}
}

func TestEmergencyAndAbuse(t *testing.T) {
	a, emergency, abuse := newServer(t, "a"), newServer(t, "emergency"), newServer(t, "abuse")
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{spec(t, refusing(t))}
		c.Emergency = emergency.spec(t, "")
	})
	for range 2 {
		if got := greeted(t, p); got != "emergency" {
			t.Errorf("the client came to %s, expected the emergency server", got)
		}
	}
	update(t, p, func(c *Config) { c.Servers = append(c.Servers, a.spec(t, "")) })
	if got := greeted(t, p); got != "a" {
		t.Errorf("the client came to %s: the emergency server is nobody's last", got)
	}
	update(t, p, func(c *Config) { c.ACLs[0] = acl.List{entry(t, "deny 127.0.0.0/8")} })
	turnedAway(t, dial(t, address(p, 0)))
	update(t, p, func(c *Config) { c.Abuse = abuse.spec(t, "") })
	if got := greeted(t, p); got != "abuse" {
		t.Errorf("the client came to %s, expected the abuse server", got)
	}
	update(t, p, func(c *Config) { delete(c.ACLs, 0) })
	if got := greeted(t, p); got != "a" {
		t.Errorf("the client came to %s, expected a", got)
	}
}

func TestServerLimits(t *testing.T) {
	a, b := newServer(t, "a"), newServer(t, "b")
	p, _ := start(t, func(c *Config) { c.Servers = []backend.Spec{b.spec(t, ""), a.spec(t, ":1:2")} })
	var open []net.Conn
	for i, want := range []string{"a", "a", "b"} { // one, one more who was there last, full
		c := dial(t, address(p, 0))
		open = append(open, c)
		if got := greeting(t, c); got != want {
			t.Errorf("client %d came to %s, expected %s", i, got, want)
		}
	}
	for _, c := range open {
		c.Close()
	}
	until(t, "the servers' places to be given back", func() bool { return p.states[0].Conns() == 0 && p.states[1].Conns() == 0 })
}

func TestCounters(t *testing.T) {
	a := newServer(t, "a")
	p, _ := start(t, func(c *Config) { c.Servers = []backend.Spec{a.spec(t, "")} })
	c := dial(t, address(p, 0))
	greeting(t, c)
	io.WriteString(c, "12345\n") //nolint:errcheck // what follows fails
	if got := greeting(t, c); got != "12345" {
		t.Fatalf("read %q", got)
	}
	if n, conns := p.Connections(), p.states[0].Conns(); n != 1 || conns != 1 {
		t.Errorf("%d connections, %d of them to the server; expected 1 and 1", n, conns)
	}
	c.Close()
	until(t, "the connection to end", func() bool { return p.Connections() == 0 })
	err := p.Update(func(d *Draft) error {
		s := d.ServerStatus()
		if len(s) != 1 || s[0].Sent != 6 || s[0].Received != 8 || s[0].Conns != 0 || s[0].Shown != "127.0.0.1" {
			t.Errorf("server status %+v", s)
		}
		r := d.Recent(time.Minute)
		if len(r) != 1 || r[0].Connects != 1 || r[0].Sent != 8 || r[0].Received != 6 || r[0].Addr.String() != "127.0.0.1" {
			t.Errorf("recent clients %+v", r)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
