package acl

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// parseV4 reads A.B.C.D or A.B.C.D/LENGTH from word, and the mask that may
// follow the former from rest, of which it returns what is left.
func parseV4(word string, rest []string) (addr, mask netip.Addr, left []string, err error) {
	host, length, isPrefix := strings.Cut(word, "/")
	if addr, err = netip.ParseAddr(host); err != nil {
		return addr, mask, rest, fmt.Errorf("%q is not an address, country or all, nor continent, asn, file, uid, gid, sni, ja4 or client_cert", word)
	}
	if isPrefix {
		if mask, err = parseLength(word, length, 32); err != nil {
			return addr, mask, rest, err
		}
		// pen knows no lengths for IPv4, so no file of old can have this.
		if fixed := and(addr, mask); fixed != addr {
			return addr, mask, rest, fmt.Errorf("%s has bits outside its mask and would match nobody: expected %s/%s", word, fixed, length)
		}
		return addr, mask, rest, nil
	}
	if len(rest) == 0 {
		return addr, maskOf(32, 32), rest, nil
	}
	if mask, err = netip.ParseAddr(rest[0]); err != nil || !mask.Is4() {
		return addr, mask, rest, fmt.Errorf("%q is not a mask: expected four numbers, as in 255.255.255.0", rest[0])
	}
	return addr, mask, rest[1:], nil
}

func parseV6(word string) (addr, mask netip.Addr, err error) {
	host, length, isPrefix := strings.Cut(word, "/")
	if addr, err = netip.ParseAddr(host); err != nil || !addr.Is6() || addr.Zone() != "" {
		return addr, mask, fmt.Errorf("%q is not an IPv6 address or prefix, as in 2001:db8::/32", word)
	}
	mask = maskOf(128, 128)
	if isPrefix {
		if mask, err = parseLength(word, length, 128); err != nil {
			return addr, mask, err
		}
	}
	// Clients with a mapped address count as IPv4, and so must their entries.
	if n := maskLen(mask); addr.Is4In6() && n >= 96 {
		return addr.Unmap(), maskOf(n-96, 32), nil
	}
	return addr, mask, nil
}

func parseLength(word, length string, bits int) (netip.Addr, error) {
	n, err := strconv.ParseUint(length, 10, 8)
	if err != nil || int(n) > bits {
		return netip.Addr{}, fmt.Errorf("%q: prefix length %q is not from 0 to %d", word, length, bits)
	}
	return maskOf(int(n), bits), nil
}
