package acl

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// countries is a database of whole addresses, which knows the continent and the
// network of those of which it knows the country.
type countries map[netip.Addr]string

func (c countries) Country(addr netip.Addr) (string, bool) {
	code, ok := c[addr]
	return code, ok
}

func (c countries) Continent(addr netip.Addr) (string, bool) {
	code, ok := map[string]string{"SE": "EU", "NO": "EU", "FI": "AS"}[c[addr]] // moved, to have two
	return code, ok
}

func (c countries) ASN(addr netip.Addr) (uint32, bool) {
	number, ok := map[string]uint32{"SE": 64500, "NO": 64501}[c[addr]]
	return number, ok
}

func (c countries) KnowsCountry(code string) bool { return strings.Contains("SE NO FI", code) }
func (c countries) Describe() string              { return "test.mmdb" }

var _ Countries = countries{}

// everything is Options in which every entry compiles.
func everything(db Geography) Options {
	return Options{Geography: db, HasCountry: true, HasContinent: true, HasASN: true, Files: setOf}
}

// compile is CompileWith of everything.
func compile(t testing.TB, l List, db Geography) *Compiled {
	t.Helper()
	compiled, err := CompileWith(l, everything(db))
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// contentOf is what a file of this name has in tests: the name is a seed.
func contentOf(path string) (list []netip.Prefix) {
	seed, _ := strconv.ParseUint(path, 10, 64)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range rng.IntN(20) {
		addr := randomAddr(rng)
		p, _ := addr.Prefix(rng.IntN(addr.BitLen() + 1))
		list = append(list, p)
	}
	return list
}

// setOf is that file.
func setOf(path string) (*FileSet, error) {
	var text strings.Builder
	for _, p := range contentOf(path) {
		fmt.Fprintln(&text, p)
	}
	text.WriteString("# none is an error without this\n")
	return ParseFile(path, strings.NewReader(text.String()))
}

func list(t testing.TB, lines string) (l List) {
	t.Helper()
	for line := range strings.SplitSeq(lines, ";") {
		if line != "" {
			l = append(l, entry(t, line))
		}
	}
	return l
}

func TestPermit(t *testing.T) {
	const unix = ""
	database := countries{
		netip.MustParseAddr("192.0.2.1"):   "SE",
		netip.MustParseAddr("2001:db8::1"): "SE",
		netip.MustParseAddr("192.0.2.2"):   "NO",
	}
	tests := []struct {
		list   string
		permit []string
		deny   []string
	}{
		{"", []string{"10.0.0.1", "::1", unix}, nil},
		{"permit 10.0.0.1", []string{"10.0.0.1", "::ffff:10.0.0.1", unix}, []string{"10.0.0.2", "::1"}},
		{"deny 10.0.0.1", []string{"10.0.0.2", "::1", unix}, []string{"10.0.0.1", "::ffff:10.0.0.1"}},
		{"deny 10.0.0.1;permit 10.0.0.0/8;deny 11.0.0.0/8", []string{"10.0.0.2", "12.0.0.0"}, []string{"10.0.0.1", "11.1.1.1"}},
		{"permit 10.0.0.0/8;deny 10.0.0.1", []string{"10.0.0.1", "11.0.0.1"}, nil},
		{"deny 10.0.0.5 255.0.0.255", []string{"10.1.2.4", "11.0.0.5"}, []string{"10.1.2.5"}},
		{"permit 10.0.0.0/8;deny 10.0.0.5 255.0.0.255", []string{"10.1.2.5", "::1"}, nil},
		{"deny 10.0.0.5 255.0.0.255;permit 10.0.0.0/8", []string{"10.1.2.4"}, []string{"10.1.2.5", "11.0.0.1"}},

		// Observed of pen: masks are literal for both families, and an entry that
		// matches nobody or the other family only is the last entry all the same.
		{"deny 10.0.0.5 255.0.0.0", []string{"10.0.0.5", "10.0.0.0"}, nil},
		{"permit 10.0.0.5 255.0.0.0", nil, []string{"10.0.0.5", "10.0.0.0"}},
		{"deny ::2/64", []string{"::1", "::2"}, nil},
		{"deny ::/64", []string{"1::"}, []string{"::1"}},
		{"permit 1.2.3.4", nil, []string{"::1"}},
		{"deny 10.0.0.1;permit ::2", nil, []string{"10.0.0.1", "10.0.0.2"}},
		{"permit ::/0", []string{"::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, []string{"0.0.0.0", "255.255.255.255"}},
		{"permit 0.0.0.0/0", []string{"0.0.0.0", "255.255.255.255"}, []string{"::1"}},
		{"permit fe80::/10", []string{"fe80::1%eth0"}, []string{"2001:db8::1"}},

		{"deny all", nil, []string{"10.0.0.1", "::1", unix}},
		{"permit all", []string{"10.0.0.1", "::1", unix}, nil},
		{"permit 10.0.0.1;deny all;permit ::1", []string{"10.0.0.1"}, []string{"10.0.0.2", "::1", unix}},
		{"deny all;permit all", nil, []string{"10.0.0.1", unix}},

		{"permit country SE", []string{"192.0.2.1", "2001:db8::1", unix}, []string{"192.0.2.2", "10.0.0.1"}},
		{"deny country SE", []string{"192.0.2.2", "10.0.0.1"}, []string{"192.0.2.1", "2001:db8::1"}},
		{"permit 192.0.2.1;deny country SE;deny country NO", []string{"192.0.2.1", "10.0.0.1"}, []string{"192.0.2.2", "2001:db8::1"}},
		{"deny country SE;permit 192.0.2.0/24", []string{"192.0.2.2"}, []string{"192.0.2.1"}},
	}
	for _, tt := range tests {
		compiled, err := Compile(list(t, tt.list), database)
		if err != nil {
			t.Errorf("%q: %v", tt.list, err)
			continue
		}
		check := func(clients []string, want bool) {
			for _, client := range clients {
				addr, _ := netip.ParseAddr(client)
				if got := compiled.Permit(addr); got != want {
					t.Errorf("%q: client %q: got %t, want %t", tt.list, client, got, want)
				}
			}
		}
		check(tt.permit, true)
		check(tt.deny, false)
	}
}

func TestNilListPermits(t *testing.T) {
	var l *Compiled
	if !l.Permit(netip.MustParseAddr("10.0.0.1")) || !l.Permit(netip.Addr{}) {
		t.Error("nil list denies")
	}
}

func TestCountryEntryNeedsADatabase(t *testing.T) {
	_, err := Compile(list(t, "permit 10.0.0.1;deny country SE"), nil)
	if err == nil || err.Error() != `acl entry "deny country SE" needs a database: --geoip FILE` {
		t.Errorf("got %v", err)
	}
}

// matches is the rule as the manual states it, one entry at a time.
func matches(e Entry, addr netip.Addr, c Geography) bool {
	switch {
	case e.All:
		return true
	case e.Country != "":
		code, ok := c.Country(addr)
		return ok && code == e.Country || !ok && e.Country == UnknownCountry
	case e.Continent != "":
		code, ok := c.Continent(addr)
		return ok && code == e.Continent
	case e.ASN != 0:
		number, ok := c.ASN(addr)
		return ok && number == e.ASN
	case e.File != "":
		return slices.ContainsFunc(contentOf(e.File), func(p netip.Prefix) bool { return p.Contains(addr) })
	}
	return e.Addr.BitLen() == addr.BitLen() && and(addr, e.Mask) == e.Addr
}

func naive(l List, addr netip.Addr, c Geography) bool {
	for _, e := range l {
		if matches(e, addr, c) {
			return e.Permit
		}
	}
	return len(l) == 0 || !l[len(l)-1].Permit
}

// randomAddr has few distinct bits, in places where a carry shows, so that
// random entries and clients meet.
func randomAddr(rng *rand.Rand) netip.Addr {
	bits := func() byte { return []byte{0, 0, 1, 0x80, 0xff}[rng.IntN(5)] }
	if rng.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{bits(), bits(), bits(), bits()})
	}
	var a [16]byte
	for _, i := range []int{0, 1, 7, 15} {
		a[i] = bits()
	}
	return netip.AddrFrom16(a)
}

// randomEntry is an entry about addresses.
func randomEntry(rng *rand.Rand) Entry {
	e := Entry{Permit: rng.IntN(2) == 0}
	switch rng.IntN(20) {
	case 0:
		e.All = true
	case 1, 2:
		e.Country = []string{"SE", "NO", UnknownCountry}[rng.IntN(3)]
	case 3:
		e.Continent = []string{"EU", "AS"}[rng.IntN(2)]
	case 4:
		e.ASN = 64500 + rng.Uint32N(3)
	case 5, 6:
		e.File = strconv.Itoa(rng.IntN(9))
	default:
		e.Addr = randomAddr(rng)
		e.Mask = maskOf(rng.IntN(e.Addr.BitLen()+1), e.Addr.BitLen())
		if e.Addr.Is4() && rng.IntN(4) == 0 {
			e.Mask = netip.AddrFrom4([4]byte{255, byte(rng.IntN(256)), 0, 255})
		}
		if rng.IntN(10) > 0 {
			e.Addr = and(e.Addr, e.Mask)
		}
	}
	return e
}

func TestCompiledListDecidesAsTheListItself(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 3000 {
		database := countries{}
		var l List
		for range rng.IntN(12) {
			l = append(l, randomEntry(rng))
		}
		compiled := compile(t, l, database)
		for range 40 {
			addr := randomAddr(rng)
			if rng.IntN(3) == 0 {
				database[addr] = []string{"SE", "NO", "FI"}[rng.IntN(3)]
			}
			if got, want := compiled.Permit(addr), naive(l, addr, database); got != want {
				t.Fatalf("round %d: %v: client %s: got %t, want %t", round, l, addr, got, want)
			}
		}
	}
}

func TestPermitDoesNotAllocate(t *testing.T) {
	compiled, err := Compile(list(t, "deny 10.0.0.5 255.0.0.255;deny country NO;permit 10.0.0.0/8;permit 2001:db8::/32"), countries{})
	if err != nil {
		t.Fatal(err)
	}
	clients := []netip.Addr{
		netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("2001:db8::1"),
		netip.MustParseAddr("::ffff:10.1.1.1"), {},
	}
	if n := testing.AllocsPerRun(100, func() {
		for _, addr := range clients {
			compiled.Permit(addr)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
