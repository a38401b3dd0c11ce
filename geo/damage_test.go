package geo

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// originals are the databases to damage: each layout, each size of records,
// and some of the built-in one if there is one.
func originals(t testing.TB) [][]byte {
	var all [][]byte
	if db := Builtin(); db != nil {
		some := records{}
		for r := range db.files[0].tree.NetworksWithin(netip.MustParsePrefix("2001:600::/27")) {
			var record mmdbtype.Map
			if err := r.Decode(&record); err != nil {
				t.Fatal(err)
			}
			some[r.Prefix().String()] = record
			if len(some) == 100 {
				break
			}
		}
		all = append(all, build(t, "country ipvAll", some))
	}
	for _, size := range []int{24, 28, 32} {
		all = append(all,
			buildWith(t, mmdbwriter.Options{DatabaseType: "GeoIP2-Country", RecordSize: size}, countries(nordic)),
			buildWith(t, mmdbwriter.Options{DatabaseType: "ipinfo lite.mmdb", RecordSize: size}, records{
				"192.0.2.0/24":  fields("asn", "AS64496", "as_name", "Example", "country", "Sweden", "country_code", "SE"),
				"2001:db8::/32": fields("asn", "AS64497", "as_name", "Example", "country", "Finland", "country_code", "FI"),
			}),
			buildWith(t, mmdbwriter.Options{DatabaseType: "GeoLite2-ASN", RecordSize: size, IPVersion: 4}, records{
				"192.0.2.0/24": fields("autonomous_system_number", 64496, "autonomous_system_organization", "Example"),
			}),
		)
	}
	return all
}

// askAll asks everything that can be asked. What comes of it is only held to be
// well-formed.
func askAll(t *testing.T, db *DB) {
	t.Helper()
	for _, a := range []string{
		"192.0.2.7", "10.0.0.1", "0.0.0.0", "255.255.255.255", "8.8.8.8", "::", "2001:db8::1", "2002:c000:207::1", "ffff::1",
	} {
		addr := netip.MustParseAddr(a)
		sameAnswers(t, db, addr)
		p := db.Lookup(addr)
		if p.Country != countryCode(p.Country) || p.Continent != continentCode(p.Continent) || p.Org != printable(p.Org) {
			t.Errorf("%s: got %+v, which is not well-formed", a, p)
		}
	}
	db.Describe()
}

// FuzzOpen damages a database in one place and cuts it: whatever comes of that
// is an error, a wrong answer or none, but no panic and no nonsense.
func FuzzOpen(f *testing.F) {
	all := originals(f)
	f.Add(uint8(0), uint16(0), []byte{0xff, 0xff}, uint16(0))
	f.Add(uint8(0), uint16(1500), []byte{0xe0, 0x20, 0x00}, uint16(3))
	f.Add(uint8('\n'), uint16(1332), []byte("ſ"), uint16(0)) // a country of two bytes that is one in upper case
	for i, original := range all {
		f.Add(uint8(i), uint16(len(original)-60), []byte{0x09}, uint16(0))
		f.Add(uint8(i), uint16(5), []byte{0}, uint16(0))
	}
	f.Fuzz(func(t *testing.T, which uint8, at uint16, patch []byte, cut uint16) {
		damaged := bytes.Clone(all[int(which)%len(all)])
		copy(damaged[int(at)%len(damaged):], patch)
		damaged = damaged[:len(damaged)-int(cut)%len(damaged)]
		file, err := newDatabase("fuzz", damaged)
		if err != nil {
			return
		}
		askAll(t, newDB([]*database{file}))
	})
}

// Every byte of a database, changed in turn.
func TestEveryByteDamaged(t *testing.T) {
	for _, original := range originals(t) {
		for i := range original {
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				damaged := bytes.Clone(original)
				damaged[i] ^= flip
				if file, err := newDatabase("damaged", damaged); err == nil {
					askAll(t, newDB([]*database{file}))
				}
			}
		}
	}
}

// The end of a database has the metadata: without any of it there is none. A
// file whose beginning is gone or is another one's is not always found out.
func TestCutAnywhere(t *testing.T) {
	for _, original := range originals(t) {
		for n := range original {
			if _, err := newDatabase("cut", original[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes pass for a database", n, len(original))
			}
			if file, err := newDatabase("cut", original[n:]); err == nil {
				askAll(t, newDB([]*database{file}))
			}
		}
	}
}

// A tree whose nodes lead back up has no way to the bottom, but is read in time.
func TestTreeWithoutAnEnd(t *testing.T) {
	content := build(t, "x", countries(nordic))
	file, err := newDatabase("x", content)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	nodes := file.tree.Metadata.NodeCount
	for i := range nodes * 2 {
		if back := random.Uint32N(uint32(nodes)); random.IntN(10) > 0 {
			copy(content[i*3:], []byte{byte(back >> 16), byte(back >> 8), byte(back)})
		}
	}
	if file, err := newDatabase("x", content); err == nil {
		askAll(t, newDB([]*database{file}))
	}
}
