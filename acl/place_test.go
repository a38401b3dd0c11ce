package acl

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestPlaces(t *testing.T) {
	database := countries{
		must("192.0.2.1"): "SE", must("2001:db8::1"): "NO", must("192.0.2.3"): "FI",
	}
	tests := []struct{ list, permit, deny string }{
		{"permit country unknown", "192.0.2.9 2001:db8::9", "192.0.2.1 2001:db8::1"},
		{"deny country unknown", "192.0.2.1 ::ffff:192.0.2.1", "192.0.2.9 2001:db8::9"},
		{"deny country SE;permit country unknown;deny all", "192.0.2.9", "192.0.2.1 192.0.2.3"},
		{"permit continent EU", "192.0.2.1 2001:db8::1", "192.0.2.3 192.0.2.9"},
		{"deny continent EU", "192.0.2.3 192.0.2.9", "192.0.2.1 2001:db8::1"},
		{"deny country SE;permit continent EU", "2001:db8::1", "192.0.2.1 192.0.2.3"},
		{"permit continent EU;deny country SE", "192.0.2.1 2001:db8::1 192.0.2.3", ""},
		{"permit asn 64500", "192.0.2.1", "2001:db8::1 192.0.2.3 192.0.2.9"},
		{"deny asn 64501;permit asn 64501", "", "2001:db8::1 192.0.2.1"},
		{"permit 192.0.2.1;deny asn 64500;deny asn 64501", "192.0.2.1 192.0.2.9", "2001:db8::1"},
	}
	for _, tt := range tests {
		compiled := compile(t, list(t, tt.list), database)
		for _, addr := range strings.Fields(tt.permit) {
			if !compiled.Permit(must(addr)) {
				t.Errorf("%s: %s is denied", tt.list, addr)
			}
		}
		for _, addr := range strings.Fields(tt.deny) {
			if compiled.Permit(must(addr)) {
				t.Errorf("%s: %s is permitted", tt.list, addr)
			}
		}
	}
}

// asked is a database that must not be asked about anything but countries.
type asked struct {
	countries
	t *testing.T
}

func (a asked) Continent(addr netip.Addr) (string, bool) {
	a.t.Errorf("asked for the continent of %s", addr)
	return "", false
}

func (a asked) ASN(addr netip.Addr) (uint32, bool) {
	a.t.Errorf("asked for the network of %s", addr)
	return 0, false
}

func TestPlacesAreNotLookedUpInVain(t *testing.T) {
	database := asked{countries{must("192.0.2.1"): "SE"}, t}
	for _, lines := range []string{"permit country SE;deny continent EU;deny asn 64500", "permit 192.0.2.0/24;deny continent EU;deny asn 64500"} {
		if !compile(t, list(t, lines), database).Permit(must("192.0.2.1")) {
			t.Errorf("%s: denied", lines)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	all := everything(countries{})
	without := func(change func(*Options)) Options {
		o := all
		change(&o)
		return o
	}
	tests := []struct {
		line    string
		options Options
		want    string
	}{
		{"deny country SE", Options{}, `acl entry "deny country SE" needs a database: --geoip FILE`},
		{"deny country SE", Options{HasCountry: true}, `needs a database: --geoip FILE`},
		{"permit country unknown", without(func(o *Options) { o.HasCountry = false }), `acl entry "permit country unknown" needs a database: --geoip FILE`},
		{"deny continent EU", without(func(o *Options) { o.HasContinent = false }), `acl entry "deny continent EU" needs a database of continents or countries: --geoip FILE`},
		{"deny asn 64500", without(func(o *Options) { o.HasASN = false }), `acl entry "deny asn 64500" needs a database of autonomous systems, as GeoLite2-ASN.mmdb: --geoip FILE`},
		{"deny country QQ", all, `acl entry "deny country QQ" asks for no country: QQ is neither in ISO 3166 (alpha-2) nor in a database`},
		{"deny file 1", without(func(o *Options) { o.Files = nil }), `acl entry "deny file 1" needs a file, and there are none here`},
		{"deny file 1", without(func(o *Options) {
			o.Files = func(path string) (*FileSet, error) { return nil, errors.New(path + ":3: broken") }
		}), `acl entry "deny file 1" cannot be asked: 1:3: broken`},
	}
	for _, tt := range tests {
		compiled, err := CompileWith(append(list(t, "permit 192.0.2.1"), entry(t, tt.line)), tt.options)
		if err == nil || err.Error() != tt.want && !strings.HasSuffix(err.Error(), " "+tt.want) || compiled != nil {
			t.Errorf("%s: got %v, want %s", tt.line, err, tt.want)
		}
	}
	for _, e := range []Entry{{}, {Addr: local}, {Addr: local, Mask: must("::")}, {Peer: "pid", ID: 1}} {
		if _, err := CompileWith(List{e}, all); err == nil {
			t.Errorf("%#v: no error", e)
		}
	}
}

func TestOldCompileKnowsOnlyCountries(t *testing.T) {
	if _, err := Compile(list(t, "deny country QQ"), countries{}); err != nil {
		t.Error(err)
	}
	for _, line := range []string{"deny continent EU", "deny asn 64500", "deny file 1"} {
		if _, err := Compile(list(t, line), countries{}); err == nil {
			t.Errorf("%s: no error", line)
		}
	}
}

func TestListsHaveAnEnd(t *testing.T) {
	l := make(List, MaxEntries)
	for i := range l {
		l[i].All = true
	}
	if _, err := CompileWith(l, Options{}); err != nil {
		t.Error(err)
	}
	_, err := CompileWith(append(l, Entry{All: true}), Options{})
	if err == nil || !strings.Contains(err.Error(), "access list with 100001 entries: expected at most 100000") {
		t.Errorf("one more: %v", err)
	}
}

func TestUnixPeers(t *testing.T) {
	root, alice, unknown := Client{Unix: true}, Client{Unix: true, UID: 1000, GID: 100}, Client{}
	trusted := Client{Unix: true, UID: 1000, Addr: must("192.0.2.1")} // alice says for whom she speaks
	tests := []struct {
		list string
		want string // root, alice, unknown, trusted, an address
	}{
		{"", "+++++"},
		{"permit 10.0.0.1", "+++--"},
		{"deny all", "-----"},
		{"permit uid 0", "+----"},
		{"deny uid 0", "-+-++"},
		{"permit gid 100", "-+---"},
		{"permit 10.0.0.1;deny uid 0", "-+-++"},
		{"deny uid 0;permit 10.0.0.1", "-----"},
		{"permit uid 1000;deny 192.0.2.0/24", "++-+-"},
		{"deny 192.0.2.0/24;permit uid 1000", "-+---"},
		{"permit gid 100;deny uid 1000", "++--+"},
		{"permit all;deny uid 0", "+++++"},
		{"permit uid 4294967294", "-----"},
	}
	for _, tt := range tests {
		compiled := compile(t, list(t, tt.list), nil)
		var got strings.Builder
		for _, c := range []Client{root, alice, unknown, trusted, {Addr: must("192.0.2.1")}} {
			v := compiled.Judge(&c, Address)
			got.WriteString(map[Verdict]string{{Permit: true, Decided: true}: "+", {Decided: true}: "-"}[Verdict{v.Permit, v.Decided, 0}])
		}
		if got.String() != tt.want {
			t.Errorf("%s: got %s, want %s", tt.list, &got, tt.want)
		}
	}
}

func TestJudgeDoesNotAllocate(t *testing.T) {
	lines := "deny 10.0.0.5 255.0.0.255;deny uid 1;deny gid 1;deny country NO;deny country unknown;deny continent AS;deny asn 64501;permit all"
	compiled := compile(t, list(t, lines), fixed{})
	for _, c := range []Client{{Addr: local}, {Addr: must("2001:db8::1")}, {Unix: true}} {
		if n := testing.AllocsPerRun(100, func() { compiled.Judge(&c, Address) }); n != 0 {
			t.Errorf("%+v: %v allocations", c, n)
		}
		if v := compiled.Judge(&c, Address); fmt.Sprint(v) != "{true true 7}" {
			t.Errorf("%+v: an entry matches early: %+v", c, v)
		}
	}
}

// fixed is a database with one place for all.
type fixed struct{ countries }

func (fixed) Country(netip.Addr) (string, bool)   { return "SE", true }
func (fixed) Continent(netip.Addr) (string, bool) { return "EU", true }
func (fixed) ASN(netip.Addr) (uint32, bool)       { return 64500, true }
