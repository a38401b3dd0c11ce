package proxy

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Dead peers are found by keep-alive probes after a minute; accepted connections inherit this from their listener.
const keepAliveIdle = 60

// listenOptions sets what the original sets (SO_REUSEADDR, SO_REUSEPORT), and what every accepted connection is to have.
func listenOptions(network, _ string, raw syscall.RawConn) error {
	if strings.HasPrefix(network, "unix") {
		return nil
	}
	var failed error
	err := raw.Control(func(fd uintptr) {
		s := int(fd)
		failed = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		if failed == nil {
			failed = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}
		if failed == nil && strings.HasSuffix(network, "6") {
			// [::] takes IPv4 as well, as the original's does, whatever the system's default.
			failed = unix.SetsockoptInt(s, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
		}
		if strings.HasPrefix(network, "tcp") {
			keepAlive(s)
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// quicBuffer is the size of the buffers that quic-go wants. They are asked for when the socket is opened, since later on we may be nobody who may
// exceed the system's limit.
const quicBuffer = 7 << 20

// ownSocket is for a socket of QUIC, which nobody shares. [::] takes IPv4 as well.
func ownSocket(network, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		for _, option := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option[0], quicBuffer) != nil {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option[1], quicBuffer) // it gives what the system allows
			}
		}
		if strings.HasSuffix(network, "6") {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
		}
	})
	return errors.Join(err, failed)
}

// transparent lets a socket bind an address that is not ours (ip(7), IP_TRANSPARENT).
func transparent(s int) error {
	if err := unix.SetsockoptInt(s, unix.SOL_IP, unix.IP_TRANSPARENT, 1); err != nil {
		return fmt.Errorf("transparent: %w (it needs the capability CAP_NET_ADMIN)", err)
	}
	return nil
}

// bind binds a datagram socket to where its datagrams are to come from.
func (from dialFrom) bind(s int) error {
	local := from.source
	if from.client.IsValid() {
		local = from.client
		if err := transparent(s); err != nil {
			return err
		}
	}
	family, err := unix.GetsockoptInt(s, unix.SOL_SOCKET, unix.SO_DOMAIN)
	switch {
	case err != nil:
		return err
	case family == unix.AF_INET && local.Is4():
		return unix.Bind(s, &unix.SockaddrInet4{Addr: local.As4()})
	case family == unix.AF_INET6 && local.Is6():
		return unix.Bind(s, &unix.SockaddrInet6{Addr: local.As16()})
	}
	return nil // an address of the other family says nothing about this server
}

// keepAlive is a courtesy to the table of connections; a socket without it works as well.
func keepAlive(s int) {
	if unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1) == nil {
		_ = unix.SetsockoptInt(s, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveIdle)
	}
}
