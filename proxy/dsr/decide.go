package dsr

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// A verdict says what becomes of a frame.
type verdict uint8

const (
	ignore    verdict = iota // not ours: the kernel's business
	drop                     // for the service, but no server can take it
	forward                  // goes to a server
	answerARP                // the answer to an ARP request goes out
	tarpit                   // a SYN+ACK goes out
)

// An action is what is to be done about a frame.
type action struct {
	verdict
	// frame is what to send, in the memory of the frame that came: the
	// addresses rewritten, or an answer in its place. Nil for none.
	frame []byte
	// server is the server that a frame is forwarded to.
	server *server
	bytes  int // of the IP packet that is forwarded
	// learned is the neighbour of which the frame told something new.
	learned *neighbour
}

// decide says what to do about an Ethernet frame that the interface received at
// time now, and prepares it in place. It does not allocate.
func (t *table) decide(frame []byte, now time.Time) action {
	if len(frame) < ethernetLen {
		return action{}
	}
	dst, src := MAC(frame[0:6]), MAC(frame[6:12])
	if !src.unicast() || src == t.mac {
		return action{}
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		if dst == t.mac || dst == broadcast {
			return t.decideARP(frame, now)
		}
	case etherIPv4:
		// Not one for all: RFC 1122, 3.3.6. Not one for another station
		// either: its switch will find it, and we would double the frame.
		if dst == t.mac {
			return t.decideIPv4(frame, now)
		}
	}
	return action{}
}

func (t *table) decideARP(frame []byte, now time.Time) (a action) {
	p, ok := parseARP(frame[ethernetLen:])
	if !ok || !p.mac.unicast() || p.mac == t.mac {
		return action{}
	}
	if n := t.neighbours[p.addr]; n != nil && n.hear(p.mac, now) {
		a.learned = n
	}
	if p.op == arpRequest && (p.target == t.service || t.tarpits(p.target)) {
		a.verdict, a.frame = answerARP, frame[:ethernetLen+arpLen]
		putEthernet(a.frame, p.mac, t.mac, etherARP)
		arp{op: arpReply, mac: t.mac, addr: p.target, targetHW: p.mac, target: p.addr}.put(a.frame[ethernetLen:])
	}
	return a
}

func (t *table) decideIPv4(frame []byte, now time.Time) action {
	p, ok := parseIPv4(frame[ethernetLen:])
	if !ok {
		return action{}
	}
	if p.dst == t.service {
		if slot, ok := t.slotOf(&p); ok {
			return t.forward(frame, p.length, slot, now)
		}
	}
	return t.decideTarpit(frame, &p)
}

func (t *table) forward(frame []byte, bytes int, slot byte, now time.Time) action {
	s, mac := t.choose(slot, now)
	if s == nil {
		return action{verdict: drop}
	}
	putEthernet(frame, mac, t.mac, etherIPv4)
	return action{verdict: forward, frame: frame, server: s, bytes: bytes}
}

// slotOf is the slot of a packet for the service address, and whether the packet
// belongs to the service.
func (t *table) slotOf(p *ipv4) (slot byte, ok bool) {
	switch {
	case p.proto == protoICMP:
		return t.slotOfError(p)
	case p.proto != t.proto:
		return 0, false
	case p.offset > 0:
		// Without its first fragment it does no harm at the server.
		return t.slot(p.src, 0), true
	case p.proto == protoTCP && len(p.body) < tcpLen:
		return 0, false
	case p.proto == protoUDP && (len(p.body) < udpLen || !udpLenFits(p)):
		return 0, false
	}
	port := binary.BigEndian.Uint16(p.body)
	if t.config.Port != 0 && binary.BigEndian.Uint16(p.body[2:]) != t.config.Port {
		return 0, false
	}
	return t.slot(p.src, t.spread(p, port)), true
}

// udpLenFits reports whether the length in the UDP header is one that the
// datagram can have; of a fragment's it is not known.
func udpLenFits(p *ipv4) bool {
	n := int(binary.BigEndian.Uint16(p.body[4:]))
	return n >= udpLen && (p.more || n <= len(p.body))
}

// slotOfError is the slot of an ICMP error, whose quotation begins with the
// packet of a server that it is about (RFC 792).
func (t *table) slotOfError(p *ipv4) (slot byte, ok bool) {
	const unreachable, timeExceeded, parameterProblem = 3, 11, 12
	if p.fragment() || len(p.body) < icmpLen {
		return 0, false
	}
	if kind := p.body[0]; kind != unreachable && kind != timeExceeded && kind != parameterProblem {
		return 0, false
	}
	q, ok := parseQuoted(p.body[icmpLen:])
	if !ok || q.src != t.service || q.proto != t.proto || q.offset > 0 || len(q.body) < 4 {
		return 0, false
	}
	if t.config.Port != 0 && binary.BigEndian.Uint16(q.body) != t.config.Port {
		return 0, false
	}
	return t.slot(q.dst, t.spread(nil, binary.BigEndian.Uint16(q.body[2:]))), true
}

// spread is the client's port where it has a say in the slot, else 0. Fragments
// beyond the first have no port, so the first must do without. A fragmented
// answer says nothing of the fragments of the request; p is nil for it.
func (t *table) spread(p *ipv4, port uint16) uint16 {
	if !t.config.RoundRobin || p != nil && p.more {
		return 0
	}
	return port
}

// slot is that of a client's address and port, as pen 0.34.1 computes it.
func (t *table) slot(client [4]byte, port uint16) byte {
	return client[0] ^ client[1] ^ client[2] ^ client[3] ^ byte(port>>8) ^ byte(port)
}

// tarpits reports whether the tarpit owns an address. Servers and this host keep
// theirs, whatever the list says.
func (t *table) tarpits(addr [4]byte) bool {
	if t.config.Tarpit == nil || t.neighbours[addr] != nil {
		return false
	}
	a := netip.AddrFrom4(addr)
	return !t.has(a) && t.config.Tarpit(a)
}

// decideTarpit answers a SYN for an address of the tarpit. Nothing is remembered
// of it, and what comes then is ignored.
func (t *table) decideTarpit(frame []byte, p *ipv4) action {
	if t.config.Tarpit == nil || p.proto != protoTCP || p.fragment() || len(p.body) < tcpLen {
		return action{}
	}
	headLen := int(p.body[12]>>4) * 4
	flags := p.body[13] & (flagSYN | flagACK | flagRST | flagFIN)
	if headLen < tcpLen || headLen > len(p.body) || flags != flagSYN {
		return action{}
	}
	if p.src == p.dst || !hostAddr(p.src) || !t.tarpits(p.dst) {
		return action{}
	}
	return action{verdict: tarpit, frame: t.synAck(frame, p)}
}

// hostAddr reports whether a packet can have come from this address: one of this
// network or of loopback, a group or the broadcast address cannot (RFC 1122,
// 3.2.1.3).
func hostAddr(a [4]byte) bool { return a[0] != 0 && a[0] != 127 && a[0] < 224 }

// synAck writes the answer to a SYN over the frame that it came in.
func (t *table) synAck(frame []byte, p *ipv4) []byte {
	clientPort, port := binary.BigEndian.Uint16(p.body), binary.BigEndian.Uint16(p.body[2:])
	seq, window := binary.BigEndian.Uint32(p.body[4:]), binary.BigEndian.Uint16(p.body[14:])
	src, dst, client := p.dst, p.src, MAC(frame[6:12])

	frame = frame[:ethernetLen+ipv4Len+tcpLen]
	clear(frame)
	putEthernet(frame, client, t.mac, etherIPv4)

	ip, tcp := frame[ethernetLen:ethernetLen+ipv4Len], frame[ethernetLen+ipv4Len:]
	ip[0] = 4<<4 | ipv4Len/4
	binary.BigEndian.PutUint16(ip[2:], ipv4Len+tcpLen)
	ip[6] = 0x40 // do not fragment: then the identification may be 0 (RFC 6864)
	ip[8], ip[9] = 64, protoTCP
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	binary.BigEndian.PutUint16(ip[10:], checksum(ip, 0))

	binary.BigEndian.PutUint16(tcp, port)
	binary.BigEndian.PutUint16(tcp[2:], clientPort)
	// Any number will do, since the answer to it is never looked at; one and
	// the same would give the tarpit away.
	binary.BigEndian.PutUint32(tcp[4:], (seq^binary.BigEndian.Uint32(src[:])+uint32(port))*0x9e3779b1)
	binary.BigEndian.PutUint32(tcp[8:], seq+1)
	tcp[12], tcp[13] = tcpLen/4<<4, flagSYN|flagACK
	binary.BigEndian.PutUint16(tcp[14:], window) // the peer's own, as pen 0.34.1
	pseudo := protoTCP + uint32(tcpLen)
	binary.BigEndian.PutUint16(tcp[16:], checksum(tcp, pseudo+uint32(^checksum(ip[12:], 0))))
	return frame
}
