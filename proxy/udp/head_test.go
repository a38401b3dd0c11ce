package udp

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// introducer is a policy that has each datagram begin with its client's address.
type introducer struct{ *observed }

func (i introducer) Choose(o *Origin) (Route, bool) {
	o.Head = fmt.Appendf(nil, "<%v for %v said %q>", o.Client.Addr(), o.Local.Addr(), o.Said)
	return i.observed.Choose(o)
}

// digits strips a client's number from a datagram, as in "1>text"; without one it is its sender's, and one that begins with ! is nobody's.
func digits(sender netip.AddrPort, datagram []byte) (int, netip.AddrPort, bool) {
	switch {
	case len(datagram) > 0 && datagram[0] == '!':
		return 0, netip.AddrPort{}, false
	case len(datagram) < 2 || datagram[1] != '>':
		return 0, netip.AddrPort{}, true
	case datagram[0] == '0':
		return 2, netip.AddrPort{}, true
	}
	return 2, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, datagram[0] - '0'}), 4711), true
}

func TestAHeadGoesBeforeEachDatagram(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		far := listen(t, "udp4", "127.0.0.1:0")
		defer far.Close()
		p := introducer{newObserved(serverAt("A", far.LocalAddr()))}
		s := start(t, engine, listen(t, "udp4", "127.0.0.1:0"), p, Config{FlowsMax: 3})
		c := dialClient(t, s)
		for _, text := range []string{"one", "", "three", "four"} { // several may go at once
			c.Write([]byte(text))
		}
		far.SetDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 1000)
		for _, text := range []string{"one", "", "three", "four"} {
			n, _, err := far.ReadFrom(buf)
			if want := `<127.0.0.1 for 127.0.0.1 said "">` + text; err != nil || string(buf[:n]) != want {
				t.Errorf("%q, %v; want %q", buf[:n], err, want)
			}
		}
		s.Close() // it counts when it has sent
		if n := p.servers[0].Sent(); n != uint64(len("onethreefour")) {
			t.Errorf("%d bytes count as sent", n)
		}
	})
}

func TestTheHeadGoesWithTheFlowToAnotherServer(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		p := introducer{newObserved(gone(t, "X"), echo(t, "A", "udp4", "127.0.0.1:0"))}
		s := start(t, engine, listen(t, "udp4", "127.0.0.1:0"), p, Config{FlowsMax: 3})
		exchange(t, dialClient(t, s), "x", `A<127.0.0.1 for 127.0.0.1 said "">x`)
	})
}

// TestWhereDatagramsWereSentIsKnown also where the socket is bound to no address, on Linux; elsewhere that is what it says.
func TestWhereDatagramsWereSentIsKnown(t *testing.T) {
	p := introducer{newObserved(echo(t, "A", "udp4", "127.0.0.1:0"))}
	for network, address := range map[string]string{"udp4": "127.0.0.2", "udp": "127.0.0.3", "udp6": "::1"} {
		pc := listen(t, network, ":0")
		s := start(t, newEngine, pc, p, Config{FlowsMax: 3})
		c, err := net.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr(address), addrPort(s.Addr()).Port()).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		client := c.LocalAddr().(*net.UDPAddr).IP
		if _, there := engines["event loop"]; !there {
			address = addrPort(s.Addr()).Addr().String()
		}
		exchange(t, c, "x", fmt.Sprintf(`A<%s for %s said "">x`, client, address))
	}
}

func TestASenderSpeaksForSeveralClients(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		p := newObserved(echo(t, "A", "udp4", "127.0.0.1:0"), echo(t, "B", "udp4", "127.0.0.1:0"), echo(t, "C", "udp4", "127.0.0.1:0"))
		s := start(t, engine, listen(t, "udp4", "127.0.0.1:0"), introducer{p}, Config{FlowsMax: 5, Strip: digits})
		c := dialClient(t, s)
		exchange(t, c, "1>x", `A<192.0.2.1 for 127.0.0.1 said "1>">x`)
		exchange(t, c, "2>x", `B<192.0.2.2 for 127.0.0.1 said "2>">x`)
		exchange(t, c, "x", `C<127.0.0.1 for 127.0.0.1 said "">x`)
		exchange(t, c, "0>y", `C<127.0.0.1 for 127.0.0.1 said "">y`) // the sender's own, too
		exchange(t, c, "1>y", `A<192.0.2.1 for 127.0.0.1 said "1>">y`)
		exchange(t, c, "2>", `B<192.0.2.2 for 127.0.0.1 said "2>">`)
		c.Write([]byte("!"))
		other := dialClient(t, s) // a client of two senders is one for the policy, but has two flows
		exchange(t, other, "1>z", `A<192.0.2.1 for 127.0.0.1 said "1>">z`)
		if s.Flows() != 4 {
			t.Errorf("%d flows, want 4", s.Flows())
		}
		var hosts []string
		p.mu.Lock()
		for _, client := range p.clients {
			hosts = append(hosts, client.Addr().String())
		}
		p.mu.Unlock()
		if want := []string{"192.0.2.1", "192.0.2.2", "127.0.0.1", "192.0.2.1"}; !slices.Equal(hosts, want) {
			t.Errorf("clients %v, want %v", hosts, want)
		}
	})
}
