package tls

import (
	stdtls "crypto/tls"
	"strconv"
	"strings"
	"testing"
)

// codes reads the lists of JA4's raw form.
func codes[T ~uint16](t testing.TB, list string) []T {
	t.Helper()
	var ids []T
	for word := range strings.FieldsSeq(list) {
		id, err := strconv.ParseUint(word, 16, 16)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, T(id))
	}
	return ids
}

const (
	chromeCiphers = "1301 1302 1303 c02b c02f c02c c030 cca9 cca8 c013 c014 009c 009d 002f 0035"
	chromeSchemes = "0403 0804 0401 0503 0805 0501 0806 0601"
)

// TestJA4 begins with browsers, whose fingerprints are published (FoxIO's
// JA4.md, and ja4db.com).
func TestJA4(t *testing.T) {
	for _, test := range []struct {
		name                                   string
		ciphers, extensions, schemes, versions string
		protocols                              []string
		want                                   string
	}{
		{"FoxIO's example", chromeCiphers, "001b 0000 0033 0010 4469 0017 002d 000d 0005 0023 0012 002b ff01 000b 000a 0015",
			chromeSchemes, "0304 0303", []string{"h2", "http/1.1"}, "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		{"GREASE", "7a7a " + chromeCiphers, "dada 001b 0000 0033 0010 4469 0017 002d 000d 0005 0023 0012 002b ff01 000b 000a 0015 1a1a",
			"0a0a " + chromeSchemes, "fafa 0304 0303", []string{"h2", "http/1.1"}, "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		{"Chrome 120, in another order", chromeCiphers, "fe0d 0000 0017 ff01 000a 000b 0023 0010 0005 000d 0012 0033 002d 002b 001b 4469",
			chromeSchemes, "0303 0304", []string{"h2"}, "t13d1516h2_8daaf6152771_02713d6af862"},
		{"Chrome 143", chromeCiphers, "002d 0033 0010 fe0d 0017 44cd 0000 000b 000a 002b ff01 0023 0012 0005 000d 001b",
			chromeSchemes, "0304 0303", []string{"h2", "http/1.1"}, "t13d1516h2_8daaf6152771_d8a2da3f94cd"},
		{"nothing", "", "", "", "", nil, "t00i000000_000000000000_000000000000"},
		{"GREASE alone", "0a0a", "1a1a", "", "2a2a", nil, "t00i000000_000000000000_000000000000"},
		{"a name alone", "", "0000 0010", "0403", "0303", []string{"h2"}, "t12d0002h2_000000000000_000000000000"},
		{"old versions", "", "", "", "0301", nil, "t10i000000_000000000000_000000000000"},
		{"old versions", "", "", "", "0301 0302", nil, "t11i000000_000000000000_000000000000"},
		{"an unknown version", "", "", "", "7f1c 0304", nil, "t00i000000_000000000000_000000000000"},
	} {
		chi := &stdtls.ClientHelloInfo{
			CipherSuites: codes[uint16](t, test.ciphers), Extensions: codes[uint16](t, test.extensions),
			SignatureSchemes: codes[stdtls.SignatureScheme](t, test.schemes), SupportedVersions: codes[uint16](t, test.versions),
			SupportedProtos: test.protocols,
		}
		if got := ja4(chi, false); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	many := &stdtls.ClientHelloInfo{CipherSuites: make([]uint16, 300), Extensions: make([]uint16, 100)}
	if got := ja4(many, false); !strings.HasPrefix(got, "t00d9999") {
		t.Errorf("many: %s", got)
	}
}

// TestJA4WithoutAlgorithms holds that the list of extensions then stands alone,
// without an underscore: FoxIO's JA4.md.
func TestJA4WithoutAlgorithms(t *testing.T) {
	chi := &stdtls.ClientHelloInfo{Extensions: codes[uint16](t, "000b 000a")}
	if want := ja4Hash([]byte("000a,000b")); !strings.HasSuffix(ja4(chi, false), "_"+want) {
		t.Errorf("%s, want the end %s", ja4(chi, false), want)
	}
}

func TestJA4ALPN(t *testing.T) {
	for protocol, want := range map[string]string{
		"": "00", "h2": "h2", "http/1.1": "h1", "h": "hh", "spdy/3": "s3",
		"\xab": "ab", "\xab\xcd": "ad", "0\xab": "3b", "01\xab": "3b", "a-": "6d", "\x00\xff0": "00", "\x20a": "21",
	} {
		if got := ja4ALPN([]string{protocol, "h2"}); got != want {
			t.Errorf("%q: %s, want %s", protocol, got, want)
		}
	}
	if got := ja4ALPN(nil); got != "00" {
		t.Errorf("none: %s", got)
	}
}

// TestJA4OfClient holds that the fingerprint of a real client has the form,
// and stays the same.
func TestJA4OfClient(t *testing.T) {
	f := newFarm(t)
	term := fixed(profile(t, f.source(), Options{}))
	seen := make(map[string]bool)
	for range 3 {
		o := tryChecked(t, term, f.client(), Checks{Hello: func(h *Hello) error { seen[h.JA4()] = true; return nil }})
		if o.both() != nil || !seen[o.info.JA4] || !strings.HasPrefix(o.info.JA4, "t13d") {
			t.Errorf("JA4 %q (%v)", o.info.JA4, o.both())
		}
	}
	if len(seen) != 1 {
		t.Errorf("fingerprints %v", seen)
	}
	if o := try(t, term, f.client()); o.info.JA4 != "" {
		t.Errorf("JA4 %q, and nobody asked", o.info.JA4)
	}
}

func BenchmarkJA4(b *testing.B) {
	chi := &stdtls.ClientHelloInfo{
		CipherSuites: codes[uint16](b, chromeCiphers), Extensions: codes[uint16](b, "001b 0000 0033 0010 4469 0017 002d 000d 0005 0023 0012 002b ff01 000b 000a 0015"),
		SignatureSchemes: codes[stdtls.SignatureScheme](b, chromeSchemes), SupportedVersions: []uint16{0x0304}, SupportedProtos: []string{"h2"},
	}
	b.ReportAllocs()
	for b.Loop() {
		ja4(chi, false)
	}
}
