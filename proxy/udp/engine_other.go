//go:build !linux

package udp

import "net"

func newEngine(s *Server, pc net.PacketConn, p Policy) (engine, error) {
	return newGoroutines(s, pc, p)
}
