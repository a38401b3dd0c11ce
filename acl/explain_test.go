package acl

import (
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	database := countries{must("192.0.2.1"): "SE", must("2001:db8::1"): "NO"}
	file := func(string) (*FileSet, error) {
		return ParseFile("any", strings.NewReader("# bad\n198.51.100.0/24\n2001:db8:bad::/48\n"))
	}
	swede := Client{Addr: must("192.0.2.1")}
	tests := []struct {
		list   string
		client Client
		want   string // lines with | between them
	}{
		{"", swede, "the list has no entries: everybody is permitted"},
		{"permit 10.0.0.0/8;deny 192.0.2.0/24", Client{Addr: must("::ffff:192.0.2.1")},
			`entry 2, "deny 192.0.2.0 255.255.255.0", matches: 192.0.2.1 is in 192.0.2.0/24|denied; decided at the stage: address`},
		{"deny 192.0.0.1 255.0.0.255", swede,
			`entry 1, "deny 192.0.0.1 255.0.0.255", matches: 192.0.2.1 under the mask 255.0.0.255 is 192.0.0.1|denied; decided at the stage: address`},
		{"permit all", swede, `entry 1, "permit all", matches: so does every client|permitted; decided at the stage: address`},
		{"deny file /etc/bad", Client{Addr: must("198.51.100.7")},
			`entry 1, "deny file /etc/bad", matches: 198.51.100.7 is in 198.51.100.0/24, line 2 of /etc/bad|denied; decided at the stage: address`},
		{"deny file /etc/bad", Client{Addr: must("2001:db8:bad:1::1")},
			`entry 1, "deny file /etc/bad", matches: 2001:db8:bad:1::1 is in 2001:db8:bad::/48, line 3 of /etc/bad|denied; decided at the stage: address`},
		{"deny country NO;deny country SE", swede,
			`entry 2, "deny country SE", matches: 192.0.2.1 is in country SE by test.mmdb|denied; decided at the stage: address`},
		{"permit continent EU", swede,
			`entry 1, "permit continent EU", matches: 192.0.2.1 is on continent EU by test.mmdb|permitted; decided at the stage: address`},
		{"permit asn 64500", swede,
			`entry 1, "permit asn 64500", matches: 192.0.2.1 is in AS64500 by test.mmdb|permitted; decided at the stage: address`},
		{"deny country unknown", Client{Addr: must("10.0.0.1")},
			`entry 1, "deny country unknown", matches: the country of 10.0.0.1 is unknown by test.mmdb|denied; decided at the stage: address`},
		{"deny country SE;permit country NO", Client{Addr: must("10.0.0.1")},
			`no entry matches: the opposite of the last one, "permit country NO", holds|denied; decided at the stage: address`},
		{"deny uid 0", Client{Unix: true}, `entry 1, "deny uid 0", matches: that is the peer's uid|denied; decided at the stage: address`},
		{"deny gid 1;permit 10.0.0.1", Client{Unix: true}, `no entry matches: the opposite of the last one, "permit 10.0.0.1 255.255.255.255", holds|denied; decided at the stage: address`},
		{"permit gid 0", Client{}, `entry 1, "permit gid 0", matches: the peer's gid is not known, so the client is refused|denied; decided at the stage: address`},
		{"permit 10.0.0.1", Client{}, "no entry matches, and none can be about a client on a Unix socket: it passes|permitted; decided at the stage: address"},
		{"deny sni a.example;permit country SE", swede,
			`entry 1, "deny sni a.example", is open: the name in the ClientHello is not known|` +
				`entry 2, "permit country SE", matches: 192.0.2.1 is in country SE by test.mmdb|permitted, unless an open entry matches; decided at the stage: ClientHello`},
		{"deny sni *.example;permit country SE", Client{Addr: must("192.0.2.1"), Name: "a.example"},
			`entry 1, "deny sni *.example", matches: the client names "a.example"|denied; decided at the stage: ClientHello`},
		{"deny sni *.example;permit country SE", Client{Addr: must("192.0.2.1"), Name: noName},
			`entry 2, "permit country SE", matches: 192.0.2.1 is in country SE by test.mmdb|permitted; decided at the stage: ClientHello`},
		{"deny sni none", Client{Addr: local, Name: noName}, `entry 1, "deny sni none", matches: the client names no host|denied; decided at the stage: ClientHello`},
		{"deny ja4 " + chrome, swede,
			`entry 1, "deny ja4 ` + chrome + `", is open: the fingerprint of the ClientHello is not known|no entry matches: the opposite of the last one, "deny ja4 ` + chrome + `", holds|` +
				`permitted, unless an open entry matches; decided at the stage: ClientHello`},
		{"deny ja4 " + chrome, Client{Addr: local, JA4: func() string { return chrome }},
			`entry 1, "deny ja4 ` + chrome + `", matches: that is the fingerprint|denied; decided at the stage: ClientHello`},
		{"permit client_cert any", swede,
			`entry 1, "permit client_cert any", is open: the client's certificate is not known|no entry matches: the opposite of the last one, "permit client_cert any", holds|` +
				`denied, unless an open entry matches; decided at the stage: certificate`},
		{"permit client_cert any", Client{Addr: local, Cert: certificate(t, nil)},
			`entry 1, "permit client_cert any", matches: the certificate that the client has shown|permitted; decided at the stage: certificate`},
	}
	for _, tt := range tests {
		o := everything(database)
		o.Files = file
		compiled, err := CompileWith(list(t, tt.list), o)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := compiled.Explain(&tt.client), strings.ReplaceAll(tt.want, "|", "\n")+"\n"; got != want {
			t.Errorf("%s:\ngot  %swant %s", tt.list, got, want)
		}
	}
}

func TestExplanationsAreShort(t *testing.T) {
	l := list(t, strings.Repeat("deny client_cert cn a;", 1000)+"permit all")
	got := compile(t, l, nil).Explain(&Client{Addr: local})
	if n := strings.Count(got, "\n"); n != maxOpen+3 || !strings.Contains(got, "\nand 980 more entries are open\nentry 1001, ") {
		t.Errorf("%d lines: %s", n, got)
	}
}

func TestNilListIsExplained(t *testing.T) {
	if got := (*Compiled)(nil).Explain(&Client{}); got != "the list has no entries: everybody is permitted\n" {
		t.Error(got)
	}
}
