package dsr

import (
	"encoding/binary"
	"fmt"
)

// MAC is an Ethernet address.
type MAC [6]byte

// String writes the address as 02:00:5e:10:00:01.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

var broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// unicast reports whether one station can have this address (IEEE 802: the
// lowest bit of the first byte marks groups). The zero MAC is nobody's.
func (m MAC) unicast() bool { return m[0]&1 == 0 && m != MAC{} }

// Sizes in bytes: Ethernet (IEEE 802.3, without the frame check sequence), ARP
// for IPv4 over Ethernet (RFC 826), IPv4 (RFC 791), TCP (RFC 9293), UDP
// (RFC 768), ICMP (RFC 792).
const (
	ethernetLen = 14
	arpLen      = 28
	ipv4Len     = 20
	tcpLen      = 20
	udpLen      = 8
	icmpLen     = 8
)

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806

	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17

	arpRequest = 1
	arpReply   = 2

	flagFIN = 1 << 0
	flagSYN = 1 << 1
	flagRST = 1 << 2
	flagACK = 1 << 4
)

func putEthernet(b []byte, dst, src MAC, etherType uint16) {
	copy(b, dst[:])
	copy(b[6:], src[:])
	binary.BigEndian.PutUint16(b[12:], etherType)
}

// An arp is an ARP packet for IPv4 over Ethernet.
type arp struct {
	op       uint16
	mac      MAC // sender's
	addr     [4]byte
	targetHW MAC
	target   [4]byte
}

// arpStart is what comes before the operation: Ethernet, IPv4, the address
// lengths.
const arpStart = "\x00\x01\x08\x00\x06\x04"

func parseARP(b []byte) (arp, bool) {
	if len(b) < arpLen || string(b[:6]) != arpStart {
		return arp{}, false
	}
	return arp{
		op:       binary.BigEndian.Uint16(b[6:]),
		mac:      MAC(b[8:14]),
		addr:     [4]byte(b[14:18]),
		targetHW: MAC(b[18:24]),
		target:   [4]byte(b[24:28]),
	}, true
}

// put writes the packet into the first arpLen bytes of b.
func (a arp) put(b []byte) {
	copy(b, arpStart)
	binary.BigEndian.PutUint16(b[6:], a.op)
	copy(b[8:], a.mac[:])
	copy(b[14:], a.addr[:])
	copy(b[18:], a.targetHW[:])
	copy(b[24:], a.target[:])
}

// An ipv4 is an IPv4 packet, or the beginning of one that an ICMP error quotes.
type ipv4 struct {
	src, dst [4]byte
	proto    byte
	offset   int  // of the fragment, in units of 8 bytes
	more     bool // fragments follow
	length   int  // of the whole packet, by its header
	body     []byte
}

// fragment reports whether the packet is only part of a datagram.
func (p *ipv4) fragment() bool { return p.more || p.offset > 0 }

// parseIPv4 reads a packet at the beginning of b and reports whether it is one
// that b holds whole. Checksums are not looked at: the kernel may have left
// them to the network card, and the servers check them.
func parseIPv4(b []byte) (ipv4, bool) {
	p, ok := parseQuoted(b)
	if !ok || p.length > len(b) {
		return ipv4{}, false
	}
	p.body = p.body[:p.length-(len(b)-len(p.body))]
	return p, true
}

// parseQuoted reads a packet of which b may hold only the beginning.
func parseQuoted(b []byte) (ipv4, bool) {
	if len(b) < ipv4Len || b[0]>>4 != 4 {
		return ipv4{}, false
	}
	headLen := int(b[0]&15) * 4
	p := ipv4{length: int(binary.BigEndian.Uint16(b[2:]))}
	if headLen < ipv4Len || headLen > len(b) || p.length < headLen {
		return ipv4{}, false
	}
	fragment := binary.BigEndian.Uint16(b[6:])
	p.offset, p.more = int(fragment&0x1fff), fragment&0x2000 != 0
	p.proto = b[9]
	p.src, p.dst = [4]byte(b[12:16]), [4]byte(b[16:20])
	p.body = b[headLen:]
	return p, true
}

// checksum is the Internet checksum (RFC 1071) of b, to which sum, the sum of
// other 16-bit words, is added.
func checksum(b []byte, sum uint32) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
