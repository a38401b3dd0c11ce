//go:build !nohttp3

package h3

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"edgepen/tls"
)

var (
	errRefused = errors.New("the connection is refused")
	errBytes   = errors.New("a connection of QUIC is read and written by its streams")
)

// Conn is a client's connection from its first datagram on. As a net.Conn it has addresses and an end, and no bytes.
type Conn struct {
	e      *Endpoint
	ctx    context.Context // until the connection has ended, with the reason as its cause
	remote net.Addr        // where the client was when it came

	may     chan context.Context // the handshake may begin, under this
	refused chan struct{}        // it may not
	done    chan *quic.Conn      // the handshake is done
	once    sync.Once
	counted sync.Once
	closed  atomic.Bool
	quic    atomic.Pointer[quic.Conn] // nil until Handshake has succeeded
}

// Handshake lets the handshake begin, with ctx for crypto/tls's callbacks, and returns when it is done or has failed, and nobody uses ctx any more. The
// error is what crypto/tls would say of a connection over TCP.
func (c *Conn) Handshake(ctx context.Context) (tls.State, error) {
	c.may <- ctx
	defer c.settled()
	select {
	case q := <-c.done:
		c.quic.Store(q)
		if c.closed.Load() {
			c.Close()
			return tls.State{}, net.ErrClosed
		}
		return q.ConnectionState().TLS, nil
	case <-c.ctx.Done():
		return tls.State{}, asOverTCP(context.Cause(c.ctx))
	}
}

// settled is called once the handshake is not under way any more.
func (c *Conn) settled() { c.counted.Do(func() { c.e.pending.Add(-1) }) }

// asOverTCP turns QUIC's reason for the end of a handshake into that of a connection over TCP.
func asOverTCP(err error) error {
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return os.ErrDeadlineExceeded
	}
	if _, ok := errors.AsType[*quic.ApplicationError](err); ok {
		return io.EOF
	}
	t, ok := errors.AsType[*quic.TransportError](err)
	if !ok {
		return err
	}
	switch {
	case t.Remote && t.ErrorCode >= firstAlert && t.ErrorCode <= lastAlert:
		return tls.RemoteAlert(uint8(t.ErrorCode - firstAlert))
	case t.Remote:
		return io.EOF
	}
	for _, inner := range t.Unwrap() {
		if inner != nil && inner != net.ErrClosed {
			return inner
		}
	}
	return err
}

// The codes that stand for alerts of TLS (RFC 9000 section 20.1).
const (
	firstAlert quic.TransportErrorCode = 0x100
	lastAlert  quic.TransportErrorCode = 0x1ff
)

// Close ends the connection: a handshake that has not begun is refused, and one that has is over as soon as it is done.
func (c *Conn) Close() error {
	c.closed.Store(true)
	c.once.Do(func() { close(c.refused) })
	if q := c.quic.Load(); q != nil {
		return q.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	}
	return nil
}

// RemoteAddr is the client's address, as it was at first: who comes from another one is not served any more.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// LocalAddr is ours.
func (c *Conn) LocalAddr() net.Addr {
	if q := c.quic.Load(); q != nil {
		return q.LocalAddr()
	}
	return c.e.socket.LocalAddr()
}

// moved reports whether the client sends from another address than at first (RFC 9000 section 9). Another port is a router's doing.
func (c *Conn) moved(q *quic.Conn) bool {
	return addrPort(q.RemoteAddr()).Addr() != addrPort(c.remote).Addr()
}

// Read fails.
func (c *Conn) Read([]byte) (int, error) { return 0, errBytes }

// Write fails.
func (c *Conn) Write([]byte) (int, error) { return 0, errBytes }

// SetDeadline does nothing.
func (c *Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }
