package acl

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestTablesEdges asks at the first and the last address of prefixes, and next to
// them, where tables with pages have more ranges than in other tests.
func TestTablesEdges(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{0, 1, 10, 3 * manyRanges} {
		var l List
		for i := range n {
			addr := fewAddr(rng)
			p, _ := addr.Prefix(addr.BitLen() - rng.IntN(16)*rng.IntN(2))
			l = append(l, Entry{Permit: i%3 == 0, Addr: p.Addr(), Mask: maskOf(p.Bits(), addr.BitLen())})
		}
		first := map[netip.Prefix]int{}
		for i, e := range l {
			keepFirst(&first, netip.PrefixFrom(e.Addr, maskLen(e.Mask)), i)
		}
		compiled := compile(t, l, nil)
		check := func(addr netip.Addr) {
			if !addr.IsValid() {
				return
			}
			want := -1
			for length := range addr.BitLen() + 1 {
				p, _ := addr.Prefix(length)
				if i, ok := first[p]; ok && (want < 0 || i < want) {
					want = i
				}
			}
			if got := compiled.Judge(&Client{Addr: addr}, Address).Entry; got != want {
				t.Fatalf("%d entries: %s: entry %d, want %d", n, addr, got, want)
			}
		}
		for p := range first {
			span := newPrefix(addressOf(p.Addr()), p.Bits(), 0)
			last := addrOf(span.last(), p.Addr().Is4())
			for _, addr := range []netip.Addr{p.Addr(), p.Addr().Prev(), last, last.Next()} {
				check(addr)
			}
		}
		for range 1000 {
			check(fewAddr(rng))
		}
		for _, addr := range []string{"0.0.0.0", "255.255.255.255", "0.0.255.255", "0.1.0.0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"} {
			check(netip.MustParseAddr(addr))
		}
	}
}

// fewAddr is an address of those that many prefixes share.
func fewAddr(rng *rand.Rand) netip.Addr {
	if rng.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{byte(rng.IntN(4) * 85), byte(rng.IntN(256)), byte(rng.IntN(256)), byte(rng.IntN(256))})
	}
	a := [16]byte{0: byte(rng.IntN(4) * 85), 7: byte(rng.IntN(4) * 85), 8: byte(rng.IntN(4) * 85), 14: byte(rng.IntN(256)), 15: byte(rng.IntN(256))}
	return netip.AddrFrom16(a)
}

// addrOf is the inverse of addressOf.
func addrOf(a address, is4 bool) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	if is4 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
}

func TestPrefixes(t *testing.T) {
	for _, text := range []string{"0.0.0.0/0", "10.0.0.0/8", "255.255.255.255/32", "::/0", "8000::/1", "2001:db8::/64", "2001:db8::8000:0:0:0/65", "::1/128"} {
		want := netip.MustParsePrefix(text)
		p := newPrefix(addressOf(want.Addr()), want.Bits(), maxTag)
		is4 := want.Addr().Is4()
		if is4 && p.packed().prefix() != p {
			t.Errorf("%s: packed and unpacked: %v, want %v", text, p.packed().prefix(), p)
		}
		if got := netip.PrefixFrom(addrOf(p.address, is4), p.length()); got != want || p.tag() != maxTag || !p.isMasked() {
			t.Errorf("%s: got %s, number %d, masked %t", text, got, p.tag(), p.isMasked())
		}
		if !p.contains(p.address) || !p.contains(p.last()) || !want.Contains(addrOf(p.last(), is4)) {
			t.Errorf("%s: does not hold its first or last address", text)
		}
		if next, ok := p.last().next(); ok && (p.contains(next) || is4 && next.hi<<32 != 0) {
			t.Errorf("%s: holds the address after its last", text)
		}
	}
}

// manyCIDRs are n disjoint prefixes all over the families, and clients in and
// near them.
func manyCIDRs(n int, v6 bool) (l List, clients []netip.Addr) {
	rng := rand.New(rand.NewPCG(9, 10))
	for i := range n {
		addr := netip.AddrFrom4([4]byte{byte(1 + rng.IntN(223)), byte(rng.IntN(256)), byte(rng.IntN(256)), byte(rng.IntN(256))})
		length := 16 + rng.IntN(17)
		if v6 {
			// What the registries hand out begins in few ways.
			addr = netip.AddrFrom16([16]byte{[]byte{0x20, 0x24, 0x26, 0x28, 0x2a}[rng.IntN(5)], byte(rng.IntN(12)), byte(rng.IntN(256)), byte(rng.IntN(256)), byte(rng.IntN(256)), byte(rng.IntN(256))})
			length = 32 + rng.IntN(33)
		}
		p, _ := addr.Prefix(length)
		l = append(l, Entry{Permit: i%2 == 0, Addr: p.Addr(), Mask: maskOf(length, addr.BitLen())})
		clients = append(clients, addr)
	}
	rng.Shuffle(n, func(i, j int) { clients[i], clients[j] = clients[j], clients[i] })
	return l, clients
}

func TestManyCIDRsDoNotAllocate(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		l, clients := manyCIDRs(MaxEntries, v6)
		compiled := compile(t, l, nil)
		i := 0
		if n := testing.AllocsPerRun(1000, func() { compiled.Judge(&Client{Addr: clients[i]}, Address); i++ }); n != 0 {
			t.Errorf("IPv6 %t: %v allocations", v6, n)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		for _, n := range []int{1, 10, MaxEntries} {
			l, clients := manyCIDRs(n, v6)
			compiled := compile(b, l, nil)
			b.Run(fmt.Sprintf("%d entries, IPv6 %t", n, v6), func(b *testing.B) {
				i := 0
				for b.Loop() {
					compiled.Judge(&Client{Addr: clients[i]}, Address)
					if i++; i == len(clients) {
						i = 0
					}
				}
			})
		}
	}
}

// BenchmarkCompile is a list with a file of a million addresses.
func BenchmarkCompile(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		set, err := ParseFile("million", manyLines(1_000_000, v6))
		if err != nil {
			b.Fatal(err)
		}
		o := Options{Files: func(string) (*FileSet, error) { return set, nil }}
		b.Run(fmt.Sprintf("IPv6 %t", v6), func(b *testing.B) {
			for b.Loop() {
				if _, err := CompileWith(List{{File: "million"}, {Permit: true, All: true}}, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
