package proxy

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"edgepen/proxy/backend"
)

// BenchmarkConnection is a new connection with a byte each way, from clients that are in the table already, or from others, for
// each of whom the oldest has to go. Setting one up must not take longer because there are many clients or many servers: compare
// clients=1000 with clients=1000000, servers=2 with servers=1000.
func BenchmarkConnection(b *testing.B) {
	for _, c := range []struct {
		who              string
		clients, servers int
	}{{"known", 1000, 2}, {"known", 1_000_000, 2}, {"known", 1000, 1000}, {"new", 1000, 2}, {"new", 1_000_000, 2}, {"new", 1000, 1000}} {
		b.Run(c.who+"/clients="+strconv.Itoa(c.clients)+"/servers="+strconv.Itoa(c.servers), func(b *testing.B) {
			front := benchProxy(b, c.clients, c.servers)
			d := net.Dialer{Timeout: 5 * time.Second}
			stranger, n := 5_000_000, 0
			for b.Loop() {
				n = (n + 7919) % c.clients // far apart, so that the table's memory is not warm
				from := n
				if c.who == "new" {
					stranger++
					from = stranger
				}
				d.LocalAddr = &net.TCPAddr{IP: knownClient(from).AsSlice()}
				exchangeByte(b, &d, front)
			}
		})
	}
}

// knownClient is the nth client: all of 127.0.0.0/8 is this machine.
func knownClient(n int) netip.Addr {
	n += 1 << 16
	return netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)})
}

func exchangeByte(b *testing.B, d *net.Dialer, addr string) {
	c, err := d.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	c.(*net.TCPConn).SetLinger(0) // ports are not to run out
	buf := []byte("x")
	if _, err := c.Write(buf); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(c, buf); err != nil {
		b.Fatal(err)
	}
}

// benchProxy is a proxy before one echo server that stands for many, at an address each, with a full table of clients.
func benchProxy(b *testing.B, clients, servers int) string {
	ln, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c) //nolint:errcheck // the client resets
			}()
		}
	}()
	p := New(slog.New(slog.DiscardHandler), new(slog.LevelVar))
	err = p.Update(func(d *Draft) error {
		d.Listeners, d.ClientsMax = []Listener{{Address: "127.0.0.1:0"}}, clients
		for n := range servers {
			d.Servers = append(d.Servers, backend.Spec{Address: netip.AddrFrom4([4]byte{127, 200, byte(n >> 8), byte(n)}).String(), Port: uint16(ln.Addr().(*net.TCPAddr).Port)})
		}
		return nil
	})
	for _, step := range []func() error{p.Listen, p.Activate} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		b.Fatal(err)
	}
	for n := range clients {
		p.clients.Visit(knownClient(n), time.Now(), 0).SetLast(n % servers)
	}
	p.Serve()
	b.Cleanup(p.Close)
	return p.listeners[0].ln.Addr().String()
}
