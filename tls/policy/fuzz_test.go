package policy

import (
	stdtls "crypto/tls"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// FuzzCompile looks for settings that come to a policy that is weaker than
// they may be, or that no client could speak.
func FuzzCompile(f *testing.F) {
	f.Add("", "", "", "", "", false, false)
	f.Add("modern", "tls1.2", "HIGH:!aNULL:@STRENGTH", "no_tlsv1.2", "X25519:P-256", false, true)
	f.Add("intermediate", "ssl3", "DEFAULT:-SHA1:+kRSA:AES128-SHA", "no_tlsv1 no_tlsv1.1", "x448,prime256v1", true, false)
	f.Add("", "", "SUITEB128:FOO", "cipher_server_preference", "X25519MLKEM768", true, false)
	f.Add("", "", "kRSA+SHA:TLS_AES_128_GCM_SHA256:DES-CBC3-SHA;ECDHE+AESGCM", "", "", false, false)
	f.Fuzz(func(t *testing.T, profile, min, ciphers, options, groups string, compat, pq bool) {
		o := Options{profile, min, ciphers, options, groups, compat, pq}
		for _, fips := range []bool{false, true} {
			p, err := compile(o, fips)
			again, errAgain := compile(o, fips)
			if !reflect.DeepEqual(p, again) || (err == nil) != (errAgain == nil) {
				t.Fatalf("%+v: two answers", o)
			}
			if err != nil {
				if strings.ContainsFunc(err.Error(), unicode.IsControl) && !strings.ContainsFunc(min, unicode.IsControl) {
					t.Fatalf("%+v: control characters in %q", o, err)
				}
				continue
			}
			checkSound(t, o, p)
			if fips && slices.Contains(p.Groups, uint16(stdtls.X25519)) {
				t.Fatalf("%+v: X25519 in FIPS 140-3 mode", o)
			}
		}
	})
}

// checkSound holds what every policy must keep.
func checkSound(t *testing.T, o Options, p Policy) {
	t.Helper()
	if p.Max != stdtls.VersionTLS13 || p.Min < stdtls.VersionTLS12 && !o.Compat || p.Min > p.Max {
		t.Fatalf("%+v: versions %x to %x", o, p.Min, p.Max)
	}
	if (p.CipherSuites == nil) != (p.Min == stdtls.VersionTLS13) || len(p.Groups) == 0 || len(p.Explain) < 3 {
		t.Fatalf("%+v: incomplete: %+v", o, p)
	}
	for _, id := range p.CipherSuites {
		i := slices.IndexFunc(allSuites(), func(s suite) bool { return s.id == id })
		if i < 0 {
			t.Fatalf("%+v: suite %s", o, stdtls.CipherSuiteName(id))
		}
		if allSuites()[i].flaws != 0 && len(p.Warnings) == 0 {
			t.Fatalf("%+v: %s without a warning", o, stdtls.CipherSuiteName(id))
		}
		if allSuites()[i].flaws&staticRSA != 0 && !strings.Contains(o.Ciphers, "RSA") && !strings.Contains(o.Ciphers, "AES") {
			t.Fatalf("%+v: %s, unasked for", o, stdtls.CipherSuiteName(id))
		}
	}
	for _, id := range p.Groups {
		if name := stdtls.CurveID(id).String(); o.RequirePQ && !strings.Contains(name, "MLKEM") {
			t.Fatalf("%+v: group %s", o, name)
		}
	}
}
