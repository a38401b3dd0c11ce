package geo

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/oschwald/geoip2-golang/v2"
)

// names is what MaxMind's records have beside the codes.
var names = fields("en", "Germany", "de", "Deutschland", "zh-CN", "德国")

// Every layout of records, as its publisher documents it.
func TestFormats(t *testing.T) {
	nested := fields(
		"continent", fields("code", "EU", "geoname_id", 6255148, "names", names),
		"country", fields("geoname_id", 2921044, "is_in_european_union", true, "iso_code", "DE", "names", names),
		"registered_country", fields("iso_code", "US", "names", names),
		"represented_country", fields("iso_code", "GB", "names", names, "type", "military"),
	)
	city := nested.Copy().(mmdbtype.Map)
	city["city"] = fields("names", names)
	city["location"] = fields("latitude", mmdbtype.Float64(52.5), "time_zone", "Europe/Berlin")
	city["subdivisions"] = mmdbtype.Slice{fields("iso_code", "BE", "names", names)}
	enterprise := city.Copy().(mmdbtype.Map)
	enterprise["traits"] = fields("autonomous_system_number", 64496, "autonomous_system_organization", "Example", "isp", "Other")
	asn := fields("autonomous_system_number", 64496, "autonomous_system_organization", "Example")
	for _, tt := range []struct {
		kind   string
		record mmdbtype.DataType
		want   Place
	}{
		{"GeoLite2-Country", nested, Place{"DE", "EU", 0, ""}},
		{"GeoIP2-Country", nested, Place{"DE", "EU", 0, ""}},
		{"GeoLite2-City", city, Place{"DE", "EU", 0, ""}},
		{"GeoIP2-Enterprise", enterprise, Place{"DE", "EU", 64496, "Example"}},
		{"GeoLite2-ASN", asn, Place{"", "", 64496, "Example"}},
		{"GeoIP2-ISP", fields("autonomous_system_number", 64496, "autonomous_system_organization", "Example",
			"isp", "Other", "organization", "Third"), Place{"", "", 64496, "Example"}},
		{"GeoIP2-Country, registered only", fields("registered_country", fields("iso_code", "US"), "traits", asn), Place{"", "", 64496, "Example"}},
		{"DBIP-Country-Lite", nested, Place{"DE", "EU", 0, ""}},
		{"DBIP-City-Lite", city, Place{"DE", "EU", 0, ""}},
		{"DBIP-ASN-Lite (compat=GeoLite2-ASN)", asn, Place{"", "", 64496, "Example"}},
		{"DBIP-Location-ISP (compat=Enterprise)", enterprise, Place{"DE", "EU", 64496, "Example"}},
		{"ipinfo country.mmdb", fields("continent", "EU", "continent_name", "Europe", "country", "DE", "country_name", "Germany"),
			Place{"DE", "EU", 0, ""}},
		{"ipinfo country_asn.mmdb", fields("as_domain", "example.net", "as_name", "Example", "asn", "AS64496",
			"continent", "EU", "continent_name", "Europe", "country", "DE", "country_name", "Germany"), Place{"DE", "EU", 64496, "Example"}},
		{"ipinfo lite.mmdb", fields("as_domain", "example.net", "as_name", "Example", "asn", "AS64496",
			"continent", "Europe", "continent_code", "EU", "country", "Germany", "country_code", "DE"), Place{"DE", "EU", 64496, "Example"}},
		{"ipinfo asn.mmdb", fields("asn", "AS64496", "domain", "example.net", "name", "Example", "route", "192.0.2.0/24", "type", "isp"),
			Place{"", "", 64496, "Example"}},
		{"ipinfo standard_location.mmdb", fields("city", "Berlin", "country", "DE", "lat", "52.5", "region", "Berlin"), Place{"DE", "EU", 0, ""}},
		{"country ipvAll", fields("country_code", "DE"), Place{"DE", "EU", 0, ""}},
		{"country ipvAll, lower case", fields("country_code", "de"), Place{"DE", "EU", 0, ""}},
		{"asn ipvAll", asn, Place{"", "", 64496, "Example"}},
		{"largest AS number", fields("asn", "AS4294967295"), Place{"", "", 4294967295, ""}},
		{"no continent in the table", fields("country_code", "A1"), Place{"A1", "", 0, ""}},
	} {
		db := mustOpen(t, write(t, build(t, tt.kind, records{"192.0.2.0/24": tt.record})))
		if got := db.Lookup(netip.MustParseAddr("192.0.2.1")); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.kind, got, tt.want)
		}
	}
}

// What is in a place where a code or a number should be, and is none.
func TestFieldsThatSayNothing(t *testing.T) {
	for _, record := range []mmdbtype.DataType{
		fields("country_code", ""),
		fields("country_code", "DEU"),
		fields("country_code", "ZZ"),
		fields("country_code", "1A"),
		fields("country_code", "\x00A"),
		fields("country_code", "ß"),
		fields("country_code", 276),
		fields("country", fields("iso_code", fields("iso_code", "DE"))),
		fields("country", mmdbtype.Slice{mmdbtype.String("DE")}),
		fields("continent", "Europe", "continent_code", "XX"),
		fields("asn", "AS"),
		fields("asn", "AS0"),
		fields("asn", "AS4294967296"),
		fields("asn", mmdbtype.Uint64(1<<32+64496)),
		fields("asn", mmdbtype.Float64(64496)),
		fields("as_name", "Example", "autonomous_system_organization", "Example"),
		fields("traits", "DE"),
		mmdbtype.Slice{mmdbtype.String("DE")},
	} {
		content := records{"192.0.2.0/24": record, "198.51.100.0/24": fields("country", "SE")}
		db := mustOpen(t, write(t, build(t, "x", content)))
		if got := db.Lookup(netip.MustParseAddr("192.0.2.1")); got != (Place{}) {
			t.Errorf("%v: got %+v, want nothing", record, got)
		}
	}
}

func TestOrgIsPrintable(t *testing.T) {
	for org, want := range map[string]string{
		"Exämple AG":                   "Exämple AG",
		"a\r\nX-Geo-Country: SE":       "aX-Geo-Country: SE",
		"a\x1b[2Jb\x00\u202ec\xff":     "a[2Jbc",
		strings.Repeat("x", 255) + "ä": strings.Repeat("x", 255),
		strings.Repeat("x", 254) + "ä": strings.Repeat("x", 254) + "ä",
		strings.Repeat("ä", 5000):      strings.Repeat("ä", 128),
	} {
		db := mustOpen(t, write(t, build(t, "x", records{"192.0.2.0/24": fields("asn", 64496, "as_name", org)})))
		if got := db.Lookup(netip.MustParseAddr("192.0.2.1")); got.Org != want {
			t.Errorf("%q: got %q, want %q", org, got.Org, want)
		}
	}
}

// geoip2-golang knows MaxMind's own types, and says the same of them.
func TestAgreesWithGeoIP2(t *testing.T) {
	enterprise := records{}
	for prefix, code := range map[string]string{"192.0.2.0/24": "SE", "198.51.100.0/24": "BR", "2001:db8::/32": "ZA"} {
		enterprise[prefix] = fields(
			"continent", fields("code", ContinentOf(code), "names", names),
			"country", fields("iso_code", code, "names", names),
			"registered_country", fields("iso_code", "US"),
			"traits", fields("autonomous_system_number", len(prefix), "autonomous_system_organization", "Org of "+code),
		)
	}
	content := build(t, "GeoIP2-Enterprise", enterprise)
	theirs, err := geoip2.OpenBytes(content)
	if err != nil {
		t.Fatal(err)
	}
	ours := mustOpen(t, write(t, content))
	for _, a := range []string{"192.0.2.1", "198.51.100.255", "2001:db8::1", "203.0.113.1", "2001:db9::1"} {
		addr := netip.MustParseAddr(a)
		r, err := theirs.Enterprise(addr)
		if err != nil {
			t.Fatal(err)
		}
		want := Place{r.Country.ISOCode, r.Continent.Code, uint32(r.Traits.AutonomousSystemNumber), r.Traits.AutonomousSystemOrganization}
		if got := ours.Lookup(addr); got != want {
			t.Errorf("%s: got %+v, want %+v", a, got, want)
		}
	}
}
