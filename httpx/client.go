package httpx

import (
	"bytes"
	"net/netip"
)

// ClientOf is the client that trusted proxies say a request comes from: of the addresses in X-Forwarded-For the rightmost that is no
// trusted proxy's own, since nobody vouches for what stands left of it; where all are, the leftmost. What a proxy wrote that is no address
// ends the search at the proxy itself. The zero Addr means that nothing was said; b is what Parse was last shown, trusts is asked about
// addresses without zone, IPv4-mapped ones as IPv4. Whether the peer itself may be believed is the caller's to know.
func (r *Request) ClientOf(b []byte, trusts func(netip.Addr) bool) (client netip.Addr) {
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
