package dsr

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// The cast of the tests: pen, a client (or the router between), two servers.
var (
	ourMAC    = MAC{2, 0, 0, 0, 0, 0xaa}
	clientMAC = MAC{2, 0, 0, 0, 0, 0xbb}
	mac1      = MAC{2, 0, 0, 0, 0, 1}
	mac2      = MAC{2, 0, 0, 0, 0, 2}

	service    = netip.MustParseAddr("10.9.0.100")
	clientAddr = netip.MustParseAddr("10.9.0.77")
	server1    = netip.MustParseAddr("10.9.0.1")
	server2    = netip.MustParseAddr("10.9.0.2")
	ourAddr    = netip.MustParsePrefix("10.9.0.3/24")
	trapped    = netip.MustParseAddr("10.9.0.201")
)

// unhex reads bytes written in hexadecimal with blanks anywhere.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func arpFrame(dst, src MAC, a arp) []byte {
	b := make([]byte, ethernetLen+arpLen)
	putEthernet(b, dst, src, etherARP)
	a.put(b[ethernetLen:])
	return b
}

// whoHas is a client's ARP request for an address.
func whoHas(target netip.Addr) []byte {
	return arpFrame(broadcast, clientMAC, arp{op: arpRequest, mac: clientMAC, addr: clientAddr.As4(), target: target.As4()})
}

// isAt is a server's answer to our request.
func isAt(addr netip.Addr, mac MAC) []byte {
	return arpFrame(ourMAC, mac, arp{op: arpReply, mac: mac, addr: addr.As4(), targetHW: ourMAC, target: ourAddr.Addr().As4()})
}

// ipFrame is an IPv4 packet to us, with fields to be changed by the tests:
// fragment is flags and offset.
func ipFrame(src, dst netip.Addr, proto byte, fragment uint16, body []byte) []byte {
	b := make([]byte, ethernetLen+ipv4Len, ethernetLen+ipv4Len+len(body))
	putEthernet(b, ourMAC, clientMAC, etherIPv4)
	ip := b[ethernetLen:]
	ip[0] = 0x45
	binary.BigEndian.PutUint16(ip[2:], uint16(ipv4Len+len(body)))
	binary.BigEndian.PutUint16(ip[6:], fragment)
	ip[8], ip[9] = 63, proto
	s, d := src.As4(), dst.As4()
	copy(ip[12:], s[:])
	copy(ip[16:], d[:])
	binary.BigEndian.PutUint16(ip[10:], checksum(ip, 0))
	return append(b, body...)
}

func tcpSegment(srcPort, dstPort uint16, flags byte) []byte {
	b := make([]byte, tcpLen)
	binary.BigEndian.PutUint16(b, srcPort)
	binary.BigEndian.PutUint16(b[2:], dstPort)
	binary.BigEndian.PutUint32(b[4:], 0x11223344)
	b[12], b[13] = 5<<4, flags
	binary.BigEndian.PutUint16(b[14:], 1024)
	return b
}

func udpDatagram(srcPort, dstPort uint16, data string) []byte {
	b := make([]byte, udpLen, udpLen+len(data))
	binary.BigEndian.PutUint16(b, srcPort)
	binary.BigEndian.PutUint16(b[2:], dstPort)
	binary.BigEndian.PutUint16(b[4:], uint16(udpLen+len(data)))
	return append(b, data...)
}

func tcpFrame(src netip.Addr, srcPort, dstPort uint16, flags byte) []byte {
	return ipFrame(src, service, protoTCP, 0x4000, tcpSegment(srcPort, dstPort, flags))
}

// icmpFrame is an ICMP error from a router about a packet that a server sent.
func icmpFrame(kind byte, quoted []byte) []byte {
	return ipFrame(netip.MustParseAddr("192.0.2.1"), service, protoICMP, 0, append([]byte{kind, 4, 0, 0, 0, 0, 5, 0}, quoted...))
}

// quote is the packet from the service that an ICMP error is about.
func quote(dst netip.Addr, proto byte, srcPort, dstPort uint16) []byte {
	ip := ipFrame(service, dst, proto, 0x4000, tcpSegment(srcPort, dstPort, flagACK))[ethernetLen:]
	binary.BigEndian.PutUint16(ip[2:], 1500) // the packet was longer than the quotation
	return ip[:ipv4Len+8]
}

func TestARPInverse(t *testing.T) {
	want := arp{op: arpReply, mac: mac1, addr: server1.As4(), targetHW: ourMAC, target: service.As4()}
	var b [arpLen]byte
	want.put(b[:])
	if got, ok := parseARP(b[:]); !ok || got != want {
		t.Errorf("got %+v, %t; want %+v", got, ok, want)
	}
	for i := range 6 {
		b[i] ^= 1
		if _, ok := parseARP(b[:]); ok {
			t.Errorf("another protocol by byte %d: accepted", i)
		}
		b[i] ^= 1
	}
	if _, ok := parseARP(b[:arpLen-1]); ok {
		t.Error("short packet: accepted")
	}
}

func TestParseIPv4(t *testing.T) {
	good := ipFrame(clientAddr, service, protoTCP, 0x2003, tcpSegment(5000, 80, flagSYN))[ethernetLen:]
	p, ok := parseIPv4(append(good, "trailer"...))
	if !ok || p.src != clientAddr.As4() || p.dst != service.As4() || p.proto != protoTCP ||
		p.offset != 3 || !p.more || p.length != 40 || len(p.body) != tcpLen {
		t.Errorf("got %+v, %t", p, ok)
	}
	for _, tt := range []struct {
		name string
		edit func(b []byte) []byte
	}{
		{"empty", func(b []byte) []byte { return nil }},
		{"short head", func(b []byte) []byte { return b[:19] }},
		{"version 6", func(b []byte) []byte { b[0] = 0x65; return b }},
		{"head of 16 bytes", func(b []byte) []byte { b[0] = 0x44; return b }},
		{"head longer than the frame", func(b []byte) []byte { b[0] = 0x4f; return b[:40] }},
		{"total length below head length", func(b []byte) []byte { b[2], b[3] = 0, 19; return b }},
		{"total length above the frame's", func(b []byte) []byte { b[3]++; return b }},
		{"total length 0", func(b []byte) []byte { b[2], b[3] = 0, 0; return b }},
	} {
		b := ipFrame(clientAddr, service, protoTCP, 0, tcpSegment(5000, 80, flagSYN))[ethernetLen:]
		if p, ok := parseIPv4(tt.edit(b)); ok {
			t.Errorf("%s: accepted as %+v", tt.name, p)
		}
	}
}

func TestChecksum(t *testing.T) {
	// RFC 1071, section 3.
	b := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}
	if got := checksum(b, 0); got != ^uint16(0xddf2) {
		t.Errorf("got %#x, want %#x", got, ^uint16(0xddf2))
	}
	if got, want := checksum([]byte{1}, 0), ^uint16(0x0100); got != want {
		t.Errorf("odd length: got %#x, want %#x", got, want)
	}
}
