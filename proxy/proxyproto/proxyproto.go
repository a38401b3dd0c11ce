// Package proxyproto reads and writes the headers of the PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt), by which one proxy tells the
// next who its client is. The syntax is github.com/pires/go-proxyproto's; whom to believe is for the caller to decide.
package proxyproto

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"

	proto "github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

// Header is what one proxy says of its client.
type Header struct {
	// Client and Server are the two ends of the client's connection, IPv4 unmapped. They are the zero AddrPort where nothing is said about
	// them: the connection is the proxy's own (LOCAL, as for its health checks), or of a kind without addresses (UNKNOWN, UNSPEC, Unix).
	Client, Server netip.AddrPort
	// Datagram: there is no connection, the client sends datagrams. Version 2 tells.
	Datagram bool
	// TLS: the client spoke TLS to the proxy. Version, Cipher, Group and CommonName, of its certificate, may be empty; Verified: the
	// certificate was found good; Resumed: it was, but on an earlier connection, whose session the client has resumed.
	TLS                                bool
	Version, Cipher, Group, CommonName string
	Verified, Resumed                  bool
	// Certificate is the client's own in DER, where it is Verified; "" where nobody says.
	Certificate string
	// Authority is the name that the client asked for, ALPN the protocol agreed on.
	Authority, ALPN string
	// UniqueID tells the client's connection from all others: at most 128 bytes of any kind.
	UniqueID string
	// Country, Network and Denied are ours, see the constants below.
	Country, Network, Denied string
}

// The types of what has none of its own in the protocol, in its range for private use.
const (
	TypeCountry = 0xE0 // two letters
	TypeNetwork = 0xE1 // number of the autonomous system, in decimal
	TypeDenied  = 0xE2 // why the client is denied: acl, country, rate, ja4 or certificate
)

// Bounds of what is read: a header of version 1 in bytes, by the protocol; what may follow the first 16 bytes of one of version 2; and a unique id,
// by the protocol again.
const (
	maxLine  = 107
	maxBlock = 4096
	maxID    = 128
)

var (
	signature1 = []byte("PROXY ")
	signature2 = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// ErrNone says that something else than a header has come, ErrRefused that there is one of a peer that must not send any.
var (
	ErrNone    = errors.New("no PROXY header")
	ErrRefused = errors.New("a PROXY header, which this peer must not send")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Length looks at b, which begins with what a peer has sent, and returns the length of the header once all of it is there; 0 while more is needed.
// The error is ErrNone, or says what is wrong with the header.
func Length(b []byte) (int, error) {
	switch {
	case begins(b, signature2):
		if len(b) < 16 {
			return 0, nil
		}
		n := int(binary.BigEndian.Uint16(b[14:16]))
		if n > maxBlock {
			return 0, fmt.Errorf("a PROXY header of %d bytes; at most %d are read", 16+n, 16+maxBlock)
		}
		if len(b) < 16+n {
			return 0, nil
		}
		return 16 + n, nil
	case begins(b, signature1):
		if n := bytes.IndexByte(b[:min(len(b), maxLine)], '\n'); n >= 0 {
			return n + 1, nil
		}
		if len(b) >= maxLine {
			return 0, errors.New("a PROXY header without end")
		}
		return 0, nil
	}
	return 0, ErrNone
}

// Refuse looks at b as Length does, for a peer that must not send a header: the error is ErrNone, or that it has begun one.
func Refuse(b []byte) (int, error) {
	for _, signature := range [][]byte{signature1, signature2} {
		switch {
		case !begins(b, signature):
		case len(b) < len(signature):
			return 0, nil
		default:
			return 0, ErrRefused
		}
	}
	return 0, ErrNone
}

// begins tells whether b begins like a signature, as far as it goes.
func begins(b, signature []byte) bool {
	n := min(len(b), len(signature))
	return bytes.Equal(b[:n], signature[:n])
}

// Parse reads a header of the length that Length has found.
func Parse(b []byte) (Header, error) {
	if begins(b, signature2) {
		if err := checksum(b); err != nil {
			return Header{}, err
		}
		if proto.ProtocolVersionAndCommand(b[12]) == proto.PROXY && proto.AddressFamilyAndProtocol(b[13]) == proto.UNSPEC {
			return Header{}, nil // the connection is taken as it is (section 2.2), where the library gives up
		}
	}
	h, err := proto.Read(bufio.NewReaderSize(bytes.NewReader(b), len(b)+16))
	if err != nil {
		return Header{}, fmt.Errorf("a malformed PROXY header: %v", err)
	}
	var said Header
	if !h.Command.IsProxy() {
		return said, nil
	}
	if client, server, ok := h.TCPAddrs(); ok {
		said.Client, said.Server = unmapped(client.AddrPort()), unmapped(server.AddrPort())
	}
	if client, server, ok := h.UDPAddrs(); ok {
		said.Client, said.Server, said.Datagram = unmapped(client.AddrPort()), unmapped(server.AddrPort()), true
	}
	tlvs, err := h.TLVs()
	if err != nil {
		return Header{}, fmt.Errorf("a malformed PROXY header: %v", err)
	}
	said.take(tlvs)
	if len(said.UniqueID) > maxID {
		return Header{}, fmt.Errorf("a malformed PROXY header: an identifier of %d bytes; expected at most %d", len(said.UniqueID), maxID)
	}
	return said, nil
}

func (h *Header) take(tlvs []proto.TLV) {
	for _, tlv := range tlvs {
		switch tlv.Type {
		case proto.PP2_TYPE_ALPN:
			h.ALPN = string(tlv.Value)
		case proto.PP2_TYPE_AUTHORITY:
			h.Authority = string(tlv.Value)
		case proto.PP2_TYPE_UNIQUE_ID:
			h.UniqueID = string(tlv.Value)
		case TypeCountry:
			h.Country = string(tlv.Value)
		case TypeNetwork:
			h.Network = string(tlv.Value)
		case TypeDenied:
			h.Denied = string(tlv.Value)
		}
	}
	if ssl, ok := tlvparse.FindSSL(tlvs); ok && ssl.ClientSSL() {
		h.TLS = true
		h.Version, _ = ssl.SSLVersion()
		h.Cipher, _ = ssl.SSLCipher()
		h.Group, _ = ssl.SSLGroup()
		h.CommonName, _ = ssl.ClientCN()
		h.Verified = (ssl.ClientCertConn() || ssl.ClientCertSess()) && ssl.Verified()
		h.Resumed = h.Verified && !ssl.ClientCertConn()
		if der, ok := ssl.ClientCert(); ok && h.Verified { // one that nobody vouches for is no certificate
			h.Certificate = string(der)
		}
	}
}

// checksum verifies the CRC32c of a header of version 2, if it has one (section 2.2.3).
func checksum(b []byte) error {
	at := fieldsAt(b)
	for at > 0 && at+3 <= len(b) {
		end := at + 3 + int(binary.BigEndian.Uint16(b[at+1:at+3]))
		if proto.PP2Type(b[at]) == proto.PP2_TYPE_CRC32C && end == at+3+4 && end <= len(b) {
			sum := crc32.Update(0, castagnoli, b[:at+3])
			sum = crc32.Update(sum, castagnoli, []byte{0, 0, 0, 0}) // the sum itself
			if crc32.Update(sum, castagnoli, b[end:]) != binary.BigEndian.Uint32(b[at+3:end]) {
				return errSum
			}
		}
		at = end
	}
	return nil
}

// fieldsAt is where the fields of a header of version 2 begin, behind the addresses; 0 where the kind of these is unknown.
func fieldsAt(b []byte) int {
	switch b[13] >> 4 {
	case 0:
		return 16
	case 1:
		return 16 + 12
	case 2:
		return 16 + 36
	case 3:
		return 16 + 216
	}
	return 0
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// Fit is Format for a receiver that takes headers of so many bytes. In one that would be longer the certificate is left out, which is most of it: servers can do
// without, but not without the rest.
func Fit(version int, h Header, most int) (head []byte, cut bool, err error) {
	head, err = Format(version, h)
	if version == 1 || h.Certificate == "" || err == nil && len(head) <= most {
		return head, false, err
	}
	h.Certificate = ""
	head, err = Format(version, h)
	return head, true, err
}

// Format writes a header in version 1 or 2. Version 1 says nothing but the addresses.
func Format(version int, h Header) ([]byte, error) {
	w := proto.Header{Version: byte(version), Command: proto.PROXY, TransportProtocol: proto.UNSPEC}
	switch {
	case h.Client.IsValid() && h.Server.IsValid():
		client, server := h.Client, h.Server
		v4 := client.Addr().Is4() && server.Addr().Is4()
		if !v4 { // one family for both
			client, server = sixteen(client), sixteen(server)
		}
		w.TransportProtocol = transport(v4, h.Datagram && version == 2)
		if w.TransportProtocol.IsDatagram() {
			w.SourceAddr, w.DestinationAddr = net.UDPAddrFromAddrPort(client), net.UDPAddrFromAddrPort(server)
		} else {
			w.SourceAddr, w.DestinationAddr = net.TCPAddrFromAddrPort(client), net.TCPAddrFromAddrPort(server)
		}
	case version == 1:
		return []byte("PROXY UNKNOWN\r\n"), nil
	default:
		w.Command = proto.LOCAL
	}
	if version == 2 {
		tlvs, err := h.tlvs()
		if err == nil {
			err = w.SetTLVs(tlvs)
		}
		if err != nil {
			return nil, err
		}
	}
	return w.Format()
}

func transport(v4, datagram bool) proto.AddressFamilyAndProtocol {
	switch {
	case v4 && datagram:
		return proto.UDPv4
	case datagram:
		return proto.UDPv6
	case v4:
		return proto.TCPv4
	}
	return proto.TCPv6
}

// sixteen is an address of 16 bytes, IPv4-mapped where it is one of IPv4.
func sixteen(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
}

func (h *Header) tlvs() ([]proto.TLV, error) {
	var all []proto.TLV
	add := func(kind proto.PP2Type, text string) {
		if text != "" {
			all = append(all, proto.TLV{Type: kind, Value: []byte(text)})
		}
	}
	add(proto.PP2_TYPE_ALPN, h.ALPN)
	add(proto.PP2_TYPE_AUTHORITY, h.Authority)
	add(proto.PP2_TYPE_UNIQUE_ID, h.UniqueID)
	add(TypeCountry, h.Country)
	add(TypeNetwork, h.Network)
	add(TypeDenied, h.Denied)
	if !h.TLS {
		return all, nil
	}
	ssl, err := h.ssl().Marshal()
	return append(all, ssl), err
}

func (h *Header) ssl() tlvparse.PP2SSL {
	ssl := tlvparse.PP2SSL{Client: tlvparse.PP2_BITFIELD_CLIENT_SSL, Verify: 1}
	if h.Verified {
		ssl.Client |= tlvparse.PP2_BITFIELD_CLIENT_CERT_SESS
		ssl.Verify = 0
		if !h.Resumed {
			ssl.Client |= tlvparse.PP2_BITFIELD_CLIENT_CERT_CONN
		}
	}
	certificate := ""
	if h.Verified {
		certificate = h.Certificate
	}
	for _, sub := range []struct {
		kind proto.PP2Type
		text string
	}{
		{proto.PP2_SUBTYPE_SSL_VERSION, h.Version},
		{proto.PP2_SUBTYPE_SSL_CIPHER, h.Cipher},
		{proto.PP2_SUBTYPE_SSL_GROUP, h.Group},
		{proto.PP2_SUBTYPE_SSL_CN, h.CommonName},
		{proto.PP2_SUBTYPE_SSL_CLIENT_CERT, certificate},
	} {
		if sub.text != "" {
			ssl.TLV = append(ssl.TLV, proto.TLV{Type: sub.kind, Value: []byte(sub.text)})
		}
	}
	return ssl
}
