package httpx

import (
	"bytes"
	"net/netip"
)

// TrustedField is the field in which trusted proxies tell which client a request comes from.
type TrustedField int

// The fields, the usual one first.
const (
	TrustForwardedFor TrustedField = iota // X-Forwarded-For
	TrustForwarded                        // Forwarded (RFC 7239)
	TrustRealIP                           // X-Real-IP
)

// Said is what trusted proxies have said of a request's client.
type Said struct {
	// Client is its address, without zone, an IPv4-mapped one as IPv4. The zero Addr: nothing was said, and so the proxy asks for itself.
	Client netip.Addr
	// Proto is http or https, and Host what was asked for, as Forwarded has them; empty: unknown.
	Proto, Host string
}

// Whence is what trusted proxies say of a request's client in a field: of the addresses there the rightmost that is no trusted proxy's own,
// since nobody vouches for what stands left of it; where all are, the leftmost. What a proxy wrote that is no address ends the search at the
// proxy itself. b is what Parse was last shown, trusts is asked about addresses without zone, IPv4-mapped ones as IPv4. Whether the peer
// itself may be believed is the caller's to know. An error is an [*Error]: what clients can send, too, has made the field unreadable.
func (r *Request) Whence(b []byte, field TrustedField, trusts func(netip.Addr) bool) (Said, error) {
	switch field {
	case TrustForwarded:
		return r.whenceForwarded(b, trusts)
	case TrustRealIP:
		return r.whenceRealIP(b)
	}
	return Said{Client: r.whenceForwardedFor(b, trusts)}, nil
}

func (r *Request) whenceForwardedFor(b []byte, trusts func(netip.Addr) bool) (client netip.Addr) {
	for i := len(r.fields) - 1; i >= 0; i-- {
		f := &r.fields[i]
		if f.kind != forwardedFor || f.value == f.valueEnd {
			continue
		}
		for rest, more := f.valueOf(b), true; more; {
			var word []byte
			word, rest, more = cutLast(rest)
			addr, ok := parseNode(word)
			if !ok {
				return client
			}
			if client = addr; !trusts(addr) {
				return client
			}
		}
	}
	return client
}

// whenceRealIP reads X-Real-IP, which has one address. Of two lines one may be the client's own.
func (r *Request) whenceRealIP(b []byte) (said Said, err error) {
	found := false
	for i := range r.fields {
		f := &r.fields[i]
		if f.kind != realIP {
			continue
		}
		if found {
			return Said{}, bad("repeated X-Real-IP")
		}
		found = true
		if addr, ok := parseNode(f.valueOf(b)); ok {
			said.Client = addr
		}
	}
	return said, nil
}

// cutLast takes the last word of a list, without the blanks around it; more reports whether there was a comma before it.
func cutLast(list []byte) (word, rest []byte, more bool) {
	at := bytes.LastIndexByte(list, ',')
	return bytes.Trim(list[at+1:], " \t"), list[:max(at, 0)], at >= 0
}

// parseNode reads an address as proxies write it: some add a port, some put IPv6 into brackets.
func parseNode(word []byte) (netip.Addr, bool) {
	if len(word) > len("[0000:0000:0000:0000:0000:ffff:255.255.255.255]:65535") {
		return netip.Addr{}, false
	}
	s := string(word)
	if n := len(s); n > 1 && s[0] == '[' && s[n-1] == ']' {
		s = s[1 : n-1]
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = ap.Addr()
	}
	return addr.Unmap().WithZone(""), true
}
