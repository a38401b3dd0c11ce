package acl

import (
	"strings"
	"testing"
)

func TestParseHandshakeEntry(t *testing.T) {
	const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	tests := []struct {
		line, want string
		stage      Stage
	}{
		{"permit sni WWW.Example.com.", "permit sni www.example.com", Hello},
		{"deny sni *.Example.com", "deny sni *.example.com", Hello},
		{"deny sni none", "deny sni none", Hello},
		{"deny sni _a-1.example", "deny sni _a-1.example", Hello},
		{"deny ja4 t13d1516h2_8DAAF6152771_e5627efa2ab1", "deny ja4 t13d1516h2_8daaf6152771_e5627efa2ab1", Hello},
		{"deny ja4 q13i031000_000000000000_e5627efa2ab1", "deny ja4 q13i031000_000000000000_e5627efa2ab1", Hello},
		{"permit client_cert any", "permit client_cert any", Certificate},
		{"deny client_cert none", "deny client_cert none", Certificate},
		{"permit client_cert cn Alice", "permit client_cert cn Alice", Certificate},
		{`permit client_cert cn "Alice B. #1"`, `permit client_cert cn "Alice B. #1"`, Certificate},
		{`permit client_cert cn none`, `permit client_cert cn none`, Certificate},
		{`permit client_cert subject "cn = Alice, O=*"`, `permit client_cert subject "cn = Alice, O=*"`, Certificate},
		{`deny client_cert issuer *,O=Example`, `deny client_cert issuer *,O=Example`, Certificate},
		{`deny client_cert san spiffe://a.example/*`, `deny client_cert san spiffe://a.example/*`, Certificate},
		{"permit client_cert spki " + strings.ToUpper(sum), "permit client_cert spki " + sum, Certificate},
		{"permit client_cert spki e3:" + sum[2:], "permit client_cert spki " + sum, Certificate},
		{"permit client_cert spki 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "permit client_cert spki " + sum, Certificate},
		{"permit client_cert spki 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", "permit client_cert spki " + sum, Certificate},
		{"deny all", "deny all", Address},
		{"deny country SE", "deny country SE", Address},
	}
	for _, tt := range tests {
		e, err := ParseEntry(words(tt.line))
		if err != nil || e.String() != tt.want || e.Stage() != tt.stage || e.Warning() != "" {
			t.Errorf("%s: got %s, %v, stage %s, warning %q", tt.line, e, err, e.Stage(), e.Warning())
		}
		if again, err := ParseEntry(words(e.String())); err != nil || again != e {
			t.Errorf("%s: %s reads back as %s, %v", tt.line, e, again, err)
		}
	}
}

func TestParseHandshakeEntryErrors(t *testing.T) {
	tests := []struct{ line, want string }{
		{"deny sni", "sni without a name: expected a host, *.NAME or none"},
		{"deny sni a..example", `sni "a..example" is not the name of a host`},
		{"deny sni .a.example", `is not the name of a host`},
		{"deny sni *", `is not the name of a host`},
		{"deny sni a.*.example", `is not the name of a host`},
		{"deny sni *.*.example", `is not the name of a host`},
		{"deny sni müller.example", `in its xn-- form`},
		{"deny sni " + strings.Repeat("a", 64) + ".example", `is not the name of a host`},
		{"deny sni " + strings.Repeat("a.", 130) + "b", `is not the name of a host`},
		{"deny sni a.example b.example", `unexpected "b.example" after "deny sni a.example"`},
		{"deny ja4", "ja4 without a fingerprint: expected a JA4 fingerprint, as in t13d"},
		{"deny ja4 t13d1516h2", `"t13d1516h2" is not a JA4 fingerprint, as in t13d1516h2_8daaf6152771_e5627efa2ab1`},
		{"deny ja4 x13d1516h2_8daaf6152771_e5627efa2ab1", "is not a JA4"},
		{"deny ja4 t13d1516h_8daaf6152771_e5627efa2ab1", "is not a JA4"},
		{"deny ja4 t13d1516h2_8daaf615277_e5627efa2ab1", "is not a JA4"},
		{"deny ja4 t13d1516h2_8daaf615277g_e5627efa2ab1", "is not a JA4"},
		{"deny ja4 t13d1516h2_8daaf6152771_e5627efa2ab1_0", "is not a JA4"},
		{"deny client_cert", "client_cert with nothing: expected subject, cn, san or issuer with a PATTERN, spki with a SHA-256, none or any"},
		{"deny client_cert serial 1", `client_cert with "serial": expected subject`},
		{"deny client_cert cn", "client_cert cn without a pattern"},
		{`deny client_cert cn ""`, "the pattern is empty"},
		{"deny client_cert cn a\x01", "control character (0x01)"},
		{`deny client_cert cn a b`, `unexpected "b" after "deny client_cert cn a"`},
		{`deny client_cert any b`, `unexpected "b" after "deny client_cert any"`},
		{`deny client_cert cn a"b`, `the pattern has a double quote, which no command can hold`},
		{`deny client_cert subject Alice`, `client_cert subject "Alice": "Alice" is not TYPE=VALUE, as in CN=Alice,O=Example`},
		{`deny client_cert subject CN=Alice,`, `"" is not TYPE=VALUE`},
		{`deny client_cert subject mail=a`, `"mail" is not a type of attribute, as CN, OU`},
		{`deny client_cert issuer CN=a\`, `ends in a backslash that escapes nothing`},
		{`deny client_cert issuer CN\=a`, `is not TYPE=VALUE`},
		{`deny client_cert spki 00`, `client_cert spki "00" is not a SHA-256: expected 64 hexadecimal digits or 44 characters of base64`},
	}
	for _, tt := range tests {
		e, err := ParseEntry(words(tt.line))
		if err == nil || !strings.Contains(err.Error(), tt.want) || e != (Entry{}) {
			t.Errorf("%s: got %s, %v, want an error with %s", tt.line, e, err, tt.want)
		}
	}
}

func TestCompileRefusesWhatParseEntryCannotMake(t *testing.T) {
	for _, e := range []Entry{
		{Cert: "serial", Pattern: "1"}, {Cert: CertSPKI, Pattern: "1"}, {Cert: CertSubject, Pattern: "Alice"}, {Cert: CertIssuer},
	} {
		if _, err := Compile(List{e}, nil); err == nil {
			t.Errorf("%+v: no error", e)
		}
	}
}
