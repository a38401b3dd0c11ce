// Package udp balances datagrams (pen(1) -U): each client address and port is a
// flow, where a proxy sends for its clients each of theirs, and each flow has a socket of its own, connected to the server that the
// flow was given when its first datagram came.
//
// One goroutine, the reader, owns a listener's flows. On Linux it is an event
// loop over epoll that receives and sends in batches, recvmmsg(2) and
// sendmmsg(2); elsewhere each flow has a second goroutine that reads the
// server's answers. Both share the [balancer]: which server a flow gets, what
// happens when it fails, and which flow goes when there are too many.
//
// A server fails when a datagram to it is refused: an ICMP "port unreachable"
// that the kernel matched to the flow's socket, or a Unix socket that is not
// there. It also fails when it has left [Config].Unanswered datagrams without
// an answer. A flow that sees its server fail goes to another one at once, with
// every datagram that is still at hand: those that could not be sent, and the
// first one of a flow, which is kept until there is a sign that it arrived. The
// other flows of that server move when they have something to send.
package udp

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"edgepen/proxy/backend"
)

// Policy decides about flows. Its methods are called one at a time, while the
// reader waits: they must not block, nor call the [Server].
type Policy interface {
	// Choose names the server for a flow, none that it has left. The server's
	// connection slot is the flow's until Failed or Ended; false drops the
	// datagram. With a server, false says that this one is full: where a flow of
	// it can be ended, Choose is asked once more. It is called for a new flow, and
	// again for one whose server failed, or Serves no more.
	Choose(o *Origin) (Route, bool)
	// TurnedAway says that Choose was not asked once more, or in vain.
	TurnedAway(o *Origin)
	// Serves reports whether a server still is one, at that address; zero for
	// one on a Unix socket.
	Serves(srv *backend.Server, at netip.AddrPort) bool
	// Failed says that the server refused a flow or stayed silent, and gives
	// the flow's slot back.
	Failed(srv *backend.Server, why error)
	// Ended gives the slot back of a flow that has ended or that leaves a
	// server which failed another flow.
	Ended(srv *backend.Server)
}

// Origin is where a flow comes from.
type Origin struct {
	// Client is IPv4 when it is IPv4-mapped and zero for a peer on a Unix socket.
	Client netip.AddrPort
	// Local is where the flow's first datagram was sent: the listening address,
	// which may be no particular one where the system does not say more.
	Local netip.AddrPort
	// Said is what Config.Strip took from the first datagram; nil is nothing.
	Said []byte
	// Head is for Choose to set: it goes before each datagram to the server, and
	// counts nowhere. Choose finds it again when it is asked again.
	Head []byte
	// Known is for Choose to set as well: nil where it was not asked about the
	// flow before.
	Known *backend.Client
	// Left are the servers that have failed the datagram in hand.
	Left []*backend.State
}

// Route is where a flow goes and on whose account.
type Route struct {
	// Server counts what is sent to it and received from it.
	Server *backend.Server
	// Client likewise; nil counts nothing.
	Client *backend.Client
}

// Config is how flows are kept. The zero Config keeps a single one.
type Config struct {
	// FlowsMax is how many flows there may be, at least 1. Then the one that
	// has been without a datagram for longest makes room for a new one, as
	// pen's table of connections (-x) does.
	FlowsMax int
	// Idle ends flows without a datagram for so long; 0: a flow ends only to
	// make room, which is pen's rule.
	Idle time.Duration
	// Unanswered is how many datagrams may go to a server, all its flows
	// together, without any answer from it; the next one finds it failed, if the
	// first of them was sent a second ago: a burst is no silence. 0 is no limit:
	// some servers, as syslog's, never answer.
	Unanswered int
	// Strip, if not nil, looks at each datagram that comes from a sender and says
	// how many bytes at its beginning are not the client's, but say who the client
	// is; the zero client is the sender itself. False drops the datagram. It must
	// not keep the bytes. Answers go to the sender.
	Strip func(sender netip.AddrPort, datagram []byte) (n int, client netip.AddrPort, ok bool)
	// Prepare, if not nil, is called with each new socket towards a server
	// before it is connected, to set options or bind it ("source",
	// "transparent"). An error drops the datagram, and is told to Trouble.
	Prepare func(fd uintptr, client netip.AddrPort, srv *backend.Server) error
	// Tap, if not nil, sees each datagram that is passed on, up to the server at
	// that address, zero for a Unix socket, or down to the client. It must not keep the bytes.
	Tap func(client netip.AddrPort, srv *backend.Server, at netip.AddrPort, up bool, datagram []byte)
	// Trouble, if not nil, hears of what fails on our side, as running out of
	// file descriptors, at most once a second.
	Trouble func(error)
}

// Server passes on the datagrams of one listening socket.
type Server struct {
	cfg     atomic.Pointer[Config]
	closing atomic.Bool
	flows   atomic.Int64
	asked   sync.Mutex // by End
	ending  atomic.Pointer[ending]
	addr    net.Addr
	engine  engine
	done    chan struct{}
}

// engine moves the datagrams.
type engine interface {
	// run returns when the Server is closing and the engine holds nothing any more.
	run()
	// wake makes run look at the configuration, and whether the Server is closing.
	wake()
}

var errNotDatagrams = errors.New("the listening socket must be a *net.UDPConn or a *net.UnixConn for datagrams")

// Serve passes on the datagrams that arrive at pc, a [*net.UDPConn] or a
// "unixgram" [*net.UnixConn], until Close. It takes pc over: pc must not be used
// any more, and is closed even if Serve fails.
//
// Peers on a Unix socket are trusted so far that answers which one of them does
// not read may fill the socket's send buffer, and then the others get none.
func Serve(pc net.PacketConn, p Policy, c Config) (*Server, error) {
	return serve(pc, p, c, newEngine)
}

// starter makes an engine, which owns the listening socket then.
type starter func(*Server, net.PacketConn, Policy) (engine, error)

func serve(pc net.PacketConn, p Policy, c Config, start starter) (*Server, error) {
	switch pc.LocalAddr().(type) {
	case *net.UDPAddr, *net.UnixAddr:
	default:
		pc.Close()
		return nil, errNotDatagrams
	}
	s := &Server{addr: pc.LocalAddr(), done: make(chan struct{})}
	s.cfg.Store(&c)
	e, err := start(s, pc, p)
	if err != nil {
		pc.Close()
		return nil, err
	}
	s.engine = e
	go func() {
		defer close(s.done)
		e.run()
	}()
	return s, nil
}

// addrPort is an address of a socket, IPv4 when it is IPv4-mapped; zero for a Unix socket's.
func addrPort(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// Addr is the listening address.
func (s *Server) Addr() net.Addr { return s.addr }

// Flows is the number of flows now.
func (s *Server) Flows() int { return int(s.flows.Load()) }

// Reconfigure changes how flows are kept. If there are too many now, those
// without a datagram for longest end.
func (s *Server) Reconfigure(c Config) {
	s.cfg.Store(&c)
	s.engine.wake()
}

// ending is a question to the reader: which flows are to end.
type ending struct {
	which func(client netip.AddrPort, srv *backend.Server) bool
	ended chan int
}

// End ends the flows of which which says so, and returns how many they were.
func (s *Server) End(which func(client netip.AddrPort, srv *backend.Server) bool) int {
	s.asked.Lock()
	defer s.asked.Unlock()
	e := &ending{which, make(chan int, 1)}
	s.ending.Store(e)
	s.engine.wake()
	select {
	case n := <-e.ended:
		return n
	case <-s.done:
		return 0
	}
}

// Close ends all flows and closes the listening socket. It returns when nothing
// is left: no socket, no goroutine, no slot of a server. A Unix socket's file
// stays, as with [net.UnixConn.Close].
func (s *Server) Close() {
	s.closing.Store(true)
	s.engine.wake()
	<-s.done
}
