package tls

import (
	stdtls "crypto/tls"
	"slices"
	"strings"
	"testing"

	"edgepen/certs"
	"edgepen/tls/policy"
)

func TestNewProfile(t *testing.T) {
	f := newFarm(t)
	const wantCAs = "needs the CAs to trust: give -G file or -A dir, or -G system for the system's roots"
	for _, test := range []struct {
		options Options
		ca      bool
		err     string
	}{
		{Options{}, false, ""},
		{Options{ALPN: "h2, http/1.1", ClientAuth: "off", StrictSNI: true}, false, ""},
		{Options{ClientAuth: "required"}, true, ""},
		{Options{ClientAuth: "optional"}, true, ""},
		{Options{ClientAuth: "required"}, false, "-R " + wantCAs},
		{Options{ClientAuth: "optional"}, false, "a client certificate that is optional " + wantCAs},
		{Options{ClientAuth: "maybe"}, true, `client certificates "maybe" not known; expected off, optional or required`},
		{Options{Policy: policy.Options{MinVersion: "tls9"}}, false, "protocol version tls9 not known; expected ssl23, ssl2, ssl3, tls1, tls1.2 or tls1.3"},
		{Options{ALPN: "h2,,http/1.1"}, false, `ALPN list "h2,,http/1.1": expected names of 1 to 255 bytes, separated by commas`},
		{Options{ALPN: strings.Repeat("x", 256)}, false, `ALPN list "` + strings.Repeat("x", 256) + `": expected names of 1 to 255 bytes, separated by commas`},
	} {
		source := f.source()
		if test.ca {
			source.CAFile = f.ca
		}
		_, err := NewProfile(Material{Set: load(t, source)}, test.options)
		if (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
			t.Errorf("%+v: error %v, want %s", test.options, err, test.err)
		}
	}
	for _, m := range []Material{{}, {Set: load(t, certs.Source{})}} {
		if _, err := NewProfile(m, Options{}); err == nil || err.Error() != "no certificate to speak TLS with" {
			t.Errorf("a profile without a certificate: %v", err)
		}
	}
	if _, err := NewProfile(Material{Set: load(t, certs.Source{}), More: func(string) []*certs.Certificate { return nil }}, Options{}); err != nil {
		t.Errorf("certificates that come from elsewhere: %v", err)
	}
}

// TestRemarks holds that the Profile passes on what the Set and the policy
// have to say, and adds who passes.
func TestRemarks(t *testing.T) {
	f := newFarm(t)
	set := load(t, f.withCA())
	set.Warnings = []string{"old"}
	o := Options{Policy: policy.Options{MinVersion: "ssl3", Compat: true}, ClientAuth: "required", StrictSNI: true, ALPN: "h2"}
	rules, err := policy.Compile(o.Policy)
	if err != nil {
		t.Fatal(err)
	}
	p := profileOf(t, Material{Set: set}, o)
	if got := p.Warnings(); !slices.Equal(got, append([]string{"old"}, rules.Warnings...)) || len(got) < 2 {
		t.Errorf("warnings %q", got)
	}
	if got := p.Notices(); !slices.Equal(got, rules.Notices) {
		t.Errorf("notices %q", got)
	}
	want := append(slices.Clone(rules.Explain),
		"names: clients that name no host, or one without a certificate, are refused (unrecognized_name)",
		"protocols (ALPN): h2; clients that offer others only are refused",
		"session tickets: random keys of this process, a new one each 24 hours, 7 kept",
		"client certificates: required; each must be vouched for by one of 1 CAs (-G, -A)")
	if got := p.Explain(); !slices.Equal(got, want) {
		t.Errorf("explained as\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for word, want := range map[string]string{"": "client certificates: none are asked for", "optional": "client certificates: optional;"} {
		lines := profileOf(t, Material{Set: set}, Options{ClientAuth: word}).Explain()
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, want) {
			t.Errorf("%q is explained as %q", word, last)
		}
	}
}

// TestPolicy tries clients of one version, suite or curve each.
func TestPolicy(t *testing.T) {
	f := newFarm(t)
	version := func(v uint16) *stdtls.Config {
		c := f.client()
		c.MinVersion, c.MaxVersion = v, v
		return c
	}
	suite := func(id uint16) *stdtls.Config {
		c := version(stdtls.VersionTLS12)
		c.CipherSuites = []uint16{id}
		return c
	}
	curve := func(id stdtls.CurveID) *stdtls.Config {
		c := f.client()
		c.CurvePreferences = []stdtls.CurveID{id}
		return c
	}
	const modern, compat, compat12, only13 = 0, 1, 2, 3
	profiles := []*Profile{
		modern:   profile(t, f.source(), Options{}),
		compat:   profile(t, f.source(), Options{Policy: policy.Options{Compat: true}}),
		compat12: profile(t, f.source(), Options{Policy: policy.Options{Compat: true, MinVersion: "tls1.2"}}),
		only13:   profile(t, f.source(), Options{Policy: policy.Options{MinVersion: "tls1.3"}}),
	}
	for _, test := range []struct {
		name   string
		client *stdtls.Config
		serves []int // which of profiles
	}{
		{"TLS 1.0", version(stdtls.VersionTLS10), []int{compat}},
		{"TLS 1.1", version(stdtls.VersionTLS11), []int{compat}},
		{"TLS 1.2", version(stdtls.VersionTLS12), []int{modern, compat, compat12}},
		{"TLS 1.3", version(stdtls.VersionTLS13), []int{modern, compat, compat12, only13}},
		{"GCM", suite(stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), []int{modern, compat, compat12}},
		{"ChaCha20", suite(stdtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256), []int{modern, compat, compat12}},
		{"CBC", suite(stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA), []int{compat, compat12}},
		{"X25519MLKEM768", curve(stdtls.X25519MLKEM768), []int{modern, compat, compat12, only13}},
		{"X25519", curve(stdtls.X25519), []int{modern, compat, compat12, only13}},
		{"P-256", curve(stdtls.CurveP256), []int{modern, compat, compat12, only13}},
		{"P-384", curve(stdtls.CurveP384), []int{modern, compat, compat12, only13}},
		{"P-521", curve(stdtls.CurveP521), nil},
	} {
		for i, p := range profiles {
			o := try(t, fixed(p), test.client)
			if want := slices.Contains(test.serves, i); (o.both() == nil) != want {
				t.Errorf("%s, profile %d: served %v, want %v (%v)", test.name, i, o.both() == nil, want, o.both())
			}
		}
	}
}

func TestALPN(t *testing.T) {
	f := newFarm(t)
	for _, test := range []struct {
		server string
		client []string
		want   string
		served bool
	}{
		{"", []string{"h2"}, "", true},
		{"http/1.1", nil, "", true},
		{"http/1.1", []string{"h2", "http/1.1"}, "http/1.1", true},
		{"h2,http/1.1", []string{"http/1.1", "h2"}, "h2", true},
		{"http/1.1", []string{"imap"}, "", false},
	} {
		client := f.client()
		client.NextProtos = test.client
		o := try(t, fixed(profile(t, f.source(), Options{ALPN: test.server})), client)
		if (o.both() == nil) != test.served || o.info.ALPN != test.want {
			t.Errorf("%q to %q: agreed on %q (%v)", test.client, test.server, o.info.ALPN, o.both())
		}
	}
}
