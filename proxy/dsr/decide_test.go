package dsr

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"edgepen/proxy/backend"
)

var start0 = time.Unix(1e9, 0)

func testConfig() Config {
	return Config{
		Interface: "eth0",
		Address:   service,
		Port:      80,
		Servers:   []Server{{Addr: server1}, {Addr: server2}},
	}
}

// newTable compiles a configuration whose servers have answered.
func newTable(t testing.TB, c Config) *table {
	t.Helper()
	table, err := compile(c, host{mac: ourMAC, networks: []netip.Prefix{ourAddr}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	table.decide(isAt(server1, mac1), start0)
	table.decide(isAt(server2, mac2), start0)
	return table
}

// tarpitted is a list that matches 10.9.0.200 to 10.9.0.207, and everybody of
// the cast as well.
func tarpitted(a netip.Addr) bool {
	return netip.MustParsePrefix("10.9.0.200/29").Contains(a) ||
		slices.Contains([]netip.Addr{service, server1, server2, ourAddr.Addr()}, a)
}

func TestForwardedFrame(t *testing.T) {
	table := newTable(t, testConfig())
	// A SYN with options and a trailer, and what pen 0.34.1 made of it.
	in := unhex(t, `0200000000aa 0200000000bb 0800
		4600002c 00014000 40066300 0a09004d 0a090064 01010101
		1388 0050 11223344 00000000 5002 0400 0000 0000 747261696c`)
	want := unhex(t, `020000000001 0200000000aa 0800
		4600002c 00014000 40066300 0a09004d 0a090064 01010101
		1388 0050 11223344 00000000 5002 0400 0000 0000 747261696c`)
	a := table.decide(in, start0)
	if a.verdict != forward || a.server.index != 0 || a.bytes != 0x2c {
		t.Fatalf("got verdict %d, %+v", a.verdict, a)
	}
	if !bytes.Equal(a.frame, want) {
		t.Errorf("got  %x\nwant %x", a.frame, want)
	}
}

func TestARPAnswer(t *testing.T) {
	table := newTable(t, testConfig())
	in := unhex(t, `ffffffffffff 0200000000bb 0806 0001 0800 06 04 0001
		0200000000bb 0a09004d 000000000000 0a090064 000000000000000000000000000000000000`)
	want := unhex(t, `0200000000bb 0200000000aa 0806 0001 0800 06 04 0002
		0200000000aa 0a090064 0200000000bb 0a09004d`)
	a := table.decide(in, start0)
	if a.verdict != answerARP || !bytes.Equal(a.frame, want) {
		t.Errorf("verdict %d\ngot  %x\nwant %x", a.verdict, a.frame, want)
	}
}

func TestTarpitAnswer(t *testing.T) {
	c := testConfig()
	c.Tarpit = tarpitted
	table := newTable(t, c)
	in := unhex(t, `0200000000aa 0200000000bb 0800
		45000038 00014000 03066240 0a09004d 0a0900c9
		1388 0016 11223344 00000000 9002 0400 eae1 0000 020405b4 0402080a 00000001 00000000`)
	a := table.decide(in, start0)
	if a.verdict != tarpit || len(a.frame) != 54 {
		t.Fatalf("verdict %d, %d bytes", a.verdict, len(a.frame))
	}
	head := unhex(t, `0200000000bb 0200000000aa 0800 45000028 00004000 4006 25a9 0a0900c9 0a09004d 0016 1388`)
	if got := a.frame[:len(head)]; !bytes.Equal(got, head) {
		t.Errorf("got  %x\nwant %x", got, head)
	}
	if ack, flags := binary.BigEndian.Uint32(a.frame[42:]), a.frame[47]; ack != 0x11223345 || flags != flagSYN|flagACK {
		t.Errorf("acknowledges %#x, flags %#x", ack, flags)
	}
	checkSums(t, a.frame)
}

// checkSums recomputes the checksums of a TCP segment.
func checkSums(t testing.TB, frame []byte) {
	t.Helper()
	ip := frame[ethernetLen:]
	if got := checksum(ip[:ipv4Len], 0); got != 0 {
		t.Errorf("IPv4 checksum is off by %#x", got)
	}
	pseudo := slices.Concat(ip[12:20], []byte{0, protoTCP, 0, byte(len(ip) - ipv4Len)}, ip[ipv4Len:])
	if got := checksum(pseudo, 0); got != 0 {
		t.Errorf("TCP checksum is off by %#x", got)
	}
}

// to makes a frame of another one for another station.
func to(dst MAC, frame []byte) []byte {
	copy(frame, dst[:])
	return frame
}

func from(src MAC, frame []byte) []byte {
	copy(frame[6:], src[:])
	return frame
}

func TestDecide(t *testing.T) {
	anyPort := func(c *Config) { c.Port = 0 }
	udp := func(c *Config) { c.UDP = true }
	trap := func(c *Config) { c.Tarpit = tarpitted }
	plain := func(c *Config) {}
	syn := func(src, dst netip.Addr, flags byte) []byte {
		return ipFrame(src, dst, protoTCP, 0x4000, tcpSegment(5000, 22, flags))
	}
	for _, tt := range []struct {
		name  string
		edit  func(*Config)
		frame []byte
		want  verdict
	}{
		{"TCP", plain, tcpFrame(clientAddr, 5000, 80, flagACK), forward},
		{"TCP to another port", plain, tcpFrame(clientAddr, 5000, 81, flagSYN), ignore},
		{"TCP to any port", anyPort, tcpFrame(clientAddr, 5000, 81, flagSYN), forward},
		{"TCP for a UDP service", udp, tcpFrame(clientAddr, 5000, 80, flagSYN), ignore},
		{"UDP", udp, ipFrame(clientAddr, service, protoUDP, 0, udpDatagram(5000, 80, "hi")), forward},
		{"UDP for a TCP service", plain, ipFrame(clientAddr, service, protoUDP, 0, udpDatagram(5000, 80, "hi")), ignore},
		{"UDP for a TCP service on any port", anyPort, ipFrame(clientAddr, service, protoUDP, 0, udpDatagram(5000, 80, "hi")), ignore},
		{"to another address", plain, ipFrame(clientAddr, server1, protoTCP, 0, tcpSegment(5000, 80, flagSYN)), ignore},
		{"to another station", plain, to(clientMAC, tcpFrame(clientAddr, 5000, 80, flagSYN)), ignore},
		{"to all stations", plain, to(broadcast, tcpFrame(clientAddr, 5000, 80, flagSYN)), ignore},
		{"from ourselves", plain, from(ourMAC, tcpFrame(clientAddr, 5000, 80, flagSYN)), ignore},
		{"from a group", plain, from(MAC{1}, tcpFrame(clientAddr, 5000, 80, flagSYN)), ignore},
		{"short TCP head", plain, ipFrame(clientAddr, service, protoTCP, 0, tcpSegment(5000, 80, flagSYN)[:19]), ignore},
		{"short UDP head", udp, ipFrame(clientAddr, service, protoUDP, 0, udpDatagram(5000, 80, "")[:7]), ignore},
		{"UDP length beyond the packet", udp, ipFrame(clientAddr, service, protoUDP, 0, []byte{1, 1, 0, 80, 0, 9, 0, 0}), ignore},
		{"UDP length too small", udp, ipFrame(clientAddr, service, protoUDP, 0, []byte{1, 1, 0, 80, 0, 7, 0, 0}), ignore},
		{"first fragment", udp, ipFrame(clientAddr, service, protoUDP, 0x2000, []byte{1, 1, 0, 80, 5, 0, 0, 0}), forward},
		{"first fragment to another port", udp, ipFrame(clientAddr, service, protoUDP, 0x2000, []byte{1, 1, 0, 81, 5, 0, 0, 0}), ignore},
		{"later fragment", udp, ipFrame(clientAddr, service, protoUDP, 5, []byte("x")), forward},
		{"later fragment of another protocol", udp, ipFrame(clientAddr, service, protoTCP, 5, []byte("x")), ignore},
		{"ICMP echo", plain, ipFrame(clientAddr, service, protoICMP, 0, []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}), ignore},
		{"ICMP unreachable", plain, icmpFrame(3, quote(clientAddr, protoTCP, 80, 5000)), forward},
		{"ICMP time exceeded", plain, icmpFrame(11, quote(clientAddr, protoTCP, 80, 5000)), forward},
		{"ICMP parameter problem", plain, icmpFrame(12, quote(clientAddr, protoTCP, 80, 5000)), forward},
		{"ICMP redirect", plain, icmpFrame(5, quote(clientAddr, protoTCP, 80, 5000)), ignore},
		{"ICMP about another port", plain, icmpFrame(3, quote(clientAddr, protoTCP, 81, 5000)), ignore},
		{"ICMP about any port", anyPort, icmpFrame(3, quote(clientAddr, protoTCP, 81, 5000)), forward},
		{"ICMP about another protocol", plain, icmpFrame(3, quote(clientAddr, protoUDP, 80, 5000)), ignore},
		{"ICMP about nothing", plain, icmpFrame(3, nil), ignore},
		{"ICMP about a bare IP head", plain, icmpFrame(3, quote(clientAddr, protoTCP, 80, 5000)[:ipv4Len]), ignore},
		{"IPv6", plain, append(slices.Concat(ourMAC[:], clientMAC[:], []byte{0x86, 0xdd}), make([]byte, 60)...), ignore},
		{"VLAN tag", plain, slices.Concat(ourMAC[:], clientMAC[:], []byte{0x81, 0, 0, 5}, tcpFrame(clientAddr, 1, 80, 2)[12:]), ignore},
		{"empty", plain, nil, ignore},
		{"only an Ethernet head", plain, tcpFrame(clientAddr, 5000, 80, flagSYN)[:ethernetLen], ignore},

		{"ARP for the service", plain, whoHas(service), answerARP},
		{"ARP for the service, to us", plain, to(ourMAC, whoHas(service)), answerARP},
		{"ARP for the service, to another", plain, to(mac1, whoHas(service)), ignore},
		{"ARP probe for the service", plain, arpFrame(broadcast, clientMAC, arp{op: arpRequest, mac: clientMAC, target: service.As4()}), answerARP},
		{"ARP reply about the service", plain, arpFrame(ourMAC, clientMAC, arp{op: arpReply, mac: clientMAC, target: service.As4()}), ignore},
		{"ARP from a group", plain, arpFrame(broadcast, clientMAC, arp{op: arpRequest, mac: MAC{1}, target: service.As4()}), ignore},
		{"ARP from nobody", plain, arpFrame(broadcast, clientMAC, arp{op: arpRequest, target: service.As4()}), ignore},
		{"ARP for another address", plain, whoHas(trapped), ignore},
		{"short ARP", plain, whoHas(service)[:41], ignore},

		{"tarpit: ARP", trap, whoHas(trapped), answerARP},
		{"tarpit: ARP outside the list", trap, whoHas(clientAddr), ignore},
		{"tarpit: ARP for a server", trap, whoHas(server1), ignore},
		{"tarpit: ARP for this host", trap, whoHas(ourAddr.Addr()), ignore},
		{"tarpit: SYN", trap, syn(clientAddr, trapped, flagSYN), tarpit},
		{"tarpit: SYN with ECN", trap, syn(clientAddr, trapped, flagSYN|0xc0), tarpit},
		{"tarpit: SYN+ACK", trap, syn(clientAddr, trapped, flagSYN|flagACK), ignore},
		{"tarpit: SYN+RST", trap, syn(clientAddr, trapped, flagSYN|flagRST), ignore},
		{"tarpit: SYN+FIN", trap, syn(clientAddr, trapped, flagSYN|flagFIN), ignore},
		{"tarpit: ACK", trap, syn(clientAddr, trapped, flagACK), ignore},
		{"tarpit: RST", trap, syn(clientAddr, trapped, flagRST), ignore},
		{"tarpit: FIN", trap, syn(clientAddr, trapped, flagFIN|flagACK), ignore},
		{"tarpit: SYN without a tarpit", plain, syn(clientAddr, trapped, flagSYN), ignore},
		{"tarpit: SYN to this host", trap, syn(clientAddr, ourAddr.Addr(), flagSYN), ignore},
		{"tarpit: SYN to a server", trap, syn(clientAddr, server1, flagSYN), ignore},
		{"tarpit: SYN from itself", trap, syn(trapped, trapped, flagSYN), ignore},
		{"tarpit: SYN from a group", trap, syn(netip.MustParseAddr("224.0.0.1"), trapped, flagSYN), ignore},
		{"tarpit: SYN from nowhere", trap, syn(netip.IPv4Unspecified(), trapped, flagSYN), ignore},
		{"tarpit: SYN to another station", trap, to(mac1, syn(clientAddr, trapped, flagSYN)), ignore},
		{"tarpit: fragment", trap, ipFrame(clientAddr, trapped, protoTCP, 0x2000, tcpSegment(5000, 22, flagSYN)), ignore},
		{"tarpit: short head", trap, ipFrame(clientAddr, trapped, protoTCP, 0, tcpSegment(5000, 22, flagSYN)[:14]), ignore},
		{"tarpit: UDP", trap, ipFrame(clientAddr, trapped, protoUDP, 0, udpDatagram(5000, 80, "hi")), ignore},
		{"tarpit: the service comes first", trap, tcpFrame(clientAddr, 5000, 80, flagSYN), forward},
		{"tarpit: the service's other ports", trap, tcpFrame(clientAddr, 5000, 81, flagSYN), tarpit},
	} {
		c := testConfig()
		tt.edit(&c)
		before := bytes.Clone(tt.frame)
		a := newTable(t, c).decide(tt.frame, start0)
		if a.verdict != tt.want {
			t.Errorf("%s: verdict %d, want %d", tt.name, a.verdict, tt.want)
		}
		if a.verdict == ignore && !bytes.Equal(tt.frame, before) {
			t.Errorf("%s: an ignored frame has changed", tt.name)
		}
	}
}

// serverOf is the index of the server that a frame goes to, -1 for none.
func serverOf(table *table, frame []byte, now time.Time) int {
	a := table.decide(frame, now)
	if a.verdict != forward {
		return -1
	}
	return a.server.index
}

func TestRoundRobinCountsThePort(t *testing.T) {
	c := testConfig()
	tracked, spread := newTable(t, c), newTable(t, c)
	spread.config.RoundRobin = true
	// What pen 0.34.1 -r did with the ports from 5000 on, client 10.7.0.10.
	const recorded = "122121221221212221222212122121222122221221222212221212212122221222"
	client := netip.MustParseAddr("10.7.0.10")
	var got []byte
	for i := range len(recorded) {
		port := uint16(5000 + i)
		if serverOf(tracked, tcpFrame(client, port, 80, flagSYN), start0) != 1 {
			t.Fatalf("without -r, port %d: another server", port)
		}
		got = append(got, '1'+byte(serverOf(spread, tcpFrame(client, port, 80, flagSYN), start0)))
	}
	if string(got) != recorded {
		t.Errorf("\ngot  %s\nwant %s", got, recorded)
	}
}

// All fragments of a datagram, and the ICMP errors about answers, have to reach
// the server that a packet of the connection reaches.
func TestRelatedPacketsMeet(t *testing.T) {
	for _, roundRobin := range []bool{false, true} {
		c := testConfig()
		c.UDP, c.RoundRobin = true, roundRobin
		table := newTable(t, c)
		for i := range 256 {
			client := netip.AddrFrom4([4]byte{10, 7, 1, byte(i)})
			port := uint16(20000 + 77*i)
			first := ipFrame(client, service, protoUDP, 0x2000, udpDatagram(port, 80, "0123456789abcdef"))
			later := ipFrame(client, service, protoUDP, 3, []byte("x"))
			if a, b := serverOf(table, first, start0), serverOf(table, later, start0); a != b {
				t.Errorf("client %s, -r %t: fragments go to %d and %d", client, roundRobin, a, b)
			}
			whole := ipFrame(client, service, protoUDP, 0, udpDatagram(port, 80, ""))
			about := icmpFrame(3, quote(client, protoUDP, 80, port))
			if a, b := serverOf(table, whole, start0), serverOf(table, about, start0); a != b {
				t.Errorf("client %s, -r %t: datagram goes to %d, ICMP error to %d", client, roundRobin, a, b)
			}
		}
	}
}

func TestUnavailableServers(t *testing.T) {
	c := testConfig()
	state1, state2 := new(backend.State), new(backend.State)
	c.Servers[0].State, c.Servers[1].State = state1, state2
	table := newTable(t, c)
	expect := func(what string, stubborn bool, want int) {
		t.Helper()
		table.config.Stubborn = stubborn
		frame := tcpFrame(clientAddr, 5000, 80, flagSYN) // its slot is server 0's
		if got := serverOf(table, frame, start0); got != want {
			t.Errorf("%s, stubborn %t: server %d, want %d", what, stubborn, got, want)
		}
	}
	expect("both up", true, 0)
	state1.Shun(start0.Add(time.Second))
	expect("0 on the blacklist", false, 1)
	expect("0 on the blacklist", true, -1)
	state2.Shun(start0.Add(time.Second))
	expect("both on the blacklist", false, -1)
	state1.Unshun()
	table.servers[0].neighbour.state.Store(down)
	expect("0 down, 1 on the blacklist", false, -1)
	state2.Unshun()
	expect("0 down", false, 1)
	expect("0 down", true, -1)
	table.servers[0].neighbour.state.Store(0)
	expect("0 not heard of yet", false, -1)
}

func TestLearning(t *testing.T) {
	other := MAC{2, 0, 0, 0, 0, 0x11}
	for _, tt := range []struct {
		name  string
		frame []byte
		want  MAC
	}{
		{"reply to us", isAt(server1, other), other},
		{"gratuitous reply", to(broadcast, isAt(server1, other)), other},
		{"gratuitous request", arpFrame(broadcast, other, arp{op: arpRequest, mac: other, addr: server1.As4(), target: server1.As4()}), other},
		{"request for the service", arpFrame(broadcast, other, arp{op: arpRequest, mac: other, addr: server1.As4(), target: service.As4()}), other},
		{"reply to another", to(clientMAC, isAt(server1, other)), mac1},
		{"reply with our MAC", from(other, isAt(server1, ourMAC)), mac1},
		{"reply with a group's MAC", from(other, isAt(server1, MAC{1, 2})), mac1},
		{"reply of nobody", from(other, isAt(server1, MAC{})), mac1},
		{"reply about another address", isAt(clientAddr, other), mac1},
	} {
		table := newTable(t, testConfig())
		a := table.decide(tt.frame, start0)
		mac, isUp, _ := table.servers[0].lookup()
		if mac != tt.want || !isUp {
			t.Errorf("%s: MAC %s, up %t, want %s", tt.name, mac, isUp, tt.want)
		}
		if news := a.learned != nil; news != (tt.want == other) {
			t.Errorf("%s: told something new is %t", tt.name, news)
		}
	}
}

func TestDecideDoesNotAllocate(t *testing.T) {
	c := testConfig()
	c.Tarpit = func(a netip.Addr) bool { return a == trapped }
	table := newTable(t, c)
	frames := [][]byte{
		tcpFrame(clientAddr, 5000, 80, flagACK),
		ipFrame(clientAddr, trapped, protoTCP, 0, tcpSegment(5000, 22, flagSYN)),
		whoHas(service),
		isAt(server1, mac1),
		icmpFrame(3, quote(clientAddr, protoTCP, 80, 5000)),
	}
	buf := make([]byte, 2048)
	if n := testing.AllocsPerRun(100, func() {
		for _, frame := range frames {
			if a := table.decide(buf[:copy(buf, frame)], start0); a.verdict == drop {
				t.Error("dropped")
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever comes, nothing leaves that was not for the service or the tarpit, and
// a forwarded frame differs in its MAC addresses only.
func FuzzDecide(f *testing.F) {
	for _, frame := range [][]byte{
		tcpFrame(clientAddr, 5000, 80, flagSYN), whoHas(service), whoHas(trapped), isAt(server2, mac2),
		ipFrame(clientAddr, trapped, protoTCP, 0, tcpSegment(5000, 22, flagSYN)),
		ipFrame(clientAddr, service, protoUDP, 0, udpDatagram(5000, 80, "hi")),
		ipFrame(clientAddr, service, protoUDP, 7, []byte("later fragment")),
		icmpFrame(3, quote(clientAddr, protoTCP, 80, 5000)),
	} {
		f.Add(frame, uint8(0))
		f.Add(frame, uint8(7))
	}
	f.Fuzz(func(t *testing.T, frame []byte, mode uint8) {
		c := testConfig()
		c.UDP, c.RoundRobin = mode&1 != 0, mode&2 != 0
		if mode&4 != 0 {
			c.Tarpit = tarpitted
		}
		table := newTable(t, c)
		before := bytes.Clone(frame)
		switch a := table.decide(frame, start0); a.verdict {
		case ignore, drop:
			if a.frame != nil {
				t.Error("a frame to send all the same")
			}
		case forward:
			checkForwarded(t, table, before, a)
		case answerARP:
			if len(a.frame) != 42 || before[12] != 8 || before[13] != 6 || MAC(a.frame[6:12]) != ourMAC {
				t.Errorf("answered %x with %x", before, a.frame)
			}
		case tarpit:
			if c.Tarpit == nil || len(a.frame) != 54 || !tarpitted(netip.AddrFrom4([4]byte(before[30:34]))) {
				t.Errorf("answered %x with %x", before, a.frame)
			}
			checkSums(t, a.frame)
		}
	})
}

func checkForwarded(t *testing.T, table *table, before []byte, a action) {
	t.Helper()
	dst := MAC(a.frame[:6])
	if dst != mac1 && dst != mac2 || MAC(a.frame[6:12]) != ourMAC || !bytes.Equal(a.frame[12:], before[12:]) {
		t.Errorf("%x became %x", before, a.frame)
	}
	addr, _ := netip.AddrFromSlice(before[30:34])
	if proto := before[23]; addr != service || MAC(before[:6]) != ourMAC || proto != table.proto && proto != protoICMP {
		t.Errorf("not for the service: %x", before)
	}
}

func BenchmarkDecide(b *testing.B) {
	table := newTable(b, testConfig())
	frame := tcpFrame(clientAddr, 5000, 80, flagACK)
	buf := make([]byte, len(frame))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, frame)
		table.decide(buf, start0)
	}
}
