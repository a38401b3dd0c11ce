package udp

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// flow is the traffic of one client address and port.
type flow struct {
	key    string // of the table, see identify
	sender string // the address that datagrams come from and answers go to, as the engine sees it
	origin Origin // the same for the policy
	route  Route
	health *health
	epoch  int    // health.failures when the flow came to the server, or moves
	addr   int    // which of the server's addresses up is connected to
	up     socket // towards the server; nil once the flow has ended
	sent   bool   // something was sent through up
	held   []byte // the first datagram sent through up, while its fate is unknown
	heldAt time.Duration
	tries  int // servers that failed since the client's last datagram
	used   time.Duration

	places [kindsOfQueues]neighbours // owned by the queues

	peer    net.Addr // the goroutines' engine: where answers go
	control []byte   // the event loop: the control message to answer with
	first   int      // the event loop: the datagrams of this round
	last    int
}

// health is what is known of a server from the datagrams of all its flows.
type health struct {
	failures   int
	unanswered int
	since      time.Duration // when the first of the unanswered was sent
	flows      queue         // those that hold a slot of it
}

// moves is the epoch of a flow that is to find another server.
const moves = -1

// socket is a flow's connection to its server.
type socket interface {
	// send sends datagrams in order, each behind the flow's head. If not all could be sent, the error says
	// why the first of the rest could not.
	send(datagrams [][]byte) (sent int, err error)
	close()
}

// endpoint is one address of a server.
type endpoint struct {
	addr netip.AddrPort
	path string // of a Unix socket; empty for none
}

// to is where the flow's server is; zero for one on a Unix socket.
func (f *flow) to() netip.AddrPort {
	if f.addr < len(f.route.Server.Addrs) {
		return f.route.Server.Addrs[f.addr]
	}
	return netip.AddrPort{}
}

var errUnresolved = errors.New("its name is not resolved")

// serverFault reports whether an error of a flow's connected socket says that the server
// is not there: what ICMP reports, and what a Unix socket without a server does.
func serverFault(err error) bool {
	if err == errUnresolved {
		return true
	}
	var n syscall.Errno
	if !errors.As(err, &n) {
		return false
	}
	switch n {
	case syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ENOTCONN, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN,
		syscall.ENOPROTOOPT, syscall.ENOENT, syscall.EACCES, syscall.EPROTOTYPE, syscall.ENOTSOCK, syscall.EDESTADDRREQ, syscall.EAFNOSUPPORT:
		return true
	}
	return false
}

// preparation is what went wrong with a socket before it was connected.
type preparation struct{ error }

func (p preparation) Unwrap() error { return p.error }

// ourFault reports whether an error of making and connecting a flow's socket says nothing about the server.
func ourFault(err error) bool {
	if _, ok := errors.AsType[preparation](err); ok {
		return true
	}
	return isUsedUp(err) || isOneOf(err, syscall.ENOBUFS, syscall.ENOMEM, syscall.ENOSPC, syscall.EADDRINUSE) // ENOSPC for want of epoll watches
}

// isUsedUp reports whether there is no socket for want of descriptors, or of ports of ours.
func isUsedUp(err error) bool { return isOneOf(err, syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN) }

func isOneOf(err error, errnos ...syscall.Errno) bool {
	n, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(errnos, n)
}
