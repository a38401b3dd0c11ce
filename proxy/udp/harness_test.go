package udp

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"edgepen/proxy/backend"
)

// eachEngine runs a test with every engine.
func eachEngine(t *testing.T, test func(t *testing.T, start starter)) {
	for name, start := range engines {
		t.Run(name, func(t *testing.T) { test(t, start) })
	}
}

// observed is a policy that tells the test what it was asked and told.
type observed struct {
	mu sync.Mutex
	roundRobin
	clients []netip.AddrPort
	account *backend.Client
	events  chan string // "failed N", "ended N"
}

func newObserved(servers ...*backend.Server) *observed {
	return &observed{roundRobin: roundRobin{servers: servers}, events: make(chan string, 10000)}
}

func (o *observed) Choose(from *Origin) (Route, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clients = append(o.clients, from.Client)
	r, ok := o.roundRobin.Choose(from)
	r.Client = o.account
	return r, ok
}

func (o *observed) Failed(srv *backend.Server, why error) {
	o.roundRobin.Failed(srv, why)
	o.events <- "failed " + srv.Address
}

func (o *observed) Ended(srv *backend.Server) {
	o.roundRobin.Ended(srv)
	o.events <- "ended " + srv.Address
}

func (o *observed) await(t *testing.T, event string) {
	t.Helper()
	select {
	case got := <-o.events:
		if got != event {
			t.Fatalf("the policy was told %q, want %q", got, event)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("the policy was not told %q", event)
	}
}

// listen opens a datagram socket: network is udp, udp4, udp6 or unixgram.
func listen(t *testing.T, network, address string) net.PacketConn {
	t.Helper()
	pc, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return pc
}

// start starts a Server that is closed with the test.
func start(t *testing.T, engine starter, pc net.PacketConn, p Policy, c Config) *Server {
	t.Helper()
	s, err := serve(pc, p, c, engine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// echo runs a server that answers each datagram with its name and the datagram.
func echo(t *testing.T, name, network, address string) *backend.Server {
	pc := listen(t, network, address)
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, 1<<17)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if from != nil {
				pc.WriteTo(append([]byte(name), buf[:n]...), from)
			}
		}
	}()
	return serverAt(name, pc.LocalAddr())
}

// serverAt is the server at an address.
func serverAt(name string, a net.Addr) *backend.Server {
	srv := &backend.Server{Spec: backend.Spec{Address: name, Port: 1}, State: &backend.State{}}
	if u, ok := a.(*net.UDPAddr); ok {
		srv.Addrs = []netip.AddrPort{u.AddrPort()}
	} else {
		srv.Address = a.String()
	}
	return srv
}

// gone is a server whose port nobody listens on.
func gone(t *testing.T, name string) *backend.Server {
	pc := listen(t, "udp4", "127.0.0.1:0")
	pc.Close()
	return serverAt(name, pc.LocalAddr())
}

// dialClient connects a client to the Server; all its reads have to succeed within 10 s.
func dialClient(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial(s.Addr().Network(), s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// exchange sends a datagram and wants that answer.
func exchange(t *testing.T, c net.Conn, send, want string) {
	t.Helper()
	if _, err := c.Write([]byte(send)); err != nil {
		t.Fatal(err)
	}
	expect(t, c, want)
}

func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	buf := make([]byte, 1<<17)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(buf[:n]); got != want {
		t.Fatalf("answer %.60q of %d bytes, want %.60q of %d", got, n, want, len(want))
	}
}

// dialUnix connects a client that is bound to a name, if it is not empty.
func dialUnix(t *testing.T, s *Server, name string) net.Conn {
	t.Helper()
	var from *net.UnixAddr
	if name != "" {
		from = &net.UnixAddr{Net: "unixgram", Name: name}
	}
	c, err := net.DialUnix("unixgram", from, s.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}
