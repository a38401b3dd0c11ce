//go:build !linux

package proxy

import (
	"errors"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenOptions sets what the original sets: SO_REUSEADDR, SO_REUSEPORT.
func listenOptions(network, _ string, raw syscall.RawConn) error {
	if strings.HasPrefix(network, "unix") {
		return nil
	}
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		if failed == nil {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}
	})
	if err != nil {
		return err
	}
	return failed
}

func ownSocket(string, string, syscall.RawConn) error { return nil }

func transparent(int) error { return errors.New("transparent needs Linux") }

func (from dialFrom) bind(int) error { return errors.New("source and transparent need Linux for UDP") }

func keepAlive(s int) { _ = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1) }
