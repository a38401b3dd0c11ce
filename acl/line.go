package acl

import (
	"bytes"
	"encoding/hex"
	"net/netip"
)

// parseLine reads ADDRESS or ADDRESS/LENGTH as netip does, but without making a
// string of each. The number of the prefix is 0; bits after its length are left
// as they are.
func parseLine(text []byte) (p prefix, is4, ok bool) {
	host, length, isPrefix := bytes.Cut(text, []byte("/"))
	addr, ok := parseAddress(host)
	if !ok {
		return p, false, false
	}
	n := addr.BitLen()
	if isPrefix {
		if n, ok = parseDecimal(length, n); !ok {
			return p, false, false
		}
	}
	// Clients with a mapped address count as IPv4, and so must what is said of them.
	if addr.Is4In6() && n >= 96 {
		addr, n = addr.Unmap(), n-96
	}
	return newPrefix(addressOf(addr), n, 0), addr.Is4(), true
}

// parseDecimal reads a number up to limit, which is at most 255, in the one form
// that netip takes: no sign, no zeros before it.
func parseDecimal(text []byte, limit int) (n int, ok bool) {
	if len(text) == 0 || len(text) > 3 || text[0] == '0' && len(text) > 1 {
		return 0, false
	}
	for _, b := range text {
		if b < '0' || b > '9' {
			return 0, false
		}
		n = 10*n + int(b-'0')
	}
	return n, n <= limit
}

// parseAddress reads an address without a zone. The usual forms are read here,
// what is left by netip.
func parseAddress(text []byte) (addr netip.Addr, ok bool) {
	if a, ok := parseDotted(text); ok {
		return netip.AddrFrom4(a), true
	}
	if a, ok := parseGroups(text); ok {
		return netip.AddrFrom16(a), true
	}
	addr, err := netip.ParseAddr(string(text))
	return addr, err == nil && addr.Zone() == ""
}

func parseDotted(text []byte) (a [4]byte, ok bool) {
	for i := range a {
		part, rest, dot := bytes.Cut(text, []byte("."))
		n, ok := parseDecimal(part, 255)
		if !ok || dot != (i < 3) {
			return a, false
		}
		a[i], text = byte(n), rest
	}
	return a, true
}

// parseGroups reads groups of hexadecimal digits, with at most one "::", which
// stands for one or more groups of zeros (RFC 4291, section 2.2).
func parseGroups(text []byte) (a [16]byte, ok bool) {
	head, tail, gap := bytes.Cut(text, []byte("::"))
	var end [16]byte
	n, ok := appendGroups(&a, head)
	m, ok2 := appendGroups(&end, tail)
	if !ok || !ok2 || gap && n+m > 14 || !gap && n != 16 {
		return a, false
	}
	copy(a[16-m:], end[:m])
	return a, true
}

// appendGroups fills a from its start and returns how many bytes of it.
func appendGroups(a *[16]byte, text []byte) (n int, ok bool) {
	for more := len(text) > 0; more; n += 2 {
		var group []byte
		group, text, more = bytes.Cut(text, []byte(":"))
		if len(group) == 0 || len(group) > 4 || n == len(a) {
			return n, false
		}
		digits := [4]byte{'0', '0', '0', '0'}
		copy(digits[4-len(group):], group)
		if _, err := hex.Decode(a[n:n+2], digits[:]); err != nil {
			return n, false
		}
	}
	return n, true
}
