//go:build !nohttp3

package h3

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// TestRefusals: who was refused is remembered for the other datagrams of a ClientHello, and no longer; memory is bounded.
func TestRefusals(t *testing.T) {
	var r refusals
	now := time.Unix(1000, 0)
	one, other := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.1:2")
	if r.has(one, now) || r.has(netip.AddrPort{}, now) {
		t.Error("somebody was refused before anybody came")
	}
	r.add(one, now)
	if !r.has(one, now.Add(refusedFor-1)) || r.has(other, now) || r.has(one, now.Add(refusedFor)) {
		t.Error("the wrong ones are remembered")
	}
	for range len(r.last) {
		r.add(other, now)
	}
	if r.has(one, now) {
		t.Error("the oldest does not make room")
	}
}

// TestAsOverTCP: the end of a handshake is told as over TCP, so that it is counted and logged by the same words.
func TestAsOverTCP(t *testing.T) {
	for _, tt := range []struct {
		err, want error
	}{
		{&quic.IdleTimeoutError{}, os.ErrDeadlineExceeded},
		{&quic.HandshakeTimeoutError{}, os.ErrDeadlineExceeded},
		{&quic.ApplicationError{Remote: true}, io.EOF},
		{&quic.TransportError{Remote: true, ErrorCode: quic.NoError}, io.EOF},
		{context.Canceled, context.Canceled},
	} {
		if got := asOverTCP(tt.err); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
	alert, ok := errors.AsType[*net.OpError](asOverTCP(&quic.TransportError{Remote: true, ErrorCode: 0x100 + 48}))
	if !ok || alert.Op != "remote error" || alert.Err.Error() != "tls: unknown certificate authority" {
		t.Errorf("an alert of the client: %v", alert)
	}
}
