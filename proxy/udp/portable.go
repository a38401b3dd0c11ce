package udp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// goroutines is the engine for every system: one goroutine reads what clients
// send, and one for each flow what its server answers.
type goroutines struct {
	pc net.PacketConn
	wg sync.WaitGroup // the flows' goroutines
	mu sync.Mutex     // whoever has it owns b
	b  *balancer
	// behind is where a datagram is put behind its flow's head, for b's owner.
	behind []byte
}

// backOff is the pause after an error of the listening socket: it must not be retried without one.
const backOff = 50 * time.Millisecond

func newGoroutines(s *Server, pc net.PacketConn, p Policy) (engine, error) {
	g := &goroutines{pc: pc, b: newBalancer(s, p)}
	g.b.dial = g.dial
	g.b.deadline = pc.SetReadDeadline
	return g, nil
}

func (g *goroutines) wake() { g.pc.SetReadDeadline(time.Unix(1, 0)) }

func (g *goroutines) run() {
	defer g.wg.Wait()
	defer g.close()
	var r reader
	buf := make([]byte, datagramMax+1)
	one := make([][]byte, 1)
	for !g.b.server.closing.Load() {
		n, err := r.read(g.pc, buf)
		switch {
		case err == nil && n > datagramMax: // cut off
		case err == nil:
			one[0] = buf[:n]
			g.forward(&r, one)
		case errors.Is(err, os.ErrDeadlineExceeded):
			g.tend()
		default:
			g.complain(err)
			<-time.After(backOff)
		}
	}
}

func (g *goroutines) tend() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.b.tend()
}

func (g *goroutines) complain(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.b.tick()
	g.b.trouble(err)
}

func (g *goroutines) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.b.endAll()
	g.pc.Close()
}

func (g *goroutines) forward(r *reader, datagrams [][]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.b.needsTending() { // whoever was told that something has changed may have sent this datagram
		g.b.tend()
	}
	g.b.tick()
	if f := g.flowOf(r, datagrams); f != nil {
		g.b.up(f, datagrams)
	}
	if g.b.needsTending() {
		g.b.tend()
	}
}

// flowOf finds the flow of the datagram that was read last, and takes off it what is not the client's; nil: it is dropped.
func (g *goroutines) flowOf(r *reader, datagrams [][]byte) *flow {
	sender := r.client()
	n, client, ok := g.b.strip(sender, datagrams[0])
	if !ok {
		return nil
	}
	said := datagrams[0][:n]
	datagrams[0] = datagrams[0][n:]
	r.key = identify(r.key, r.sender, client)
	if f := g.b.table.get(r.key); f != nil {
		return f
	}
	if !client.IsValid() {
		client = sender
	}
	f := g.b.admit(r.key, r.sender, Origin{Client: client, Local: addrPort(g.pc.LocalAddr()), Said: said})
	if f != nil {
		f.peer = r.peer()
	}
	return f
}

// reader reads datagrams and knows whose the last one was.
type reader struct {
	sender []byte
	key    []byte
	from   netip.AddrPort
	unix   *net.UnixAddr
}

func (r *reader) read(pc net.PacketConn, buf []byte) (n int, err error) {
	if u, ok := pc.(*net.UDPConn); ok {
		n, r.from, err = u.ReadFromUDPAddrPort(buf)
		r.sender = r.from.AppendTo(r.sender[:0])
		return n, err
	}
	n, from, err := pc.ReadFrom(buf)
	r.unix, _ = from.(*net.UnixAddr)
	r.sender = r.sender[:0]
	if r.unix != nil {
		r.sender = append(r.sender, r.unix.Name...)
	}
	return n, err
}

func (r *reader) client() netip.AddrPort {
	if !r.from.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(r.from.Addr().Unmap().WithZone(""), r.from.Port())
}

// peer is where an answer goes; nil for a Unix peer without a name.
func (r *reader) peer() net.Addr {
	if r.from.IsValid() {
		return net.UDPAddrFromAddrPort(r.from)
	}
	if r.unix == nil || r.unix.Name == "" {
		return nil
	}
	return r.unix
}

// connection is a flow's socket with its goroutine.
type connection struct {
	net.Conn
	g *goroutines
	f *flow
}

func (c *connection) send(datagrams [][]byte) (int, error) {
	for i, d := range datagrams {
		if head := c.f.origin.Head; len(head) > 0 {
			c.g.behind = append(append(c.g.behind[:0], head...), d...)
			d = c.g.behind
		}
		if _, err := c.Write(d); err != nil {
			return i, err
		}
	}
	return len(datagrams), nil
}

func (c *connection) close() { c.Close() }

func (g *goroutines) dial(f *flow, to endpoint) (socket, error) {
	client, srv, prepare := f.origin.Client, f.route.Server, g.b.cfg.Prepare
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if prepare == nil {
			return nil
		}
		if failed := raw.Control(func(fd uintptr) { err = prepare(fd, client, srv) }); failed != nil {
			err = failed
		}
		if err != nil {
			err = preparation{err}
		}
		return err
	}}
	network, address := "udp", to.addr.String()
	if to.path != "" {
		// The server cannot answer: our end has no name, which would have to be a file.
		network, address = "unixgram", to.path
	}
	conn, err := d.DialContext(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	c := &connection{conn, g, f}
	g.wg.Go(func() { g.answer(f, c) })
	return c, nil
}

// answer passes on what the server sends through c, until c is closed.
func (g *goroutines) answer(f *flow, c *connection) {
	buf := make([]byte, datagramMax+1)
	for {
		n, err := c.Read(buf)
		if n > datagramMax {
			continue // cut off
		}
		to, ok := g.answered(f, c, buf[:n], err)
		if !ok {
			return
		}
		if to != nil {
			g.pc.WriteTo(buf[:n], to) // what cannot be sent is lost, as datagrams are
		}
	}
}

// answered notes what came from the server, and says where it goes; nil is
// nowhere, and false that the flow has no use for c any more.
func (g *goroutines) answered(f *flow, c *connection, datagram []byte, err error) (net.Addr, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.up != c {
		return nil, false
	}
	g.b.tick()
	if err != nil {
		g.b.broken(f, err)
		return nil, f.up == c && !errors.Is(err, net.ErrClosed)
	}
	if g.b.cfg.Tap != nil {
		g.b.cfg.Tap(f.origin.Client, f.route.Server, f.to(), false, datagram)
	}
	g.b.wentDown(f, 1, len(datagram))
	return f.peer, true
}
