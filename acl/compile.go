package acl

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Countries is what country entries ask: the ISO 3166 alpha-2 code, in upper
// case, of the country that an address is in. Not ok means unknown, and an
// unknown country matches no country entry.
type Countries interface {
	Country(netip.Addr) (code string, ok bool)
}

// Compiled is a list in the form in which it is asked. It is immutable; nil
// permits everybody.
type Compiled struct {
	permit       []bool // what each entry does
	fallback     bool   // for a client that no entry matches
	unixFallback bool   // for such a client on a Unix socket
	all          int    // the first entry that matches everybody; none if there is none
	v4, v6       ranges // prefix entries and all
	other        []rule // the entries about addresses that no range can hold, in order
	hello        helloRules
	cert         certRules
	countries    Countries
}

// rule is an entry that is asked by itself: a country, or a mask with holes.
type rule struct {
	index      int
	country    string
	addr, mask netip.Addr
}

// Compile makes a list ready to be asked. It fails if the list has a country
// entry and there is nobody to ask for countries: to skip the entry, as pen does
// without its database, would let in whom it was written to keep out. It fails
// as well if there is an entry that ParseEntry cannot have made.
func Compile(l List, c Countries) (*Compiled, error) {
	compiled := &Compiled{
		fallback: true, all: none, countries: c,
		hello: helloRules{first: none, firstJA4: none}, cert: newCertRules(),
	}
	if len(l) > 0 {
		compiled.fallback = !l[len(l)-1].Permit
	}
	var v4, v6 []span
	for i, e := range l {
		compiled.permit = append(compiled.permit, e.Permit)
		switch {
		case e.All:
			v4 = append(v4, span{netip.PrefixFrom(netip.IPv4Unspecified(), 0), i})
			v6 = append(v6, span{netip.PrefixFrom(netip.IPv6Unspecified(), 0), i})
			compiled.all = min(compiled.all, i)
		case e.Cert != "":
			if err := compiled.cert.add(e, i); err != nil {
				return nil, fmt.Errorf("acl entry %q: %v", e, err)
			}
		case e.Stage() == Hello:
			compiled.hello.add(e, i)
		case e.Country != "":
			if c == nil {
				return nil, fmt.Errorf("acl entry %q needs a database: --geoip FILE", e)
			}
			compiled.other = append(compiled.other, rule{index: i, country: e.Country})
		case e.Warning() != "": // matches nobody, and yet may be the last entry
		case !contiguous(e.Mask):
			compiled.other = append(compiled.other, rule{index: i, addr: e.Addr, mask: e.Mask})
		case e.Addr.Is4():
			v4 = append(v4, span{netip.PrefixFrom(e.Addr, maskLen(e.Mask)), i})
		default:
			v6 = append(v6, span{netip.PrefixFrom(e.Addr, maskLen(e.Mask)), i})
		}
	}
	compiled.v4, compiled.v6 = newRanges(v4), newRanges(v6)
	compiled.unixFallback = compiled.fallback || compiled.Needs() == Address
	return compiled, nil
}

// address is the first entry that matches by address or country, none if there
// is none.
func (l *Compiled) address(addr netip.Addr) int {
	if !addr.IsValid() {
		return l.all
	}
	addr = addr.Unmap().WithZone("")
	table := l.v6
	if addr.Is4() {
		table = l.v4
	}
	return l.earlier(addr, table.find(addr))
}

// earlier finds the first of the other entries that matches, if it stands before
// entry match; otherwise it is match.
func (l *Compiled) earlier(addr netip.Addr, match int) int {
	var code string
	var known, asked bool
	for i := range l.other {
		r := &l.other[i]
		if r.index > match {
			break
		}
		if r.country == "" {
			if addr.Is4() && and(addr, r.mask) == r.addr {
				return r.index
			}
			continue
		}
		if !asked {
			code, known = l.countries.Country(addr)
			asked = true
		}
		if known && code == r.country {
			return r.index
		}
	}
	return match
}

// none is greater than every index: no entry.
const none = int(^uint(0) >> 1)

// span is a prefix and the index of its entry.
type span struct {
	netip.Prefix
	index int
}

// ranges maps each address of one family to the first entry with a prefix that
// holds it: first[i] from starts[i] to the address before starts[i+1].
type ranges struct {
	starts []netip.Addr
	first  []int
}

// find is the index of the entry, none if there is none.
func (t ranges) find(addr netip.Addr) int {
	i, exact := slices.BinarySearchFunc(t.starts, addr, netip.Addr.Compare)
	if exact {
		return t.first[i]
	}
	if i == 0 {
		return none
	}
	return t.first[i-1]
}

// newRanges works from the lowest address to the highest. Of two prefixes one
// holds the other or they are apart, so those that hold the current address form
// a stack; the smallest index on it decides.
func newRanges(spans []span) ranges {
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()), cmp.Compare(a.index, b.index))
	})
	var t ranges
	var open []span // outermost first; index is the smallest so far
	closeUntil := func(addr netip.Addr) {
		for len(open) > 0 && !open[len(open)-1].Contains(addr) {
			top := open[len(open)-1]
			open = open[:len(open)-1]
			if end := lastOf(top.Prefix).Next(); end.IsValid() {
				t.add(end, decider(open))
			}
		}
	}
	for _, s := range spans {
		closeUntil(s.Addr())
		s.index = min(s.index, decider(open))
		open = append(open, s)
		t.add(s.Addr(), s.index)
	}
	closeUntil(netip.Addr{})
	return t
}

// decider is the entry that the prefixes in open come down to.
func decider(open []span) int {
	if len(open) == 0 {
		return none
	}
	return open[len(open)-1].index
}

// add begins a range; a later one with the same start replaces it, and one that
// changes nothing is left out.
func (t *ranges) add(start netip.Addr, index int) {
	if n := len(t.starts); n > 0 && t.starts[n-1] == start {
		t.starts, t.first = t.starts[:n-1], t.first[:n-1]
	}
	if n := len(t.first); n > 0 && t.first[n-1] == index {
		return
	}
	t.starts, t.first = append(t.starts, start), append(t.first, index)
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	mask := maskOf(p.Bits(), p.Addr().BitLen()).AsSlice()
	for i := range bytes {
		bytes[i] |= ^mask[i]
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}
