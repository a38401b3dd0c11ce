package proxy

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Dead peers are found by keep-alive probes after a minute; accepted connections inherit this from their listener.
const keepAliveIdle = 60

// listenOptions sets what the original sets (SO_REUSEADDR, SO_REUSEPORT), and what every accepted connection is to have.
func listenOptions(network, _ string, raw syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var failed error
	err := raw.Control(func(fd uintptr) {
		s := int(fd)
		failed = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		if failed == nil {
			failed = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}
		if failed == nil && network == "tcp6" {
			// [::] takes IPv4 as well, as the original's does, whatever the system's default.
			failed = unix.SetsockoptInt(s, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
		}
		keepAlive(s)
	})
	if err != nil {
		return err
	}
	return failed
}

// transparent lets a socket bind an address that is not ours (ip(7), IP_TRANSPARENT).
func transparent(s int) error {
	if err := unix.SetsockoptInt(s, unix.SOL_IP, unix.IP_TRANSPARENT, 1); err != nil {
		return fmt.Errorf("transparent: %v (it needs the capability CAP_NET_ADMIN)", err)
	}
	return nil
}

// keepAlive is a courtesy to the table of connections; a socket without it works as well.
func keepAlive(s int) {
	if unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1) == nil {
		_ = unix.SetsockoptInt(s, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveIdle)
	}
}
