package geo

import (
	"bytes"
	"cmp"
	"maps"
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

// database makes an .mmdb file of the given type.
func database(t testing.TB, kind string, countries map[string]string) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: kind, BuildEpoch: 1767225600, IncludeReservedNetworks: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	// Wide networks first: one that is put in later takes over what is within it.
	prefixes := slices.SortedFunc(maps.Keys(countries), func(a, b string) int {
		return cmp.Compare(netip.MustParsePrefix(a).Bits(), netip.MustParsePrefix(b).Bits())
	})
	for _, prefix := range prefixes {
		code := countries[prefix]
		record := mmdbtype.Map{"country": mmdbtype.Map{
			"iso_code": mmdbtype.String(code),
			"names":    mmdbtype.Map{"en": mmdbtype.String("Country " + code)},
		}}
		_, network, err := net.ParseCIDR(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(network, record); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.mmdb")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var nordic = map[string]string{
	"192.0.2.0/24":  "SE",
	"192.0.2.7/32":  "NO",
	"2001:db8::/32": "FI",
	"10.0.0.0/8":    "",
}

func TestCountry(t *testing.T) {
	for _, kind := range []string{"GeoLite2-Country", "GeoIP2-City", "GeoIP2-Enterprise"} {
		db, err := Open(write(t, database(t, kind, nordic)))
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct{ addr, want string }{
			{"192.0.2.1", "SE"},
			{"192.0.2.7", "NO"},
			{"::ffff:192.0.2.7", "NO"},
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
		db.Close()
	}
}

func TestFirstDatabaseThatKnowsDecides(t *testing.T) {
	first := write(t, database(t, "GeoIP2-Country", map[string]string{"192.0.2.0/25": "SE", "10.0.0.0/8": ""}))
	second := write(t, database(t, "DBIP-Country-Lite", map[string]string{"192.0.2.0/24": "NO", "10.0.0.0/8": "FI"}))
	db, err := Open(first, second)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{"192.0.2.1": "SE", "192.0.2.129": "NO", "10.0.0.1": "FI"} {
		if code, _ := db.Country(netip.MustParseAddr(addr)); code != want {
			t.Errorf("%s: got %q, want %q", addr, code, want)
		}
	}
	want := first + " (GeoIP2-Country, built 2026-01-01), " + second + " (DBIP-Country-Lite, built 2026-01-01)"
	if got := db.Describe(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOpenErrors(t *testing.T) {
	good := database(t, "GeoIP2-Country", nordic)
	tests := []struct{ name, path, want string }{
		{"missing", filepath.Join(t.TempDir(), "none.mmdb"), "none.mmdb: no such file"},
		{"directory", t.TempDir(), "is not a regular file"},
		{"empty", write(t, nil), "expected a country or city database"},
		{"garbage", write(t, []byte("GeoIP.dat of old")), "expected a country or city database"},
		{"cut off", write(t, good[:len(good)-100]), "expected a country or city database"},
		{"no countries", write(t, database(t, "GeoLite2-ASN", nordic)), `"GeoLite2-ASN" has no countries: expected a country`},
		{"unknown type", write(t, database(t, "My-Own", nordic)), `database type "My-Own": expected a country`},
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
	path := write(t, database(t, "GeoIP2-Country", nordic))
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if code, _ := db.Country(netip.MustParseAddr("192.0.2.1")); code != "SE" {
		t.Errorf("got %q, want SE", code)
	}
}

func TestCountryConcurrently(t *testing.T) {
	db, err := Open(write(t, database(t, "GeoIP2-Country", nordic)))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if code, _ := db.Country(netip.MustParseAddr("192.0.2.1")); code != "SE" {
					t.Errorf("got %q, want SE", code)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzOpen damages a database in one place and cuts it: whatever comes of that
// is an error, a wrong answer or none, but no panic.
func FuzzOpen(f *testing.F) {
	good := database(f, "GeoIP2-Country", nordic)
	f.Add(uint16(0), []byte{0xff, 0xff}, uint16(0))
	f.Add(uint16(1500), []byte{0xe0, 0x20, 0x00}, uint16(3))
	f.Add(uint16(len(good)-60), []byte{0x09}, uint16(0))
	f.Fuzz(func(t *testing.T, at uint16, patch []byte, cut uint16) {
		damaged := bytes.Clone(good)
		copy(damaged[int(at)%len(damaged):], patch)
		damaged = damaged[:len(damaged)-int(cut)%len(damaged)]
		reader, err := open(damaged)
		if err != nil {
			return
		}
		db := &DB{files: []file{{"fuzz", reader}}}
		for _, addr := range []string{"192.0.2.7", "10.0.0.1", "2001:db8::1", "255.255.255.255"} {
			db.Country(netip.MustParseAddr(addr))
		}
		db.Describe()
	})
}

func BenchmarkCountry(b *testing.B) {
	db, err := Open(write(b, database(b, "GeoIP2-Country", nordic)))
	if err != nil {
		b.Fatal(err)
	}
	addr := netip.MustParseAddr("192.0.2.7")
	b.ReportAllocs()
	for b.Loop() {
		db.Country(addr)
	}
}
