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
		if _, err := Compile(List{e}, countries{}); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	})
}
