//go:build !nogeodb

package geo

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestBuiltin(t *testing.T) {
	db := Builtin()
	if db == nil || Builtin() != db {
		t.Fatal("want the same database at each call")
	}
	t.Log(db.Describe())
	if !db.Has(Country|Continent) || db.Has(ASN) {
		t.Error("want countries and continents, no AS numbers")
	}
	// Networks that have been where they are for decades.
	for addr, want := range map[string]string{
		"8.8.8.8":               "US",
		"::ffff:8.8.8.8":        "US",
		"193.0.6.139":           "NL", // RIPE NCC
		"2001:67c:2e8:22::c100": "NL",
		"130.225.0.1":           "DK", // the Danish universities
		"133.11.0.1":            "JP", // the University of Tokyo
		"10.0.0.1":              "",
		"127.0.0.1":             "",
		"192.168.1.1":           "",
		"::ffff:192.168.1.1":    "",
		"2001:db8::1":           "",
		"::1":                   "",
		"fe80::1":               "",
		"fd00::1":               "",
	} {
		code, ok := db.Country(netip.MustParseAddr(addr))
		if code != want || ok != (want != "") {
			t.Errorf("%s: got %q, %t, want %q", addr, code, ok, want)
		}
	}
	if len(db.countries) < 200 {
		t.Errorf("%d countries: too few for the whole world", len(db.countries))
	}
	for code := range maps.Keys(db.countries) {
		if ContinentOf(code) == "" {
			t.Errorf("%s has no continent", code)
		}
	}
}

// The date is the one in the README beside the database.
func TestBuiltinDate(t *testing.T) {
	text, err := os.ReadFile("builtin/README.md")
	if err != nil {
		t.Fatal(err)
	}
	file := Builtin().files[0]
	if date := file.built.UTC().Format(time.DateOnly); !bytes.Contains(text, []byte(date)) {
		t.Errorf("the database was built on %s, which builtin/README.md does not say", date)
	}
	if got := Builtin().Describe(); !strings.HasPrefix(got, "built-in (country ipvAll, built 20") {
		t.Errorf("got %q", got)
	}
}

func TestBuiltinAnswersAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	known := 0
	for range 50_000 {
		addr := randomAddr(random)
		sameAnswers(t, Builtin(), addr)
		if _, ok := Builtin().Country(addr); ok {
			known++
		}
	}
	if known < 20_000 {
		t.Errorf("%d of 50,000 random addresses are known: too few", known)
	}
}

func TestBuiltinDoesNotAllocate(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	if n := testing.AllocsPerRun(1000, func() {
		Builtin().Country(randomAddr(random))
		Builtin().Lookup(randomAddr(random))
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// What Builtin's comment says of memory.
func TestBuiltinMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	file, err := newDatabase("x", builtinContent)
	if err != nil {
		t.Fatal(err)
	}
	db := newDB([]*database{file})
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 100<<10 {
		t.Errorf("it keeps %d bytes, want at most 100 KiB", kept)
	}
	runtime.KeepAlive(db)
}

// A real database in parts and with bytes changed: no panic, no nonsense.
func TestBuiltinDamaged(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	damaged := make([]byte, len(builtinContent))
	for range 12 {
		copy(damaged, builtinContent)
		for range 1000 {
			damaged[random.IntN(len(damaged))] ^= byte(1 + random.IntN(255))
		}
		if file, err := newDatabase("damaged", damaged); err == nil {
			askAll(t, newDB([]*database{file}))
		}
		cut := random.IntN(len(builtinContent))
		if _, err := newDatabase("cut", builtinContent[:cut]); err == nil {
			t.Errorf("the first %d bytes pass for a database", cut)
		}
		if file, err := newDatabase("cut", builtinContent[cut:]); err == nil {
			askAll(t, newDB([]*database{file}))
		}
	}
}

// benchmarkAddrs are random addresses, so many that they do not fit the caches
// together with what they lead to.
func benchmarkAddrs() []netip.Addr {
	random := rand.New(rand.NewPCG(11, 12))
	addrs := make([]netip.Addr, 1<<16)
	for i := range addrs {
		addrs[i] = randomAddr(random)
	}
	return addrs
}

func BenchmarkCountry(b *testing.B) {
	addrs, db, i := benchmarkAddrs(), Builtin(), 0
	b.ReportAllocs()
	for b.Loop() {
		db.Country(addrs[i%len(addrs)])
		i++
	}
}

func BenchmarkLookup(b *testing.B) {
	addrs, db, i := benchmarkAddrs(), Builtin(), 0
	b.ReportAllocs()
	for b.Loop() {
		db.Lookup(addrs[i%len(addrs)])
		i++
	}
}

func BenchmarkLoadBuiltin(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := newDatabase("x", builtinContent); err != nil {
			b.Fatal(err)
		}
	}
}
