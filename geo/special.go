package geo

import "net/netip"

// special reports whether an address, which is not an IPv4-mapped one, is in
// none of the networks that are assigned to anybody in a country: IANA's IPv4
// and IPv6 Special-Purpose Address Registries (RFC 6890), multicast, and what
// is reserved.
func special(addr netip.Addr) bool {
	if addr.Is4() {
		return special4(addr.As4())
	}
	b := addr.As16()
	if b[0]>>5 != 1 { // RFC 4291, section 2.4: 2000::/3 is the global unicast assigned so far
		return true
	}
	switch {
	case b[0] == 0x20 && b[1] == 0x01:
		return b[2]>>1 == 0 || // 2001::/23: protocol assignments, Teredo, benchmarking, ORCHID
			b[2] == 0x0d && b[3] == 0xb8 // documentation, RFC 3849
	case b[0] == 0x20 && b[1] == 0x02: // 6to4, RFC 3056
		return true
	case b[0] == 0x3f && b[1] == 0xff: // 3fff::/20: documentation, RFC 9637
		return b[2]>>4 == 0
	}
	return false
}

func special4(b [4]byte) bool {
	switch b[0] {
	case 0, 10, 127: // this network, private, loopback
		return true
	case 100: // 100.64.0.0/10: shared behind carriers' address translation, RFC 6598
		return b[1]>>6 == 1
	case 169: // 169.254.0.0/16: link-local, RFC 3927
		return b[1] == 254
	case 172: // 172.16.0.0/12: private, RFC 1918
		return b[1]>>4 == 1
	case 192: // 192.168.0.0/16: private; 192.0.0.0/24, 192.0.2.0/24, 192.88.99.0/24: protocols, documentation, 6to4
		return b[1] == 168 || b[1] == 0 && (b[2] == 0 || b[2] == 2) || b[1] == 88 && b[2] == 99
	case 198: // 198.18.0.0/15: benchmarking, RFC 2544; 198.51.100.0/24: documentation, RFC 5737
		return b[1]>>1 == 9 || b[1] == 51 && b[2] == 100
	case 203: // 203.0.113.0/24: documentation, RFC 5737
		return b[1] == 0 && b[2] == 113
	}
	return b[0] >= 224 // multicast, and 240.0.0.0/4: reserved, RFC 1112
}
