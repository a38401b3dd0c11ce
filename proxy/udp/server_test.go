package udp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"edgepen/proxy/backend"
)

func TestExchanges(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		p := newObserved(echo(t, "A", "udp4", "127.0.0.1:0"), echo(t, "B", "udp4", "127.0.0.1:0"))
		p.account = backend.NewClients(1).Visit(netip.MustParseAddr("127.0.0.1"), time.Now(), 0)
		s := start(t, engine, listen(t, "udp4", "127.0.0.1:0"), p, Config{FlowsMax: 10})
		first, second := dialClient(t, s), dialClient(t, s)
		for range 3 {
			exchange(t, first, "one", "Aone")
			exchange(t, second, "two!", "Btwo!")
		}
		exchange(t, first, "", "A")
		if n := s.Flows(); n != 2 {
			t.Errorf("%d flows, want 2", n)
		}
		s.Close()
		a, b := p.servers[0], p.servers[1]
		if a.Sent() != 9 || a.Received() != 13 || b.Sent() != 12 || b.Received() != 15 {
			t.Errorf("A: %d up, %d down; B: %d up, %d down; want 9, 13, 12, 15", a.Sent(), a.Received(), b.Sent(), b.Received())
		}
		if p.account.Received() != 21 || p.account.Sent() != 28 {
			t.Errorf("client: %d from it, %d to it; want 21, 28", p.account.Received(), p.account.Sent())
		}
		if a.Conns() != 0 || b.Conns() != 0 || s.Flows() != 0 {
			t.Errorf("after Close %d flows hold %d and %d slots", s.Flows(), a.Conns(), b.Conns())
		}
		if want := first.LocalAddr().(*net.UDPAddr).AddrPort(); p.clients[0] != want {
			t.Errorf("the client was named %v, want %v", p.clients[0], want)
		}
	})
}

func TestEverySizeAndOrder(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		s := start(t, engine, listen(t, "udp4", "127.0.0.1:0"), newObserved(echo(t, "", "udp4", "127.0.0.1:0")), Config{FlowsMax: 10})
		c := dialClient(t, s)
		for _, size := range []int{0, 1, 1472, 1473, 2048, 32768, 32769, 65507, 0, 3} {
			exchange(t, c, strings.Repeat("x", size), strings.Repeat("x", size))
		}
		for round := range 5 { // more than any batch, less than a socket's buffer
			for i := range 80 {
				fmt.Fprintf(c, "%d-%d", round, i)
			}
			for i := range 80 {
				expect(t, c, fmt.Sprintf("%d-%d", round, i))
			}
		}
	})
}

func TestManyClientsAtOnce(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		p := newObserved(echo(t, "A", "udp4", "127.0.0.1:0"), echo(t, "A", "udp4", "127.0.0.1:0"))
		s := start(t, engine, listen(t, "udp4", "127.0.0.1:0"), p, Config{FlowsMax: 1000})
		var clients []net.Conn
		for range 100 {
			clients = append(clients, dialClient(t, s))
		}
		for round := range 10 {
			for i, c := range clients {
				fmt.Fprintf(c, "%d/%d", i, round)
			}
			for i, c := range clients {
				expect(t, c, fmt.Sprintf("A%d/%d", i, round))
			}
		}
	})
}

func TestFamilies(t *testing.T) {
	for _, c := range []struct{ listen, address, client, server, at string }{
		{"udp6", "[::1]:0", "::1", "udp4", "127.0.0.1:0"},
		{"udp4", "127.0.0.1:0", "127.0.0.1", "udp6", "[::1]:0"},
		{"udp", "[::]:0", "127.0.0.1", "udp6", "[::1]:0"}, // IPv4-mapped addresses are IPv4
		{"udp", "[::]:0", "::1", "udp4", "127.0.0.1:0"},
		{"udp4", "0.0.0.0:0", "127.0.0.1", "udp4", "127.0.0.1:0"},
	} {
		t.Run(c.address+" from "+c.client, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, engine starter) {
				p := newObserved(echo(t, "A", c.server, c.at))
				s := start(t, engine, listen(t, c.listen, c.address), p, Config{FlowsMax: 10})
				client, err := net.Dial("udp", net.JoinHostPort(c.client, strconv.Itoa(s.Addr().(*net.UDPAddr).Port)))
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				client.SetDeadline(time.Now().Add(10 * time.Second))
				exchange(t, client, "x", "Ax")
				s.Close()
				if got := p.clients[0].Addr().String(); got != c.client {
					t.Errorf("the client was named %s, want %s", got, c.client)
				}
			})
		})
	}
}

func TestUnixSockets(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		dir := t.TempDir()
		far := listen(t, "unixgram", filepath.Join(dir, "server"))
		defer far.Close()
		far.SetDeadline(time.Now().Add(10 * time.Second))
		p := newObserved(serverAt("U", far.LocalAddr()), echo(t, "A", "udp4", "127.0.0.1:0"))
		s := start(t, engine, listen(t, "unixgram", filepath.Join(dir, "front")), p, Config{FlowsMax: 10})

		anonymous := dialUnix(t, s, "")
		anonymous.Write([]byte("nobody can answer this"))
		buf := make([]byte, 100)
		if n, _, err := far.ReadFrom(buf); err != nil || string(buf[:n]) != "nobody can answer this" {
			t.Errorf("the server got %q, %v", buf[:n], err)
		}
		named := dialUnix(t, s, filepath.Join(dir, "client"))
		exchange(t, named, "x", "Ax")
		exchange(t, named, "", "A")
		s.Close()
		if len(p.clients) != 2 || p.clients[0].IsValid() || p.clients[1].IsValid() {
			t.Errorf("Unix peers were named %v", p.clients)
		}
	})
}

func TestAServerThatIsNotThere(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		p := newObserved(gone(t, "X"), serverAt("", &net.UnixAddr{Name: "/does/not/exist", Net: "unixgram"}), gone(t, "Y"),
			echo(t, "A", "udp4", "127.0.0.1:0"))
		s := start(t, engine, listen(t, "udp4", "127.0.0.1:0"), p, Config{FlowsMax: 10})
		exchange(t, dialClient(t, s), "the only one", "Athe only one")
		p.await(t, "failed X")
		p.await(t, "failed /does/not/exist")
		p.await(t, "failed Y")
	})
}

func TestAServerThatGoesAway(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		pc := listen(t, "udp4", "127.0.0.1:0")
		p := newObserved(serverAt("X", pc.LocalAddr()), echo(t, "A", "udp4", "127.0.0.1:0"))
		s := start(t, engine, listen(t, "udp4", "127.0.0.1:0"), p, Config{FlowsMax: 10})
		c := dialClient(t, s)
		c.Write([]byte("first"))
		buf := make([]byte, 100)
		n, from, err := pc.ReadFrom(buf)
		if err != nil || string(buf[:n]) != "first" {
			t.Fatalf("the server got %q, %v", buf[:n], err)
		}
		pc.WriteTo([]byte("answer"), from)
		expect(t, c, "answer")
		pc.Close()
		c.Write([]byte("lost")) // the refusal is an answer to this one
		p.await(t, "failed X")
		exchange(t, c, "again", "Aagain")
		s.Close()
		if p.servers[0].Conns() != 0 || p.servers[1].Conns() != 0 {
			t.Error("slots are not given back")
		}
	})
}

func TestNoAnswer(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		silent := listen(t, "udp4", "127.0.0.1:0")
		defer silent.Close()
		p := newObserved(serverAt("X", silent.LocalAddr()), echo(t, "A", "udp4", "127.0.0.1:0"))
		s := start(t, engine, listen(t, "udp4", "127.0.0.1:0"), p, Config{FlowsMax: 10, Unanswered: 2})
		c := dialClient(t, s)
		begin := time.Now()
		for buf := make([]byte, 100); ; {
			c.Write([]byte("hello?"))
			c.SetReadDeadline(time.Now().Add(silence / 8))
			if n, err := c.Read(buf); err == nil && string(buf[:n]) == "Ahello?" {
				break
			}
			if time.Since(begin) > 10*time.Second {
				t.Fatal("the silent server is not left")
			}
		}
		if time.Since(begin) < silence {
			t.Error("it had no time to answer")
		}
		p.await(t, "failed X")
	})
}

func TestTheTableIsFull(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		p := newObserved(echo(t, "A", "udp4", "127.0.0.1:0"))
		s := start(t, engine, listen(t, "udp4", "127.0.0.1:0"), p, Config{FlowsMax: 3})
		var clients []net.Conn
		for range 4 {
			clients = append(clients, dialClient(t, s))
		}
		for _, i := range []int{0, 1, 2, 0, 3, 1, 2} {
			exchange(t, clients[i], "x", "Ax")
		}
		for range 3 {
			p.await(t, "ended A")
		}
		s.Reconfigure(Config{FlowsMax: 1})
		for range 2 {
			p.await(t, "ended A")
		}
		exchange(t, clients[2], "x", "Ax")
		s.Reconfigure(Config{FlowsMax: 5, Idle: time.Millisecond})
		p.await(t, "ended A")
		clients[2].Write([]byte("x")) // a new flow, with a deadline of its own, before which the answer may not be back
		p.await(t, "ended A")
	})
}

// TestDeniedClients also sends what nobody may see: nothing must be left of it.
func TestDeniedClients(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		asked := make(chan netip.AddrPort, 100)
		s := start(t, engine, listen(t, "udp4", "127.0.0.1:0"), denier(asked), Config{FlowsMax: 3})
		c := dialClient(t, s)
		for range 10 {
			c.Write(nil)
			c.Write(bytes.Repeat([]byte{0xff}, 65507))
			<-asked
			<-asked
		}
		s.Close()
		if s.Flows() != 0 {
			t.Errorf("%d flows, want none", s.Flows())
		}
	})
}

type denier chan netip.AddrPort

func (d denier) Choose(o *Origin) (Route, bool) { d <- o.Client; return Route{}, false }
func (denier) Failed(*backend.Server, error)    {}
func (denier) Ended(*backend.Server)            {}

func (denier) TurnedAway(*Origin)                          {}
func (denier) Serves(*backend.Server, netip.AddrPort) bool { return true }

func TestTapAndPrepare(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		seen := make(chan string, 10)
		refuse := errors.New("not this one")
		c := Config{FlowsMax: 3,
			Tap: func(client netip.AddrPort, srv *backend.Server, at netip.AddrPort, up bool, datagram []byte) {
				seen <- fmt.Sprint(client.Addr(), srv.Address, up, string(datagram))
			},
			Prepare: func(_ uintptr, _ netip.AddrPort, srv *backend.Server) error {
				seen <- "prepare " + srv.Address
				if srv.Address == "X" {
					return refuse
				}
				return nil
			},
			Trouble: func(err error) {
				if errors.Is(err, refuse) {
					seen <- "trouble"
				}
			}}
		p := newObserved(gone(t, "X"), echo(t, "A", "udp4", "127.0.0.1:0"))
		s := start(t, engine, listen(t, "udp4", "127.0.0.1:0"), p, c)
		client := dialClient(t, s)
		client.Write([]byte("dropped"))
		p.await(t, "ended X")
		exchange(t, client, "x", "Ax")
		s.Close()
		close(seen)
		want := []string{"prepare X", "trouble", "prepare A", "127.0.0.1Atruex", "127.0.0.1AfalseAx"}
		if got := slices.Collect(values(seen)); !slices.Equal(got, want) {
			t.Errorf("seen: %q, want %q", got, want)
		}
	})
}

func values(c chan string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for s := range c {
			if !yield(s) {
				return
			}
		}
	}
}

func TestServeRefusesWhatIsNoDatagramSocket(t *testing.T) {
	if _, err := Serve(notDatagrams{}, newObserved(), Config{}); err == nil {
		t.Error("Serve takes a socket that is none")
	}
}

type notDatagrams struct{ net.PacketConn }

func (notDatagrams) LocalAddr() net.Addr { return &net.IPAddr{} }
func (notDatagrams) Close() error        { return nil }

// TestNothingIsAllocatedPerDatagram counts the whole process: client and server of the test included.
func TestNothingIsAllocatedPerDatagram(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		far := listen(t, "udp4", "127.0.0.1:0").(*net.UDPConn)
		defer far.Close()
		// Neither for what says who the client is, nor for the head towards the server.
		s := start(t, engine, listen(t, "udp4", "127.0.0.1:0"), introducer{newObserved(serverAt("A", far.LocalAddr()))}, Config{FlowsMax: 10, Idle: time.Hour, Strip: digits})
		c := dialClient(t, s)
		buf, datagram := make([]byte, 2048), []byte("1>and sixty others")
		once := func() {
			for range 4 {
				c.Write(datagram)
			}
			for range 4 {
				n, from, _ := far.ReadFromUDPAddrPort(buf)
				far.WriteToUDPAddrPort(buf[:n], from)
			}
			for range 4 {
				c.Read(buf)
			}
		}
		once()
		if n := testing.AllocsPerRun(300, once); n > 0 {
			t.Errorf("%v allocations for four exchanges, want 0", n)
		}
	})
}
