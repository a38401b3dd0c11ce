package tls

import (
	stdtls "crypto/tls"
	"slices"
	"strings"
	"testing"
	"time"

	"edgepen/certs"
)

func TestNewProfile(t *testing.T) {
	f := newFarm(t)
	old := func(word, spoken string) string {
		return "protocol version " + word + " is accepted for old command lines only; speaking " + spoken
	}
	compat := "compatibility mode (-Z) allows TLS 1.0 and 1.1 (deprecated by RFC 8996) and CBC suites"
	for _, test := range []struct {
		options  Options
		ca       bool
		warnings []string
		err      string
	}{
		{Options{}, false, nil, ""},
		{Options{MinVersion: "ssl23", ALPN: "h2, http/1.1"}, false, nil, ""},
		{Options{MinVersion: "ssl2"}, false, []string{old("ssl2", "TLS 1.2 and 1.3")}, ""},
		{Options{MinVersion: "ssl3"}, false, []string{old("ssl3", "TLS 1.2 and 1.3")}, ""},
		{Options{MinVersion: "tls1"}, false, []string{old("tls1", "TLS 1.2 and 1.3")}, ""},
		{Options{MinVersion: "tls1", Compat: true}, false, []string{old("tls1", "TLS 1.0 to 1.3"), compat}, ""},
		{Options{MinVersion: "tls1.2", Compat: true}, false, nil, ""},
		{Options{MinVersion: "tls1.3"}, false, nil, ""},
		{Options{RequireClientCert: true}, true, nil, ""},
		{Options{RequireClientCert: true}, false, nil, "-R needs the CAs to trust: give -G file or -A dir, or -G system for the system's roots"},
		{Options{MinVersion: "tls9"}, false, nil, "protocol version tls9 not known; expected ssl23, ssl2, ssl3, tls1, tls1.2 or tls1.3"},
		{Options{ALPN: "h2,,http/1.1"}, false, nil, `ALPN list "h2,,http/1.1": expected names of 1 to 255 bytes, separated by commas`},
		{Options{ALPN: strings.Repeat("x", 256)}, false, nil, `ALPN list "` + strings.Repeat("x", 256) + `": expected names of 1 to 255 bytes, separated by commas`},
	} {
		source := certs.Source{Cert: f.cert}
		if test.ca {
			source.CAFile = f.ca
		}
		set, err := certs.Load(source, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		p, err := NewProfile(set, test.options)
		if test.err != "" {
			if err == nil || err.Error() != test.err {
				t.Errorf("%+v: error %v, want %s", test.options, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", test.options, err)
		} else if !slices.Equal(p.Warnings(), test.warnings) {
			t.Errorf("%+v: warnings %q, want %q", test.options, p.Warnings(), test.warnings)
		}
	}
	if _, err := NewProfile(nil, Options{}); err == nil {
		t.Error("a profile without a certificate")
	}
}

func TestWarningsOfTheSet(t *testing.T) {
	p, err := NewProfile(&certs.Set{Warnings: []string{"old"}}, Options{MinVersion: "ssl3"})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Warnings(); len(got) != 2 || got[0] != "old" {
		t.Errorf("warnings %q", got)
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
		modern:   profile(t, certs.Source{Cert: f.cert}, Options{}),
		compat:   profile(t, certs.Source{Cert: f.cert}, Options{Compat: true}),
		compat12: profile(t, certs.Source{Cert: f.cert}, Options{Compat: true, MinVersion: "tls1.2"}),
		only13:   profile(t, certs.Source{Cert: f.cert}, Options{MinVersion: "tls1.3"}),
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
		o := try(t, fixed(profile(t, certs.Source{Cert: f.cert}, Options{ALPN: test.server})), client)
		if (o.both() == nil) != test.served || o.info.ALPN != test.want {
			t.Errorf("%q to %q: agreed on %q (%v)", test.client, test.server, o.info.ALPN, o.both())
		}
	}
}
