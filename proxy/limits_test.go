package proxy

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"edgepen/certs"
	"edgepen/proxy/backend"
)

func TestConnMax(t *testing.T) {
	a := newServer(t, "a")
	path := filepath.Join(t.TempDir(), "s")
	p, _ := start(t, func(c *Config) {
		c.Listeners = append(c.Listeners, Listener{Address: path})
		c.Servers = []backend.Spec{a.spec(t, "")}
		c.ConnMax = 2
	})
	addr := address(p, 0)
	first, second := dial(t, addr), dial(t, path)
	greeting(t, first)
	greeting(t, second)
	var waiting []net.Conn
	said := make(chan string, 4)
	for _, to := range []string{addr, path, addr, path} {
		c := dial(t, to)
		waiting = append(waiting, c)
		go func() {
			b := make([]byte, 2)
			if _, err := io.ReadFull(c, b); err != nil {
				t.Errorf("a client that waited got %v", err)
			}
			said <- string(b)
		}()
	}
	if n := a.accepted.Load(); n != 2 {
		t.Errorf("%d connections to the server, expected 2", n)
	}
	select {
	case <-said:
		t.Error("a client got a place that was not there")
	default:
	}
	first.Close()
	<-said
	if n := p.Connections(); n > 2 {
		t.Errorf("%d connections, expected 2", n)
	}
	update(t, p, func(c *Config) { c.ConnMax = 10 })
	for range 3 {
		<-said
	}
	for _, c := range waiting {
		c.Close()
	}
	second.Close()
	until(t, "all places to be given back", func() bool { return p.Connections() == 0 })
}

func blackhole(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	if err := setBacklog(ln, 0); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		c, err := net.DialTimeout("tcp", ln.Addr().String(), 100*time.Millisecond)
		if err != nil {
			return ln.Addr().String()
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("this system's queues cannot be filled")
	return ""
}

func TestPendingMax(t *testing.T) {
	a := newServer(t, "a")
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{a.spec(t, ""), spec(t, blackhole(t))}
		c.PendingMax = 1
		c.ConnectTimeout = time.Minute
	})
	pending := func() int {
		p.slots.mu.Lock()
		defer p.slots.mu.Unlock()
		return p.slots.pending
	}
	dial(t, address(p, 0))
	until(t, "the first connect to hang", func() bool { return pending() == 1 })
	dial(t, address(p, 0)) // the accept loop was waiting for it already
	until(t, "the second client to be accepted", func() bool { return p.Connections() == 2 || pending() == 1 })
	for range 5 {
		dial(t, address(p, 0))
	}
	if n := p.Connections(); n > 2 {
		t.Errorf("%d connections are accepted, expected 2 at most", n)
	}
	update(t, p, func(c *Config) { c.PendingMax = 100 })
	until(t, "all clients to be accepted", func() bool { return p.Connections() == 7 })
}

func TestConnectTimeout(t *testing.T) {
	a := newServer(t, "a")
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{a.spec(t, ""), spec(t, blackhole(t))}
		c.ConnectTimeout = 250 * time.Millisecond
	})
	if got := greeted(t, p); got != "a" {
		t.Errorf("the client came to %s", got)
	}
	if !p.states[1].Shunned(time.Now()) {
		t.Error("a server that does not answer is not blacklisted")
	}
}

// collect has the garbage collector close what nobody uses any more, such as pipes that the library keeps in a pool for two collections.
func collect() {
	for range 3 {
		finalized := make(chan struct{})
		runtime.SetFinalizer(&struct{ p *int }{new(int)}, func(*struct{ p *int }) { close(finalized) })
		runtime.GC()
		<-finalized
	}
}

func TestOutOfDescriptors(t *testing.T) {
	a := newServer(t, "a")
	p, log := start(t, func(c *Config) { c.Servers = []backend.Spec{a.spec(t, "")} })
	addr := address(p, 0)
	greeted(t, p)                                                                                   // the poller and the like have their descriptors now
	allClosed := func() bool { return p.Connections() == 0 && a.ended.Load() == a.accepted.Load() } // a descriptor that comes free later is used
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	less := was
	less.Cur = 100
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &less); err != nil {
		t.Fatal(err)
	}
	var hoard []*os.File
	release := func() {
		for _, f := range hoard {
			f.Close()
		}
		hoard = nil
	}
	defer func() {
		release()
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	}()
	fill := func(leave int) {
		until(t, "all connections to be closed", allClosed)
		collect()
		for {
			f, err := os.Open(os.DevNull)
			if err != nil {
				break
			}
			hoard = append(hoard, f)
		}
		for range leave {
			hoard[len(hoard)-1].Close()
			hoard = hoard[:len(hoard)-1]
		}
	}
	fill(1)
	waiting := dial(t, addr)
	until(t, "the log to say so", func() bool { return strings.Contains(log.String(), "out of file descriptors") })
	release()
	if got := greeting(t, waiting); got != "a" {
		t.Errorf("the client came to %s", got)
	}
	waiting.Close()
	fill(2)
	turnedAway(t, dial(t, addr)) // it is accepted, and then there is none for the server's connection
	if p.states[0].Shunned(time.Now()) {
		t.Error("a server is blacklisted for our want of descriptors")
	}
	release()
	if got := greeted(t, p); got != "a" {
		t.Errorf("the client came to %s", got)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 1)
	serve(t, silent, func(c net.Conn) {
		c.Read(make([]byte, 1)) //nolint:errcheck // what follows hangs
		asked <- struct{}{}
		io.Copy(io.Discard, c) //nolint:errcheck // it ends with the proxy
	})
	for name, c := range map[string]struct {
		edit func(*Config)
		busy func(p *Proxy) net.Conn
	}{
		"while a client is silent": {func(c *Config) { c.HTTP = true }, func(p *Proxy) net.Conn { return dial(t, address(p, 0)) }},
		"while a server is silent": {func(c *Config) { c.HTTP = true }, func(p *Proxy) net.Conn {
			c := dial(t, address(p, 0))
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n") //nolint:errcheck // what follows hangs
			<-asked
			return c
		}},
		"while a body comes": {func(c *Config) { c.HTTP = true }, func(p *Proxy) net.Conn {
			c := dial(t, address(p, 0))
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc") //nolint:errcheck // what follows hangs
			<-asked
			return c
		}},
		"while relaying": {func(c *Config) {}, func(p *Proxy) net.Conn {
			c := dial(t, address(p, 0))
			io.WriteString(c, "x") //nolint:errcheck // what follows hangs
			<-asked
			return c
		}},
		"within a handshake": {func(c *Config) { c.Certificates.SelfSigned = "localhost" }, func(p *Proxy) net.Conn {
			c := dial(t, address(p, 0))
			io.WriteString(c, "\x16\x03\x01") //nolint:errcheck // what follows hangs
			return c
		}},
		"while connecting": {func(c *Config) {
			c.Servers, c.ConnectTimeout = []backend.Spec{spec(t, blackhole(t))}, time.Minute
		}, func(p *Proxy) net.Conn { return dial(t, address(p, 0)) }},
		"while lingering": {func(c *Config) { c.HTTP = true }, func(p *Proxy) net.Conn {
			c := dial(t, address(p, 0))
			io.WriteString(c, "nonsense\r\n\r\n") //nolint:errcheck // what follows hangs
			if _, err := io.ReadAll(c); err != nil {
				t.Error(err)
			}
			return c
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p, log := start(t, func(conf *Config) {
				conf.Servers = []backend.Spec{spec(t, silent.Addr().String())}
				c.edit(conf)
			})
			client := c.busy(p)
			until(t, "the connection to be accepted", func() bool { return p.Connections() == 1 })
			began := time.Now()
			closes(t, p)
			if d := time.Since(began); d > time.Second {
				t.Errorf("closing took %v", d)
			}
			io.Copy(io.Discard, client) //nolint:errcheck // however it ends
			if n := p.Connections(); n != 0 {
				t.Errorf("%d connections are left", n)
			}
			if strings.Contains(log.String(), "blacklisted") {
				t.Errorf("a server is blamed for our end:\n%s", log)
			}
		})
	}
}

func TestCloseWhileClientsWait(t *testing.T) {
	a := newServer(t, "a")
	path := filepath.Join(t.TempDir(), "s")
	p, _ := start(t, func(c *Config) {
		c.Listeners = append(c.Listeners, Listener{Address: path})
		c.Servers = []backend.Spec{a.spec(t, "")}
		c.ConnMax = 1
	})
	greeting(t, dial(t, path))
	waiting := dial(t, address(p, 0))
	closes(t, p)
	turnedAway(t, waiting)
}

func TestNothingAfterClose(t *testing.T) {
	p, _ := start(t, func(c *Config) {})
	closes(t, p)
	path := filepath.Join(t.TempDir(), "s")
	err := p.Update(func(d *Draft) error {
		d.Listeners = append(d.Listeners, Listener{Address: path})
		return nil
	})
	if err == nil {
		t.Error("a proxy that is closed takes a new configuration")
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("a proxy that is closed listens")
	}
	closes(t, p)
}

func TestHandshakeTimeout(t *testing.T) {
	p, _ := start(t, func(c *Config) {
		c.Certificates = certs.Source{SelfSigned: "localhost"}
		c.HandshakeTimeout = 50 * time.Millisecond
	})
	for _, s := range []string{"", "\x16\x03\x01\x02\x00"} {
		c := dial(t, address(p, 0))
		io.WriteString(c, s) //nolint:errcheck // what follows fails
		turnedAway(t, c)
	}
}
