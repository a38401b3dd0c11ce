package udp

import (
	"net"
	"syscall"
)

func newEngine(s *Server, pc net.PacketConn, p Policy) (engine, error) {
	if raw, ok := pc.(syscall.Conn); ok {
		return newLoop(s, pc, raw, p)
	}
	return newGoroutines(s, pc, p)
}
