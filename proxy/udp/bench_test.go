package udp

import (
	"net"
	"testing"
	"time"

	"edgepen/proxy/backend"
)

// BenchmarkExchange is one datagram up and one down, four at a time; client and server are included.
func BenchmarkExchange(b *testing.B) {
	eachEngineBench(b, func(b *testing.B, s *Server, far *net.UDPConn) {
		c, err := net.Dial("udp", s.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Minute))
		buf := make([]byte, 64)
		for b.Loop() {
			for range 4 {
				c.Write(buf)
			}
			for range 4 {
				_, from, _ := far.ReadFromUDPAddrPort(buf)
				far.WriteToUDPAddrPort(buf, from)
			}
			for range 4 {
				if _, err := c.Read(buf); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// BenchmarkNewFlow is an exchange whose client is always another one.
func BenchmarkNewFlow(b *testing.B) {
	eachEngineBench(b, func(b *testing.B, s *Server, far *net.UDPConn) {
		buf := make([]byte, 64)
		for b.Loop() {
			c, err := net.Dial("udp", s.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			c.Write(buf)
			_, from, _ := far.ReadFromUDPAddrPort(buf)
			far.WriteToUDPAddrPort(buf, from)
			c.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := c.Read(buf); err != nil {
				b.Fatal(err)
			}
			c.Close()
		}
	})
}

func eachEngineBench(b *testing.B, run func(b *testing.B, s *Server, far *net.UDPConn)) {
	for name, start := range engines {
		b.Run(name, func(b *testing.B) {
			far, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				b.Fatal(err)
			}
			defer far.Close()
			front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				b.Fatal(err)
			}
			s, err := serve(front, &roundRobin{servers: []*backend.Server{serverAt("A", far.LocalAddr())}}, Config{FlowsMax: 500}, start)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			run(b, s, far)
		})
	}
}
