package proxyproto

import (
	"encoding/binary"
	"errors"
	"net/netip"

	proto "github.com/pires/go-proxyproto"
)

// Of datagrams there may be so many that their errors are made beforehand.
var (
	errSum       = errors.New("a malformed PROXY header: its checksum is wrong")
	errCut       = errors.New("a malformed PROXY header: the datagram ends within it")
	errKind      = errors.New("a malformed PROXY header: of a version, command or kind of addresses that there is not")
	errAddresses = errors.New("a malformed PROXY header: too short for its addresses")
	errFields    = errors.New("a malformed PROXY header: a field that is longer than what is left, or than may be")
)

// Datagram looks at a datagram, which may begin with a header of version 2: it accepts what Parse accepts, without allocating, and returns the header's length
// and whom the datagram is from; the zero AddrPort is whoever has sent it. The error is ErrNone, or says what is wrong with the header.
func Datagram(b []byte) (n int, client netip.AddrPort, err error) {
	if len(b) < len(signature2) || !begins(b, signature2) {
		return 0, client, ErrNone
	}
	if n, err = Length(b); err != nil {
		return 0, client, err
	}
	if n == 0 {
		return 0, client, errCut
	}
	if client, err = clientOf(b[:n]); err != nil {
		return 0, client, err
	}
	return n, client, nil
}

// clientOf is Parse for all but what fields say.
func clientOf(head []byte) (client netip.AddrPort, err error) {
	command := proto.ProtocolVersionAndCommand(head[12])
	switch proto.AddressFamilyAndProtocol(head[13]) {
	case proto.UNSPEC, proto.TCPv4, proto.TCPv6, proto.UDPv4, proto.UDPv6, proto.UnixStream, proto.UnixDatagram:
	default:
		return client, errKind
	}
	if command != proto.LOCAL && command != proto.PROXY {
		return client, errKind
	}
	if err := checksum(head); err != nil {
		return client, err
	}
	if command == proto.LOCAL || head[13] == byte(proto.UNSPEC) { // what else it says counts for nothing
		return client, nil
	}
	fields := fieldsAt(head)
	if len(head) < fields {
		return client, errAddresses
	}
	if !wellFormed(head[fields:]) {
		return client, errFields
	}
	switch addresses := head[16:fields]; len(addresses) {
	case 12:
		client = netip.AddrPortFrom(netip.AddrFrom4([4]byte(addresses)), binary.BigEndian.Uint16(addresses[8:]))
	case 36:
		client = netip.AddrPortFrom(netip.AddrFrom16([16]byte(addresses)).Unmap(), binary.BigEndian.Uint16(addresses[32:]))
	}
	return client, nil
}

// wellFormed reports whether fields end where the header does, and the last identifier is not too long.
func wellFormed(fields []byte) bool {
	id := 0
	for len(fields) > 0 {
		if len(fields) < 3 {
			return false
		}
		n := int(binary.BigEndian.Uint16(fields[1:]))
		if n > len(fields)-3 {
			return false
		}
		if proto.PP2Type(fields[0]) == proto.PP2_TYPE_UNIQUE_ID {
			id = n
		}
		fields = fields[3+n:]
	}
	return id <= maxID
}
