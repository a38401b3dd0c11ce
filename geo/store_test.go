package geo

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// replace puts a new file in a path's place, as programs that fetch databases do.
func replace(t testing.TB, path string, content []byte) {
	t.Helper()
	next := path + ".new"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func countryFile(t testing.TB, code string) []byte {
	t.Helper()
	return build(t, "x", countries(map[string]string{"192.0.2.0/24": code}))
}

func wantCountry(t testing.TB, db *DB, want string) {
	t.Helper()
	if code, _ := db.Country(netip.MustParseAddr("192.0.2.1")); code != want {
		t.Errorf("got %q, want %q", code, want)
	}
}

func TestStoreReadsWhatChanged(t *testing.T) {
	var st Store
	one, two := write(t, countryFile(t, "SE")), write(t, countryFile(t, "NO"))
	paths := []string{one, two, one}
	first, err := st.Open(paths, false)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := st.Open(paths, false); again != first || err != nil || st.Changed() {
		t.Errorf("nothing has changed: got another DB (%v), changed %t", err, st.Changed())
	}
	replace(t, one, countryFile(t, "FI"))
	if !st.Changed() {
		t.Error("a file was replaced: want changed")
	}
	second, err := st.Open(paths, false)
	if err != nil || st.Changed() {
		t.Fatalf("got %v, changed %t", err, st.Changed())
	}
	wantCountry(t, first, "SE")
	wantCountry(t, second, "FI")
	if second.files[0] == first.files[0] || second.files[1] != first.files[1] || second.files[2] != second.files[0] {
		t.Error("want the replaced file read, once, and the other one not")
	}
	third, err := st.Open([]string{two}, false)
	if err != nil || third.files[0] != first.files[1] {
		t.Errorf("got %v, want the file that is known", err)
	}
	if len(st.known) != 1 {
		t.Errorf("%d files are remembered, want those in use", len(st.known))
	}
}

// What becomes of a file that was good: an error, and the former DB answers on
// until the file is good again.
func TestStoreKeepsWhatItHad(t *testing.T) {
	good := countryFile(t, "SE")
	for _, tt := range []struct {
		name  string
		spoil func(path string) error
		want  string
	}{
		{"garbage", func(path string) error { return os.WriteFile(path, []byte("garbage"), 0o600) }, "no database at all"},
		{"cut off", func(path string) error { return os.Truncate(path, int64(len(good)/2)) }, "no database at all"},
		{"empty", func(path string) error { return os.Truncate(path, 0) }, "no database at all"},
		{"gone", os.Remove, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var st Store
			path := write(t, good)
			former, err := st.Open([]string{path}, true)
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.spoil(path); err != nil {
				t.Fatal(err)
			}
			if !st.Changed() {
				t.Error("want changed")
			}
			for range 2 {
				db, err := st.Open([]string{path}, true)
				if db != nil || err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("got %v, want an error with %q that names the file", err, tt.want)
				}
			}
			if st.Changed() {
				t.Error("nothing has changed since the error")
			}
			wantCountry(t, former, "SE")
			replace(t, path, countryFile(t, "FI"))
			if !st.Changed() {
				t.Error("the file is good again: want changed")
			}
			db, err := st.Open([]string{path}, true)
			if err != nil {
				t.Fatal(err)
			}
			wantCountry(t, db, "FI")
			wantCountry(t, former, "SE")
		})
	}
}

// An Open for other paths that fails leaves the watch where it was.
func TestStoreWatchesWhatIsInForce(t *testing.T) {
	var st Store
	missing := filepath.Join(t.TempDir(), "none.mmdb")
	if _, err := st.Open([]string{missing}, false); err == nil {
		t.Fatal("want an error")
	}
	if st.Changed() {
		t.Error("nothing has changed")
	}
	replace(t, missing, countryFile(t, "SE"))
	if !st.Changed() {
		t.Error("the first Open failed for a file that is there now: want changed")
	}
	if _, err := st.Open([]string{missing}, false); err != nil {
		t.Fatal(err)
	}
	bad := write(t, []byte("garbage"))
	if _, err := st.Open([]string{bad}, false); err == nil {
		t.Fatal("want an error")
	}
	replace(t, bad, countryFile(t, "NO"))
	if st.Changed() {
		t.Error("a file that is not in use has changed")
	}
	replace(t, missing, countryFile(t, "FI"))
	if !st.Changed() {
		t.Error("the file in use has changed")
	}
}

func TestStoreWithBuiltin(t *testing.T) {
	var st Store
	path := write(t, build(t, "x", records{"8.8.8.0/25": fields("country", "SE"), "8.8.8.128/25": fields("asn", "AS64496")}))
	db, err := st.Open([]string{path}, true)
	if err != nil {
		t.Fatal(err)
	}
	one, other := netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("8.8.8.129")
	if code, _ := db.Country(one); code != "SE" {
		t.Errorf("got %q: the given database comes first", code)
	}
	want, _ := Builtin().Country(other)
	if got := db.Lookup(other); got.Country != want || got.ASN != 64496 {
		t.Errorf("got %+v, want the country %q of the built-in database, if there is one", got, want)
	}
	without, err := st.Open([]string{path}, false)
	if err != nil || without.files[0] != db.files[0] {
		t.Fatalf("got %v, want the same file", err)
	}
	if _, ok := without.Country(other); ok {
		t.Error("the built-in database was not wanted")
	}
	none, err := st.Open(nil, false)
	if err != nil || none.Has(Country) || none.Describe() != "" {
		t.Errorf("no databases: got %v and %q", err, none.Describe())
	}
}
