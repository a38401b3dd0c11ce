//go:build nohttp3

package h3

import (
	"context"
	"net"

	"edgepen/tls"
)

// Built reports whether HTTP/3 is there.
const Built = false

// Endpoint is a socket for QUIC.
type Endpoint struct{}

// NewEndpoint makes nothing: nobody calls it where Built is false.
func NewEndpoint(*net.UDPConn, Config) *Endpoint { return &Endpoint{} }

// Serve does nothing but say so.
func (*Endpoint) Serve() error { return ErrNotBuilt }

// Hold reports that there is nothing to hold.
func (*Endpoint) Hold() bool { return false }

// Release does nothing.
func (*Endpoint) Release() {}

// End does nothing.
func (*Endpoint) End() {}

// Wait waits for nothing.
func (*Endpoint) Wait() {}

// Conn is a client's connection, of which there are none.
type Conn struct{ net.Conn }

// Handshake fails.
func (*Conn) Handshake(context.Context) (tls.State, error) { return tls.State{}, ErrNotBuilt }

// Serve does nothing.
func (*Conn) Serve(context.Context, Serving) {}
