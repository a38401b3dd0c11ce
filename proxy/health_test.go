package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edgepen/proxy/backend"
	"edgepen/proxy/health"
)

// says serves what answer writes, once a request's head has been read.
func says(t *testing.T, network, addr, answer string) (*backend.Server, <-chan string) {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	heads := make(chan string, 1)
	serve(t, ln, func(c net.Conn) {
		head, r := "", bufio.NewReader(c)
		for !strings.HasSuffix(head, "\r\n\r\n") {
			line, err := r.ReadString('\n')
			if head += line; err != nil {
				break
			}
		}
		select {
		case heads <- head:
		default:
		}
		io.WriteString(c, answer) //nolint:errcheck // whoever checks may have seen enough
		if answer == "" {
			io.Copy(io.Discard, c) //nolint:errcheck // as above
		}
	})
	srv := &backend.Server{State: new(backend.State), Spec: backend.Spec{Address: addr, Port: 1}}
	if a, ok := ln.Addr().(*net.TCPAddr); ok {
		srv.Address, srv.Port, srv.Addrs = "127.0.0.1", a.AddrPort().Port(), []netip.AddrPort{a.AddrPort()}
	}
	return srv, heads
}

// probed makes one check.
func probed(p *Proxy, srv *backend.Server, edit func(*health.Config)) (string, error) {
	c := health.Defaults()
	c.Kind, c.Path, c.Timeout = health.HTTP, "/health", patience
	edit(&c)
	ctx, cancel := context.WithTimeout(p.alive, c.Timeout)
	defer cancel()
	return p.probe(ctx, health.Target{Server: srv}, c)
}

// TestProbeByHTTP: what counts as good is the status of the final answer, and whatever a server says instead is an error in words.
func TestProbeByHTTP(t *testing.T) {
	p, _ := start(t, func(c *Config) { c.HeadMax = 4096 })
	for _, tt := range []struct{ name, answer, want string }{
		{"good", "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", "status 200"},
		{"without a reason", "HTTP/1.0 399\r\n\r\n", "status 399"},
		{"interim first", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 \r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "status 204"},
		{"a large head", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 3000) + "\r\n\r\n", "status 200"},
		{"bad", "HTTP/1.1 503 Service Unavailable\r\n\r\n", "status 503, expected 200-399"},
		{"switching", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "status 101, expected 200-399"},
		{"too large a head", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 5000) + "\r\n\r\n", "its answer cannot be read: header too large"},
		{"interim for ever", strings.Repeat("HTTP/1.1 100 \r\n\r\n", 1000), "its answer cannot be read: header too large"},
		{"no HTTP", "SSH-2.0-OpenSSH_9.9\r\n", "its answer cannot be read: "},
		{"half a head", "HTTP/1.1 200 OK\r\nX: ", "it closed the connection without an answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv, _ := says(t, "tcp", "127.0.0.1:0", tt.answer)
			said, err := probed(p, srv, func(*health.Config) {})
			if got := said + text(err); !strings.Contains(got, tt.want) || (err == nil) != (said != "") {
				t.Errorf("got %q, %v; want %s", said, err, tt.want)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestProbeRequest: what a server is asked, by its name or the one that is set, also over a Unix socket.
func TestProbeRequest(t *testing.T) {
	p, _ := start(t, func(*Config) {})
	for _, tt := range []struct{ network, addr, host, want string }{
		{"tcp", "127.0.0.1:0", "", "127.0.0.1:PORT"},
		{"tcp", "127.0.0.1:0", "www.example", "www.example"},
		{"unix", filepath.Join(t.TempDir(), "s"), "", "localhost"},
	} {
		srv, heads := says(t, tt.network, tt.addr, "HTTP/1.1 200 OK\r\n\r\n")
		said, err := probed(p, srv, func(c *health.Config) { c.Host = tt.host })
		if err != nil || said != "status 200" {
			t.Errorf("%s: %q, %v", tt.addr, said, err)
		}
		host := strings.Replace(tt.want, "PORT", fmt.Sprint(srv.Port), 1)
		want := "GET /health HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: pen-health-check\r\nAccept: */*\r\nConnection: close\r\n\r\n"
		if got := <-heads; got != want {
			t.Errorf("%s: it was asked %q, want %q", tt.addr, got, want)
		}
	}
}

func TestHostOf(t *testing.T) {
	for _, tt := range []struct {
		spec          backend.Spec
		plain, secure string
	}{
		{backend.Spec{Address: "www", Port: 80}, "www", "www:80"},
		{backend.Spec{Address: "www", Port: 443}, "www:443", "www"},
		{backend.Spec{Address: "2001:db8::1", Port: 80}, "[2001:db8::1]", "[2001:db8::1]:80"},
		{backend.Spec{Address: "/run/s", Port: 1}, "localhost", "localhost"},
	} {
		srv := &backend.Server{Spec: tt.spec}
		if plain, secure := hostOf(srv, false), hostOf(srv, true); plain != tt.plain || secure != tt.secure {
			t.Errorf("%v: %q and %q", tt.spec, plain, secure)
		}
	}
}

// TestProbeThatFails: silence, a port that nobody listens on, TLS where none is spoken, and a source address that is not ours, which says nothing
// about the server.
func TestProbeThatFails(t *testing.T) {
	p, _ := start(t, func(*Config) {})
	silent, _ := says(t, "tcp", "127.0.0.1:0", "")
	if _, err := probed(p, silent, func(c *health.Config) { c.Timeout = 50 * time.Millisecond }); text(err) != "timed out after 50ms" {
		t.Error(err)
	}
	if _, err := probed(p, silent, func(c *health.Config) { c.Kind, c.Timeout = health.TLS, 50*time.Millisecond }); text(err) != "timed out after 50ms" {
		t.Error(err)
	}
	if said, err := probed(p, silent, func(c *health.Config) { c.Kind = health.TCP }); err != nil || said != "connected" {
		t.Errorf("%q, %v", said, err)
	}
	plain, _ := says(t, "tcp", "127.0.0.1:0", "HTTP/1.1 200 OK\r\n\r\n")
	if _, err := probed(p, plain, func(c *health.Config) { c.Kind, c.Timeout = health.TLS, 50*time.Millisecond }); err == nil || errors.Is(err, health.ErrUnasked) {
		t.Error(err)
	}
	gone := closedPort(t)
	if _, err := probed(p, gone, func(*health.Config) {}); text(err) != "connect: connection refused" {
		t.Error(err)
	}
	update(t, p, func(c *Config) { c.Source = netip.MustParseAddr("192.0.2.77") })
	if _, err := probed(p, gone, func(*health.Config) {}); !errors.Is(err, health.ErrUnasked) {
		t.Error(err)
	}
}

// TestProbeIntroducesNobody: servers that are told of clients by a PROXY header are told of checks that there is none.
func TestProbeIntroducesNobody(t *testing.T) {
	p, _ := start(t, func(*Config) {})
	for version, want := range []string{1: "PROXY UNKNOWN\r\nGET ", 2: "\r\n\r\n\x00\r\nQUIT\n\x20\x00"} {
		if version == 0 {
			continue
		}
		update(t, p, func(c *Config) { c.ProxyOut = version })
		srv, heads := says(t, "tcp", "127.0.0.1:0", "HTTP/1.1 200 OK\r\n\r\n")
		if _, err := probed(p, srv, func(*health.Config) {}); err != nil {
			t.Error(err)
		}
		if got := <-heads; !strings.HasPrefix(want, got) && !strings.HasPrefix(got, want) {
			t.Errorf("version %d: it began with %q", version, got)
		}
	}
}

// TestWhoIsDownIsPassedOver: no client meets a server that is down, the status says so, and none of it is left once checks are off.
func TestWhoIsDownIsPassedOver(t *testing.T) {
	good, bad := newServer(t, "good"), closedPort(t)
	p, log := start(t, func(c *Config) {
		c.Mode.RoundRobin = true
		c.Servers = []backend.Spec{good.spec(t, ""), bad.Spec, {}}
		c.Routes = []Route{{Name: "a.example", Servers: []backend.Spec{bad.Spec}}}
		c.Certificates.SelfSigned = "localhost"
		c.Listeners[0].TLS = TLSNever
		c.Health.Kind, c.Health.Path = health.HTTP, "/" // the greeter speaks no HTTP
		c.Health.Interval, c.Health.Timeout, c.Health.Fall = time.Second, patience, 1
	})
	states := func() (words []string) {
		err := p.Update(func(d *Draft) error {
			for _, s := range d.HealthStatus() {
				words = append(words, fmt.Sprintf("%s%d%v%v", s.Route, s.Slot, s.Watched, s.Standing))
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return words
	}
	until(t, "both to be down", func() bool {
		return strings.Join(states(), " ") == "0truedown 1truedown 2falseunknown a.example0truedown"
	})
	turnedAway(t, dial(t, address(p, 0)))
	update(t, p, func(c *Config) { c.Health.Kind = health.TCP })
	until(t, "one to come up", func() bool { return states()[0] == "0trueup" })
	for range 4 {
		if got := greeted(t, p); got != "good" {
			t.Errorf("greeted by %s", got)
		}
	}
	if err := p.Update(func(d *Draft) error {
		if s := d.ServerStatus(); s[0].Health != "up" || s[1].Health != "down" || s[2].Health != "" || s[0].Conns > 4 || !s[1].Since.IsZero() {
			t.Errorf("%+v", s)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	update(t, p, func(c *Config) { c.Health.Kind = health.Off })
	if got := strings.Join(states(), " "); got != "0falseunknown 1falseunknown 2falseunknown a.example0falseunknown" {
		t.Error(got)
	}
	if got := greeted(t, p) + greeted(t, p); got != "goodgood" || !strings.Contains(log.String(), "server blacklisted") {
		t.Errorf("%s; without checks a client finds out\n%s", got, log)
	}
	if n := strings.Count(log.String(), `msg="server down"`); n != 3 {
		t.Errorf("%d servers went down\n%s", n, log)
	}
}

// closedPort is a server that nobody listens as.
func closedPort(t *testing.T) *backend.Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	return &backend.Server{State: new(backend.State), Spec: spec(t, addr.String()), Addrs: []netip.AddrPort{addr}}
}

// TestCloseEndsChecks: a check that waits for a silent server ends with the proxy, or with the server's place in the configuration, long before its time.
func TestCloseEndsChecks(t *testing.T) {
	for _, how := range []string{"close", "off"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		asked, ended := make(chan struct{}), make(chan struct{})
		serve(t, ln, func(c net.Conn) {
			c.Read(make([]byte, 1)) //nolint:errcheck // the next one says
			close(asked)
			io.Copy(io.Discard, c) //nolint:errcheck // however it ends
			close(ended)
		})
		p, _ := start(t, func(c *Config) {
			c.Servers = []backend.Spec{spec(t, ln.Addr().String())}
			c.Health.Kind, c.Health.Path, c.Health.Interval, c.Health.Timeout = health.HTTP, "/", time.Hour, time.Hour
		})
		wait(t, "the check", asked)
		if how == "close" {
			closes(t, p)
		} else {
			update(t, p, func(c *Config) { c.Health.Kind = health.Off })
		}
		wait(t, "the end of the check's connection", ended)
	}
}
