//go:build !nohttp3

package h3

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
)

// Built reports whether HTTP/3 is there.
const Built = true

// What a client may have on its way to us that nobody has read: of one stream, and of all of a connection together.
const (
	streamWindow     = 256 << 10
	connectionWindow = 1 << 20
)

// QUIC's own signs of life: a client of which nothing was heard for silence is gone, and one with nothing to say is asked in between.
const (
	silence   = 30 * time.Second
	keepAlive = silence / 2
)

// Beside its requests a client has a control stream and two of QPACK's; more are for extensions, which nobody listens to.
const uniStreams = 8

// Endpoint is a socket for QUIC and the connections that go through it. It is held by its listener, and lives on without it until the last of
// its connections has ended: they are not the listener's.
type Endpoint struct {
	Config
	socket  *net.UDPConn
	tr      *quic.Transport
	ln      *quic.Listener // nil until Serve
	taking  sync.WaitGroup
	pending atomic.Int64
	ending  atomic.Bool
	out     refusals // for quic-go's goroutine alone

	mu    sync.Mutex
	held  bool
	conns int
	over  chan struct{} // closed when the socket is
	dying bool
}

// NewEndpoint takes over a socket. It is held.
func NewEndpoint(socket *net.UDPConn, c Config) *Endpoint {
	return &Endpoint{Config: c, socket: socket, held: true, over: make(chan struct{})}
}

// Serve begins to take connections, once.
func (e *Endpoint) Serve() error {
	if e.ln != nil {
		return nil
	}
	// What quic-go has to say about buffers goes to stderr; we say it in our log.
	os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true") //nolint:errcheck // the name is a good one
	e.tr = &quic.Transport{
		Conn:                e.socket,
		ConnectionIDLength:  8, // so many that none comes twice
		VerifySourceAddress: func(client net.Addr) bool { return e.Validate(addrPort(client), int(e.pending.Load())) },
		ConnContext:         e.begin,
	}
	ln, err := e.tr.Listen(e.TLS, &quic.Config{GetConfigForClient: e.quicConfig})
	if err != nil {
		return err
	}
	e.ln = ln
	e.taking.Go(e.take)
	e.sayBuffers()
	return nil
}

func (e *Endpoint) quicConfig(*quic.ClientInfo) (*quic.Config, error) {
	s := e.Settings()
	return &quic.Config{
		HandshakeIdleTimeout:           s.Handshake / 2, // and quic-go gives the whole twice this
		MaxIdleTimeout:                 silence,
		KeepAlivePeriod:                keepAlive,
		InitialStreamReceiveWindow:     streamWindow,
		MaxStreamReceiveWindow:         streamWindow,
		InitialConnectionReceiveWindow: connectionWindow,
		MaxConnectionReceiveWindow:     connectionWindow,
		MaxIncomingStreams:             int64(s.Streams),
		MaxIncomingUniStreams:          uniStreams,
	}, nil
}

// begin asks whoever serves about a client that wants to connect, before anything is done about its handshake.
func (e *Endpoint) begin(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	from := addrPort(info.RemoteAddr)
	if e.out.has(from, time.Now()) {
		return nil, errRefused
	}
	c := &Conn{
		e: e, ctx: ctx, remote: net.UDPAddrFromAddrPort(from),
		may: make(chan context.Context, 1), refused: make(chan struct{}), done: make(chan *quic.Conn, 1),
	}
	if !e.enter() {
		return nil, errRefused
	}
	e.pending.Add(1)
	context.AfterFunc(ctx, e.leave)
	if e.Accept(c) {
		select {
		case with := <-c.may:
			return context.WithValue(with, connKey{}, c), nil
		case <-c.refused:
		}
	}
	c.settled()
	e.out.add(from, time.Now())
	return nil, errRefused
}

// refusals are the clients that were refused last. A ClientHello takes two datagrams or more, and whoever is refused for the first is not to be
// asked about and counted again for the others.
type refusals struct {
	last [64]refusal
	next int
}

type refusal struct {
	client netip.AddrPort
	until  time.Time
}

// refusedFor is longer than the datagrams of a ClientHello are apart.
const refusedFor = 200 * time.Millisecond

func (r *refusals) add(client netip.AddrPort, now time.Time) {
	r.last[r.next] = refusal{client, now.Add(refusedFor)}
	r.next = (r.next + 1) % len(r.last)
}

func (r *refusals) has(client netip.AddrPort, now time.Time) bool {
	return slices.ContainsFunc(r.last[:], func(l refusal) bool { return l.client == client && now.Before(l.until) })
}

// connKey is what a connection's context has the connection under.
type connKey struct{}

// take hands out connections whose handshake is done.
func (e *Endpoint) take() {
	for {
		q, err := e.ln.Accept(context.Background())
		if err != nil {
			if !e.ending.Load() {
				e.Log.Error("HTTP/3 has ended", "socket", e.socket.LocalAddr(), "why", err)
			}
			return
		}
		q.Context().Value(connKey{}).(*Conn).done <- q
	}
}

func (e *Endpoint) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.held {
		e.conns++
	}
	return e.held
}

func (e *Endpoint) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conns--
	e.dieLocked()
}

// Hold has the endpoint take connections again. False: it is gone, and its address is free.
func (e *Endpoint) Hold() bool {
	e.mu.Lock()
	if !e.dying {
		e.held = true
		e.mu.Unlock()
		return true
	}
	e.mu.Unlock()
	e.Wait() // not for long: nobody uses it
	return false
}

// Release has new clients refused. The socket is closed when the last connection has ended.
func (e *Endpoint) Release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = false
	e.dieLocked()
}

func (e *Endpoint) dieLocked() {
	if e.held || e.conns > 0 || e.dying {
		return
	}
	e.dying = true
	go func() {
		e.End()
		if e.tr != nil {
			e.tr.Close() //nolint:errcheck // it has no connections any more
		}
		e.socket.Close()
		close(e.over)
	}()
}

// End ends the handshakes that are under way; what is established is its owner's to close.
func (e *Endpoint) End() {
	e.ending.Store(true)
	if e.ln != nil {
		e.ln.Close() //nolint:errcheck // it cannot fail
		e.taking.Wait()
	}
}

// Wait waits until the socket is closed, after Release.
func (e *Endpoint) Wait() { <-e.over }

// bufferWanted is what quic-go tries to get as the socket's receive buffer. Linux counts twice what is asked for.
const bufferWanted = 7 << 20

// sayBuffers warns where the system allows no buffer that keeps a burst of datagrams: what is lost has to be sent again.
func (e *Endpoint) sayBuffers() {
	raw, err := e.socket.SyscallConn()
	if err != nil {
		return
	}
	size := 0
	raw.Control(func(fd uintptr) { //nolint:errcheck // the size stays 0
		size, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF)
	})
	if size > 0 && size < bufferWanted {
		e.Log.Warn("the receive buffer for HTTP/3 is small, and under load datagrams are lost: raise the system's limit (on Linux net.core.rmem_max)",
			"socket", e.socket.LocalAddr(), "bytes", size, "wanted", bufferWanted)
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
