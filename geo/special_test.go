package geo

import (
	"net/netip"
	"testing"
)

// The first and the last address of each network, and their neighbours.
func TestSpecial(t *testing.T) {
	networks := []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
		"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
		"::/3", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "4000::/2", "8000::/1",
	}
	var prefixes []netip.Prefix
	for _, n := range networks {
		prefixes = append(prefixes, netip.MustParsePrefix(n))
	}
	within := func(a netip.Addr) bool {
		for _, p := range prefixes {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	for _, p := range prefixes {
		first, last := p.Addr(), lastOf(p)
		for _, a := range []netip.Addr{first.Prev(), first, first.Next(), last.Prev(), last, last.Next()} {
			if a.IsValid() && special(a) != within(a) {
				t.Errorf("%s: got %t", a, special(a))
			}
		}
	}
	for _, a := range []string{"8.8.8.8", "1.1.1.1", "192.0.1.1", "223.255.255.255", "2001:4860::1", "2400::1", "3ffe::1", "2001:200::1"} {
		if special(netip.MustParseAddr(a)) {
			t.Errorf("%s is somebody's", a)
		}
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}
