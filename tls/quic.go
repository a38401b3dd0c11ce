package tls

import (
	"context"
	stdtls "crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// ALPNQUIC is the one protocol that is agreed on over QUIC: HTTP/3 (RFC 9114 section 3.1).
const ALPNQUIC = "h3"

var errNotPassedOn = errors.New("clients that ask for this name are passed on, which goes over TCP only")

// Config and State are crypto/tls's, for those who hand them to a library that speaks QUIC.
type (
	Config = stdtls.Config
	State  = stdtls.ConnectionState
)

// QUICConfig is what a library that speaks QUIC (RFC 9001) does handshakes with. Each has to have the context that HandshakeQUIC gives to it.
func (t *Terminator) QUICConfig() *Config { return t.base }

// HandshakeQUIC is Handshake where QUIC carries the messages: do has them exchanged, under the context that it is given, and returns once nothing more
// is done about the handshake. No validation is answered, and nobody is passed on.
func (t *Terminator) HandshakeQUIC(deadline time.Time, checks Checks, do func(ctx context.Context) (State, error)) (State, Info, error) {
	h := &handshake{Context: context.Background(), t: t, checks: checks, deadline: deadline, quic: true}
	h.hello.quic = true
	state, err := do(h)
	if err != nil {
		return State{}, Info{}, h.failed(err)
	}
	info := infoOf(&state, h.hello.ServerName, h.hello.ja4)
	h.release()
	t.counts.success(state)
	return state, info, nil
}

// forQUIC is a copy of a configuration that agrees on HTTP/3 and nothing else.
func forQUIC(shared *stdtls.Config) *stdtls.Config {
	config := shared.Clone()
	config.NextProtos = []string{ALPNQUIC}
	config.MinVersion = stdtls.VersionTLS13
	return config
}

// withAlert is an error of a callback that has crypto/tls send an alert of ours under QUIC, where it takes one from the error.
func withAlert(err error, alert byte) error {
	return fmt.Errorf("%w%.0w", err, stdtls.AlertError(alert))
}

// RemoteAlert is the error of a client's alert, which QUIC carries as a number (RFC 9001 section 4.8), as crypto/tls has it elsewhere.
func RemoteAlert(alert uint8) error {
	return &net.OpError{Op: "remote error", Err: stdtls.AlertError(alert)}
}
