package acl

import (
	"strings"
	"testing"
)

// words splits a line as the configuration file does: a word with blanks stands
// in double quotes, # begins a comment.
func words(line string) (list []string) {
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			return list
		}
		end := " \t"
		if line[0] == '"' {
			end, line = `"`, line[1:]
		}
		i := strings.IndexAny(line, end)
		if i < 0 {
			return append(list, line)
		}
		list, line = append(list, line[:i]), line[i+1:]
	}
}

func entry(t testing.TB, line string) Entry {
	t.Helper()
	e, err := ParseEntry(words(line))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestParseEntry(t *testing.T) {
	tests := []struct{ words, want, warning string }{
		{"permit 10.0.0.1", "permit 10.0.0.1 255.255.255.255", ""},
		{"deny 10.0.0.0 255.0.0.0", "deny 10.0.0.0 255.0.0.0", ""},
		{"deny 10.0.0.0/8", "deny 10.0.0.0 255.0.0.0", ""},
		{"deny 0.0.0.0/0", "deny 0.0.0.0 0.0.0.0", ""},
		{"permit 10.0.0.5 255.0.0.255", "permit 10.0.0.5 255.0.0.255", ""},
		{"permit 10.0.0.5 255.0.0.0", "permit 10.0.0.5 255.0.0.0", `perhaps "permit 10.0.0.0 255.0.0.0" was meant`},
		{"permit ::1", "permit ::1/128", ""},
		{"deny 2001:DB8::/32", "deny 2001:db8::/32", ""},
		{"deny ::/0", "deny ::/0", ""},
		{"deny 2001:db8::1/32", "deny 2001:db8::1/32", `perhaps "deny 2001:db8::/32" was meant`},
		{"deny ::ffff:192.0.2.1", "deny 192.0.2.1 255.255.255.255", ""},
		{"deny ::ffff:192.0.2.0/120", "deny 192.0.2.0 255.255.255.0", ""},
		{"deny ::ffff:192.0.2.1/64", "deny ::ffff:192.0.2.1/64", `perhaps "deny ::/64" was meant`},
		{"permit country se", "permit country SE", ""},
		{"permit country Unknown", "permit country unknown", ""},
		{"deny continent eu", "deny continent EU", ""},
		{"deny asn 64500", "deny asn 64500", ""},
		{"deny asn as4294967295", "deny asn 4294967295", ""},
		{"permit file /etc/pen/office.txt", "permit file /etc/pen/office.txt", ""},
		{"permit file a#b", `permit file "a#b"`, ""},
		{"permit uid 0", "permit uid 0", ""},
		{"deny gid 4294967294", "deny gid 4294967294", ""},
		{"deny all", "deny all", ""},
	}
	for _, tt := range tests {
		e, err := ParseEntry(strings.Fields(tt.words))
		if err != nil || e.String() != tt.want {
			t.Errorf("%q: got %q, %v, want %q", tt.words, e, err, tt.want)
		}
		if got := e.Warning(); (got == "") != (tt.warning == "") || !strings.Contains(got, tt.warning) {
			t.Errorf("%q: warning %q, want %q", tt.words, got, tt.warning)
		}
	}
}

func TestParseEntryErrors(t *testing.T) {
	tests := []struct{ words, want string }{
		{"", "too short: expected permit|deny"},
		{"permit", "too short"},
		{"Permit all", `begins with "Permit": expected permit or deny`},
		{"permit everybody", `"everybody" is not an address, country or all`},
		{"permit 1.2.3", `"1.2.3" is not an address`},
		{"permit 1.2.3.256", `"1.2.3.256" is not an address`},
		{"permit 1.2.3.4 255.256.0.0", `"255.256.0.0" is not a mask`},
		{"permit 1.2.3.4 ffff::", `"ffff::" is not a mask`},
		{"permit 1.2.3.4 255.255.255.255 x", `unexpected "x" after "permit 1.2.3.4 255.255.255.255"`},
		{"permit 1.2.3.4/32 255.255.255.255", `unexpected "255.255.255.255"`},
		{"permit 1.2.3.0/33", `prefix length "33" is not from 0 to 32`},
		{"permit 1.2.3.0/", `prefix length "" is not`},
		{"permit 1.2.3.4/24", `1.2.3.4/24 has bits outside its mask and would match nobody: expected 1.2.3.0/24`},
		{"permit ::1/129", `prefix length "129" is not from 0 to 128`},
		{"permit ::1/x", `prefix length "x"`},
		{"permit ::1::", `"::1::" is not an IPv6 address`},
		{"permit fe80::1%eth0", `is not an IPv6 address`},
		{"permit ::1 255.0.0.0", `unexpected "255.0.0.0"`},
		{"deny country", "without a code"},
		{"deny country DEU", `"DEU" is not a code of two letters`},
		{"deny country D1", `"D1" is not a code of two letters`},
		{"deny country DE FR", `unexpected "FR"`},
		{"deny country", "country without a code: expected two letters, as in country SE, or unknown"},
		{"deny continent", "continent without a code: expected AF, AN, AS, EU, NA, OC or SA"},
		{"deny continent SE", `continent "SE" is not one of AF, AN, AS, EU, NA, OC or SA`},
		{"deny continent unknown", `continent "unknown" is not one of`},
		{"deny asn", "asn without a number"},
		{"deny asn 0", `asn "0" is not the number of an autonomous system, from 1 to 4294967295`},
		{"deny asn AS", `asn "AS" is not`},
		{"deny asn +1", `asn "+1" is not`},
		{"deny asn 4294967296", `asn "4294967296" is not`},
		{"deny asn 64500 64501", `unexpected "64501" after "deny asn 64500"`},
		{"deny file", "file without a path"},
		{`deny file a"b`, `file "a\"b": expected a path without double quotes`},
		{"deny file a\x01", `file "a\x01": expected a path`},
		{"permit uid", "uid without a number: expected one, as in uid 1000"},
		{"permit gid", "gid without a number: expected one, as in gid 1000"},
		{"permit uid root", `uid "root" is not a number from 0 to 4294967294; names are not looked up`},
		{"permit gid -1", `gid "-1" is not a number`},
		{"permit gid 4294967295", `gid "4294967295" is not a number`},
		{"deny all of-them", `unexpected "of-them" after "deny all"`},
	}
	for _, tt := range tests {
		e, err := ParseEntry(strings.Fields(tt.words))
		if err == nil || !strings.Contains(err.Error(), tt.want) || e != (Entry{}) {
			t.Errorf("%q: got %q, %v, want an error with %q", tt.words, e, err, tt.want)
		}
	}
}

func FuzzParseEntryIsReadBack(f *testing.F) {
	for _, s := range []string{
		"permit 10.0.0.1", "deny 10.0.0.5 255.0.255.0", "deny 10.0.0.0/8", "permit 2001:db8::/32",
		"deny ::ffff:1.2.3.4/100", "deny country se", "permit all", "deny ::ffff:1.2.3.4/90",
		"permit sni *.a.example", "deny sni none", "deny ja4 t13d1516h2_8daaf6152771_e5627efa2ab1", "permit client_cert any",
		`permit client_cert subject CN=a\ b,O=#04,*`, "deny client_cert san *@a.example", "deny client_cert issuer cn=#*+O=*",
		"permit client_cert spki 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
		"permit continent eu", "deny asn AS64500", "deny asn 4294967295", "deny country Unknown", "permit file /a#b", "deny file x",
		"permit uid 0", "deny gid 4294967294",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		e, err := ParseEntry(strings.Fields(line))
		if err != nil {
			return
		}
		again, err := ParseEntry(words(e.String()))
		if err != nil || again != e {
			t.Errorf("%q: %q reads back as %q, %v", line, e, again, err)
		}
		_, err = CompileWith(List{e}, everything(countries{}))
		if missing := e.Country != "" && e.Country != UnknownCountry && !(countries{}).KnowsCountry(e.Country); (err != nil) != missing {
			t.Errorf("%q: compiled: %v", line, err)
		}
	})
}
