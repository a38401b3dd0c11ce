package geo

import (
	"bytes"
	"cmp"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// records is what to put into a database: networks and what is said of each.
type records map[string]mmdbtype.DataType

// build makes an .mmdb file of the given type.
func build(t testing.TB, kind string, content records) []byte {
	t.Helper()
	return buildWith(t, mmdbwriter.Options{DatabaseType: kind}, content)
}

func buildWith(t testing.TB, options mmdbwriter.Options, content records) []byte {
	t.Helper()
	options.BuildEpoch = 1767225600 // 2026-01-01
	options.IncludeReservedNetworks = true
	tree, err := mmdbwriter.New(options)
	if err != nil {
		t.Fatal(err)
	}
	// Wide networks first: one that is put in later takes over what is within it.
	prefixes := slices.SortedFunc(maps.Keys(content), func(a, b string) int {
		return cmp.Compare(netip.MustParsePrefix(a).Bits(), netip.MustParsePrefix(b).Bits())
	})
	for _, prefix := range prefixes {
		_, network, err := net.ParseCIDR(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(network, content[prefix]); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fields makes a record of names and their values, which are strings, numbers
// or fields again.
func fields(pairs ...any) mmdbtype.Map {
	m := mmdbtype.Map{}
	for i := 0; i < len(pairs); i += 2 {
		var value mmdbtype.DataType
		switch v := pairs[i+1].(type) {
		case string:
			value = mmdbtype.String(v)
		case int:
			value = mmdbtype.Uint32(v)
		case bool:
			value = mmdbtype.Bool(v)
		case mmdbtype.DataType:
			value = v
		}
		m[mmdbtype.String(pairs[i].(string))] = value
	}
	return m
}

// countries makes records as MaxMind's, with a code and a name.
func countries(codes map[string]string) records {
	r := records{}
	for prefix, code := range codes {
		r[prefix] = fields("country", fields("iso_code", code, "names", fields("en", "Country "+code)))
	}
	return r
}

func write(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.mmdb")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustOpen(t testing.TB, paths ...string) *DB {
	t.Helper()
	db, err := Open(paths...)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

var nordic = map[string]string{
	"192.0.2.0/24":  "SE",
	"192.0.2.7/32":  "NO",
	"2001:db8::/32": "FI",
	"10.0.0.0/8":    "",
}

func TestCountry(t *testing.T) {
	for _, kind := range []string{"GeoLite2-Country", "GeoIP2-City", "GeoIP2-Enterprise", "My-Own"} {
		db := mustOpen(t, write(t, build(t, kind, countries(nordic))))
		for _, tt := range []struct{ addr, want string }{
			{"192.0.2.1", "SE"},
			{"192.0.2.7", "NO"},
			{"::ffff:192.0.2.7", "NO"},
			{"::ffff:192.0.2.7%eth0", "NO"},
			{"2001:db8:1::1", "FI"},
			{"2001:db8:1::1%eth0", "FI"},
			{"10.0.0.1", ""},
			{"198.51.100.1", ""},
			{"::1", ""},
		} {
			code, ok := db.Country(netip.MustParseAddr(tt.addr))
			if code != tt.want || ok != (tt.want != "") {
				t.Errorf("%s: %s: got %q, %t, want %q", kind, tt.addr, code, ok, tt.want)
			}
		}
		if code, ok := db.Country(netip.Addr{}); ok {
			t.Errorf("Unix peer: got %q", code)
		}
	}
}

// The three sizes of the search tree's records, and trees of one IP version.
func TestTrees(t *testing.T) {
	for _, size := range []int{24, 28, 32} {
		for _, version := range []int{4, 6} {
			content := maps.Clone(nordic)
			if version == 4 {
				delete(content, "2001:db8::/32")
			}
			b := buildWith(t, mmdbwriter.Options{DatabaseType: "x", IPVersion: version, RecordSize: size}, countries(content))
			db := mustOpen(t, write(t, b))
			four, _ := db.Country(netip.MustParseAddr("192.0.2.7"))
			six, ok := db.Country(netip.MustParseAddr("2001:db8::1"))
			if four != "NO" || ok != (version == 6) || ok && six != "FI" {
				t.Errorf("%d bits, IPv%d: got %q, %q, %t", size, version, four, six, ok)
			}
		}
	}
}

func TestFirstDatabaseThatKnowsAFieldWins(t *testing.T) {
	first := write(t, build(t, "one", records{
		"192.0.2.0/25":    fields("country", "SE"),
		"10.0.0.0/8":      fields("country", ""),
		"198.51.100.0/24": fields("asn", "AS64497"),
	}))
	second := write(t, build(t, "two", records{
		"192.0.2.0/24":    fields("country", "NO", "continent", "SA", "asn", "AS64496", "as_name", "Two"),
		"10.0.0.0/8":      fields("country", "FI"),
		"198.51.100.0/24": fields("asn", "AS64498", "as_name", "Two"),
		"203.0.113.0/24":  fields("continent", "OC"),
	}))
	db := mustOpen(t, first, second)
	for addr, want := range map[string]Place{
		"192.0.2.1":    {"SE", "EU", 64496, "Two"},
		"192.0.2.129":  {"NO", "SA", 64496, "Two"},
		"10.0.0.1":     {"FI", "EU", 0, ""},
		"198.51.100.1": {"", "", 64497, ""},
		"203.0.113.1":  {"", "OC", 0, ""},
		"2001:db8::1":  {},
	} {
		if got := db.Lookup(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: got %+v, want %+v", addr, got, want)
		}
	}
	want := first + " (one, built 2026-01-01), " + second + " (two, built 2026-01-01)"
	if got := db.Describe(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// sameAnswers holds Country, Continent and ASN to Lookup.
func sameAnswers(t *testing.T, db *DB, addr netip.Addr) {
	t.Helper()
	all := db.Lookup(addr)
	country, ok1 := db.Country(addr)
	continent, ok2 := db.Continent(addr)
	number, ok3 := db.ASN(addr)
	if all.Country != country || all.Continent != continent || all.ASN != number {
		t.Errorf("%s: got %+v, but %q, %q and %d", addr, all, country, continent, number)
	}
	if ok1 != (country != "") || ok2 != (continent != "") || ok3 != (number != 0) {
		t.Errorf("%s: got %q %t, %q %t, %d %t", addr, country, ok1, continent, ok2, number, ok3)
	}
	if country != "" && !db.KnowsCountry(country) {
		t.Errorf("%s: %q is not a country", addr, country)
	}
}

// Random networks in three databases: every question has Lookup's answer.
func TestAnswersAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	codes := []string{"SE", "no", "", "XK", "AN", "EU", "ZZ", "Norway"}
	var paths []string
	for range 3 {
		content := records{}
		for range 200 {
			prefix, _ := randomAddr(random).Prefix(4 + random.IntN(20))
			content[prefix.String()] = fields("country", codes[random.IntN(len(codes))], "asn", random.IntN(3))
		}
		paths = append(paths, write(t, build(t, "random", content)))
	}
	db := mustOpen(t, paths...)
	for range 20_000 {
		sameAnswers(t, db, randomAddr(random))
	}
}

// randomAddr is of IPv4 or of IPv6's global unicast.
func randomAddr(random *rand.Rand) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	if random.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	b[0] = 0x20 | b[0]&0x0f
	return netip.AddrFrom16(b)
}

func TestHas(t *testing.T) {
	country := write(t, build(t, "x", records{"192.0.2.0/24": fields("country", "SE")}))
	continent := write(t, build(t, "x", records{"192.0.2.0/24": fields("continent", "EU")}))
	asn := write(t, build(t, "x", records{"192.0.2.0/24": fields("asn", "AS64496")}))
	for _, tt := range []struct {
		name string
		db   *DB
		want Needs
	}{
		{"none", nil, 0},
		{"country", mustOpen(t, country), Country | Continent},
		{"continent", mustOpen(t, continent), Continent},
		{"ASN", mustOpen(t, asn), ASN},
		{"both", mustOpen(t, asn, country), Country | Continent | ASN},
	} {
		for n := range Country | Continent | ASN + 1 {
			if got, want := tt.db.Has(n), n&^tt.want == 0; got != want {
				t.Errorf("%s: has %03b: got %t, want %t", tt.name, n, got, want)
			}
		}
	}
}

func TestKnowsCountry(t *testing.T) {
	db := mustOpen(t, write(t, build(t, "x", records{
		"192.0.2.0/25":    fields("country", "a1"),
		"192.0.2.128/25":  fields("country", "EU"),
		"198.51.100.0/24": fields("country", "ZZ"),
	})))
	for code, want := range map[string]bool{
		"SE": true, "XK": true, "A1": true, "EU": true,
		"ZZ": false, "AP": false, "se": false, "": false, "SWE": false,
	} {
		if got := db.KnowsCountry(code); got != want {
			t.Errorf("%q: got %t, want %t", code, got, want)
		}
	}
}

func TestNilKnowsNothing(t *testing.T) {
	var db *DB
	sameAnswers(t, db, netip.MustParseAddr("192.0.2.1"))
	if p := db.Lookup(netip.MustParseAddr("192.0.2.1")); p != (Place{}) {
		t.Errorf("got %+v", p)
	}
	if !db.KnowsCountry("SE") || db.KnowsCountry("A1") || db.Describe() != "" {
		t.Error("a nil DB knows more, or less, than ISO 3166")
	}
	db.Close()
}

func TestOpenErrors(t *testing.T) {
	good := build(t, "GeoIP2-Country", countries(nordic))
	domain := records{"192.0.2.0/24": fields("domain", "example.net", "since\n", 2026)}
	tests := []struct{ name, path, want string }{
		{"missing", filepath.Join(t.TempDir(), "none.mmdb"), "none.mmdb: no such file"},
		{"directory", t.TempDir(), "is not a regular file; expected"},
		{"empty", write(t, nil), "expected a country, city or ASN database"},
		{"garbage", write(t, []byte("GeoIP.dat of old")), "expected a country, city or ASN database"},
		{"cut off", write(t, good[:len(good)-100]), "expected a country, city or ASN database"},
		{"head cut off", write(t, good[1000:]), "damaged"},
		{"neither", write(t, build(t, "GeoIP2-Domain", domain)),
			`of the type "GeoIP2-Domain", which has neither countries nor AS numbers, but records of domain, since; expected`},
		{"no maps", write(t, build(t, "x", records{"192.0.2.0/24": mmdbtype.String("SE")})), "but records that are no maps; expected"},
		{"no networks", write(t, build(t, "x", nil)), "but no records; expected"},
	}
	for _, tt := range tests {
		db, err := Open(tt.path)
		if err == nil || db != nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.path) {
			t.Errorf("%s: got %v, want an error with %q that names the file", tt.name, err, tt.want)
		}
	}
	if _, err := Open(); err == nil {
		t.Error("no path: want an error")
	}
}

// The file is read once: what happens to it afterwards does not matter.
func TestFileMayBeOverwrittenInPlace(t *testing.T) {
	path := write(t, build(t, "GeoIP2-Country", countries(nordic)))
	db := mustOpen(t, path)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if code, _ := db.Country(netip.MustParseAddr("192.0.2.1")); code != "SE" {
		t.Errorf("got %q, want SE", code)
	}
}

func TestConcurrently(t *testing.T) {
	db := mustOpen(t, write(t, build(t, "GeoIP2-Country", countries(nordic))))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if p := db.Lookup(netip.MustParseAddr("192.0.2.1")); p.Country != "SE" {
					t.Errorf("got %+v, want SE", p)
				}
			}
		})
	}
	wg.Wait()
}

func TestLookupsDoNotAllocate(t *testing.T) {
	four := buildWith(t, mmdbwriter.Options{DatabaseType: "x", IPVersion: 4}, records{"192.0.2.0/24": fields("asn", "AS64496")})
	db := mustOpen(t, write(t, four), write(t, build(t, "x", countries(nordic))))
	for _, a := range []string{"192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "2001:db8::1%eth0", "2001:db9::1"} {
		addr := netip.MustParseAddr(a)
		if n := testing.AllocsPerRun(100, func() {
			db.Country(addr)
			db.Continent(addr)
			db.ASN(addr)
			db.Lookup(addr)
		}); n != 0 {
			t.Errorf("%s: %v allocations, want none", a, n)
		}
	}
}
