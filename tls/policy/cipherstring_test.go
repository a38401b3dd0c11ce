package policy

import (
	stdtls "crypto/tls"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// openssl runs the real thing, where there is one.
func openssl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl to compare with")
	}
	out, err := exec.Command(path, args...).Output()
	return string(out), err
}

// TestAsOpenSSL holds the reading of cipher strings, before weak suites are
// left out, against OpenSSL's.
func TestAsOpenSSL(t *testing.T) {
	for _, text := range []string{
		"ALL", "HIGH", "DEFAULT", "COMPLEMENTOFALL:AES128-SHA", "COMPLEMENTOFDEFAULT",
		"HIGH:!aNULL:!MD5", "HIGH:!aNULL:!eNULL:!EXPORT:!CAMELLIA:!DES:!MD5:!PSK:!RC4",
		"ALL:!ADH:!LOW:!EXP:!MD5:@STRENGTH", "ALL:!kRSA", "ALL:!RSA", "ALL:!aRSA",
		"EECDH+AESGCM:EDH+AESGCM", "EECDH+ECDSA+AESGCM EECDH+aRSA+AESGCM EECDH+ECDSA+SHA384 EECDH+aRSA+SHA256 EECDH EDH+aRSA RC4 !aNULL !eNULL !LOW !3DES !MD5 !EXP !PSK !SRP !DSS",
		"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305",
		"kECDHE", "kEECDH", "ECDHE", "EECDH", "ECDH", "kECDHE+aECDSA", "ECDSA", "aECDSA+AES256",
		"AES", "AES128", "AES256", "AESGCM", "AESCCM:AES128-SHA", "CHACHA20", "AES128+AESGCM", "ARIA", "CAMELLIA:CBC",
		"kRSA", "RSA", "aRSA", "kRSA+AESGCM", "kRSA+SHA", "DHE:kRSA+SHA256", "SSLv3", "TLSv1", "TLSv1.0", "TLSv1.2", "TLSv1.2+kECDHE",
		"SHA", "SHA1", "SHA256", "SHA384:SHA1", "CBC", "CBC+ECDHE", "FIPS", "FIPS+kECDHE", "FIPS:!kRSA:-SHA1",
		"AES128-SHA:AES256-SHA,AES128-GCM-SHA256 AES256-GCM-SHA384;AES128-SHA256", "AES128-SHA+HIGH", "AES128-SHA+ECDHE:AES256-SHA",
		"AES128-SHA:!AES128-SHA:AES128-SHA:AES256-SHA", "AES128-SHA:-AES128-SHA:AES128-SHA", "ALL:-AES:AESGCM", "ALL:-ALL:CHACHA20", "HIGH:+kRSA:+SHA1",
		"!AES128:ALL", "ALL:!AESGCM+kRSA", "ALL!CBC", "ALL@STRENGTH", "@SECLEVEL=2:HIGH", "HIGH:@SECLEVEL=0",
		"DEFAULT:!AES256", "DEFAULT@SECLEVEL=1", "AES128-SHA:DEFAULT", "DEFAULT:-ALL:AES256-SHA",
		"SUITEB128", "SUITEB128ONLY", "SUITEB192", "SUITEB128C2", "SUITEB128ONLY:HIGH", "CHACHA20:SUITEB128",
		"PSK:AES128-SHA", "SRP:DES-CBC3-SHA:RC4-SHA:AES256-SHA", "MEDIUM:LOW:CHACHA20", "kDHE:aDSS:ADH:AECDH:ECDHE-RSA-AES256-SHA384:AES128-SHA",
		// What guides and other servers have recommended over the years.
		"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:DHE-DSS-AES128-GCM-SHA256:kEDH+AESGCM:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384:DHE-RSA-AES256-SHA:AES128-GCM-SHA256:AES256-SHA256:AES:CAMELLIA:DES-CBC3-SHA:!aNULL:!eNULL:!EXPORT:!DES:!RC4:!MD5:!PSK:!aECDH:!EDH-DSS-DES-CBC3-SHA:!EDH-RSA-DES-CBC3-SHA:!KRB5-DES-CBC3-SHA",
		"ECDHE-ECDSA-CHACHA20-POLY1305:HIGH:SEED:!aNULL:!eNULL:!EXPORT:!DES:!RC4:!MD5:!PSK:!RSAPSK:!aDH:!aECDH:!EDH-DSS-DES-CBC3-SHA:!KRB5-DES-CBC3-SHA:!SRP",
		"ECDH+AESGCM:ECDH+CHACHA20:DH+AESGCM:ECDH+AES256:DH+AES256:ECDH+AES128:DH+AES:RSA+AESGCM:RSA+AES:!aNULL:!MD5:!DSS",
		"AES256+EECDH:AES256+EDH:!aNULL", "HIGH:MEDIUM:!aNULL", "ECDHE-RSA-AES128-SHA256:AES128-GCM-SHA256:RC4:HIGH:!MD5:!aNULL:!EDH",
		"TLS13-CHACHA20-POLY1305-SHA256:TLS13-AES-256-GCM-SHA384:ECDHE-RSA-AES256-SHA",
		"ALL:!aNULL:!ADH:!eNULL:!LOW:!EXP:RC4+RSA:+HIGH:+MEDIUM:!SSLv2",
		"::AES128-SHA::", "NULL:ECDHE+NULL:AES256-SHA",
	} {
		out, err := openssl(t, "ciphers", "-V", text)
		if err != nil {
			t.Errorf("%s: openssl refuses it: %v", text, err)
		}
		s, err := read(text, false)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for i, c := range s.suites {
			theirs := strings.Contains(out, fmt.Sprintf("0x%02X,0x%02X - ", c.id>>8, c.id&0xff))
			if s.marks[i].selected != theirs {
				t.Errorf("%s: %s selected %v, OpenSSL's answer is %v", text, c.name, s.marks[i].selected, theirs)
			}
			if s.marks[i].taken && !theirs {
				t.Errorf("%s: %s taken, which OpenSSL does not select", text, c.name)
			}
			if theirs && c.flaws == 0 && !s.marks[i].taken {
				t.Errorf("%s: %s is not taken", text, c.name)
			}
		}
	}
}

// TestNamesOfOpenSSL has every suite and keyword of the real thing known.
func TestNamesOfOpenSSL(t *testing.T) {
	out, err := openssl(t, "ciphers", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := read("ALL", false)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) < 50 {
		t.Fatalf("%d lines of openssl ciphers -stdname: expected more", len(lines))
	}
	for _, line := range lines {
		fields := strings.Fields(line) // standard name, dash, OpenSSL's name
		for _, name := range []string{fields[0], fields[2]} {
			if s.kindOf(name) == unknown {
				t.Errorf("%s is not known", name)
			}
		}
	}
}

// TestNamesOfGo has every suite of crypto/tls either on offer or refused on
// purpose, under the name that crypto/tls gives it.
func TestNamesOfGo(t *testing.T) {
	s, err := read("ALL", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append(stdtls.CipherSuites(), stdtls.InsecureCipherSuites()...) {
		want := ours
		switch {
		case strings.Contains(c.Name, "RC4"), strings.Contains(c.Name, "3DES"):
			want = other
		case !slices.Contains(c.SupportedVersions, stdtls.VersionTLS12):
			want = tls13
		}
		if got := s.kindOf(c.Name); got != want {
			t.Errorf("%s is of kind %d, want %d", c.Name, got, want)
		}
	}
	for _, c := range s.suites {
		insecure := slices.ContainsFunc(stdtls.InsecureCipherSuites(), func(i *stdtls.CipherSuite) bool { return i.ID == c.id })
		if insecure != (c.flaws&(cbcSHA256|staticRSA) != 0) {
			t.Errorf("%s: flaws %b, insecure to crypto/tls: %v", c.name, c.flaws, insecure)
		}
	}
}

const aead = "ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-RSA-AES128-GCM-SHA256, ECDHE-ECDSA-AES256-GCM-SHA384, ECDHE-RSA-AES256-GCM-SHA384, ECDHE-ECDSA-CHACHA20-POLY1305, ECDHE-RSA-CHACHA20-POLY1305"

const padded = "ECDHE-ECDSA-AES128-SHA, ECDHE-RSA-AES128-SHA, ECDHE-ECDSA-AES256-SHA, ECDHE-RSA-AES256-SHA"

// TestWeakSuites shows who asks for what is weak.
func TestWeakSuites(t *testing.T) {
	for _, test := range []struct {
		text   string
		compat bool
		want   string
	}{
		{"ALL", false, aead},
		{"HIGH", false, aead},
		{"DEFAULT", false, aead},
		{"ECDHE:AES:FIPS:aRSA:aECDSA:TLSv1.2", false, aead},
		{"ALL", true, aead + ", " + padded},
		{"HIGH:!CBC", true, aead},
		{"CBC", false, padded},
		{"SHA1", false, padded},
		{"SHA", false, padded},
		{"TLSv1", false, padded},
		{"SSLv3", false, ""},
		{"SSLv3", true, ""},
		{"SHA256", false, ""},
		{"SHA256", true, ""},
		{"ECDHE+SHA+AES256+aRSA", false, "ECDHE-RSA-AES256-SHA"},
		{"ECDHE-RSA-AES128-SHA", false, "ECDHE-RSA-AES128-SHA"},
		{"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", false, "ECDHE-RSA-AES128-SHA"},
		{"ECDHE-RSA-AES128-SHA256", false, "ECDHE-RSA-AES128-SHA256"},
		{"ECDHE-RSA-AES128-SHA256+HIGH", false, "ECDHE-RSA-AES128-SHA256"},
		{"kRSA", false, "AES128-GCM-SHA256, AES256-GCM-SHA384"},
		{"RSA", false, "AES128-GCM-SHA256, AES256-GCM-SHA384"},
		{"kRSA+SHA", false, "AES128-SHA, AES256-SHA"},
		{"kRSA:SHA", false, padded + ", AES128-GCM-SHA256, AES256-GCM-SHA384"},
		{"AES128-SHA:AES128-SHA256", false, "AES128-SHA, AES128-SHA256"},
		{"AES128-SHA:HIGH:!kRSA", false, aead},
		{"AES128-SHA:HIGH:-SHA1", false, aead},
		{"DES-CBC3-SHA:RC4-SHA:TLS_ECDHE_RSA_WITH_RC4_128_SHA:ECDHE-RSA-DES-CBC3-SHA", true, ""},
	} {
		s, err := read(test.text, test.compat)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
		} else if got := suiteNames(s.taken()); got != test.want {
			t.Errorf("%s (-Z: %v): takes %s, want %s", test.text, test.compat, got, test.want)
		}
	}
}

func TestCipherStringErrors(t *testing.T) {
	for text, want := range map[string]string{
		"HIGH:FOO":             `ssl_ciphers "HIGH:FOO": "FOO" is no cipher suite or keyword of OpenSSL's`,
		"HIGH:!NOTHING":        `ssl_ciphers "HIGH:!NOTHING": "NOTHING" is no cipher suite or keyword of OpenSSL's`,
		"high":                 `ssl_ciphers "high": "high" is no cipher suite or keyword of OpenSSL's; it is written HIGH`,
		"HIGH:!anull":          `ssl_ciphers "HIGH:!anull": "anull" is no cipher suite or keyword of OpenSSL's; it is written aNULL`,
		"ecdhe+Aesgcm":         `ssl_ciphers "ecdhe+Aesgcm": "ecdhe" is no cipher suite or keyword of OpenSSL's; it is written ECDHE`,
		"default":              `ssl_ciphers "default": "default" is no cipher suite or keyword of OpenSSL's; it is written DEFAULT`,
		"kRSA+":                `ssl_ciphers "kRSA+": expected a cipher suite or keyword at ""`,
		"ECDHE++AES":           `ssl_ciphers "ECDHE++AES": expected a cipher suite or keyword at "+AES"`,
		"!!aNULL":              `ssl_ciphers "!!aNULL": expected a cipher suite or keyword at "!aNULL"`,
		"HIGH:!":               `ssl_ciphers "HIGH:!": expected a cipher suite or keyword at ""`,
		"HIGH/ALL":             `ssl_ciphers "HIGH/ALL": expected a cipher suite or keyword at "/ALL"`,
		"HIGH:\x00":            `ssl_ciphers "HIGH:\x00": expected a cipher suite or keyword at "\x00"`,
		"@FOO:HIGH":            `ssl_ciphers "@FOO:HIGH": @FOO not known; expected @STRENGTH, or @SECLEVEL=0 to 5`,
		"@SECLEVEL=9:HIGH":     `ssl_ciphers "@SECLEVEL=9:HIGH": @SECLEVEL=9 not known; expected @STRENGTH, or @SECLEVEL=0 to 5`,
		"HIGH:@SECLEVEL=2+AES": `ssl_ciphers "HIGH:@SECLEVEL=2+AES": @SECLEVEL=2+AES not known; expected @STRENGTH, or @SECLEVEL=0 to 5`,
		"DEFAULT+AES":          `ssl_ciphers "DEFAULT+AES": DEFAULT cannot be combined by +`,
	} {
		if _, err := read(text, false); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}
