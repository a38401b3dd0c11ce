package acl

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	encasn1 "encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte/asn1"
)

// part is an attribute of a distinguished name: its type as encoded.
type part struct {
	oid   string
	tag   asn1.Tag
	value string
}

// encodeName makes a distinguished name, first part first, of relative names.
func encodeName(t testing.TB, sets ...[]part) []byte {
	t.Helper()
	raw := func(tag asn1.Tag, content []byte) encasn1.RawValue {
		der, err := encasn1.Marshal(encasn1.RawValue{Tag: int(tag &^ 0x20), IsCompound: tag&0x20 != 0, Bytes: content})
		if err != nil {
			t.Fatal(err)
		}
		return encasn1.RawValue{FullBytes: der}
	}
	var name []byte
	for _, set := range sets {
		var members []byte
		for _, p := range set {
			pair := append(raw(asn1.OBJECT_IDENTIFIER, []byte(p.oid)).FullBytes, raw(p.tag, []byte(p.value)).FullBytes...)
			members = append(members, raw(asn1.SEQUENCE, pair).FullBytes...)
		}
		name = append(name, raw(asn1.SET, members).FullBytes...)
	}
	return raw(asn1.SEQUENCE, name).FullBytes
}

// certificate makes a self-signed one, for which nil changes nothing.
func certificate(t testing.TB, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// odd has about everything that a subject can have.
func odd(t testing.TB) *x509.Certificate {
	return certificate(t, func(c *x509.Certificate) {
		uri, _ := url.Parse("spiffe://A.example/Web")
		c.DNSNames = []string{"Alice.Example", "*.b.example"}
		c.EmailAddresses = []string{"Alice@example.com"}
		c.URIs = []*url.URL{uri}
		c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1), net.ParseIP("2001:db8::1")}
		c.RawSubject = encodeName(t,
			[]part{{"\x55\x04\x06", asn1.PrintableString, "SE"}},
			[]part{{"\x55\x04\x0a", asn1.UTF8String, "Möbel, Söner+Co"}},
			[]part{{"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", asn1.IA5String, "com"}},
			[]part{{"\x55\x04\x0b", asn1.T61String, "M\xfcll"}, {"\x55\x04\x05", asn1.PrintableString, "12"}},
			[]part{{"\x55\x04\x0b", bmpString, "\x00A\x20\xac"}},
			[]part{{"\x2a\x03\x84\x07", asn1.UTF8String, "own"}},
			[]part{{"\x55\x04\x03", asn1.UTF8String, " lead#x "}},
			[]part{{"\x55\x04\x03", asn1.UTF8String, `#a=b\c"<;>*`}},
			[]part{{"\x55\x04\x03", asn1.UTF8String, `Alice,O=Evil`}},
		)
	})
}

func nameOf(raw []byte) []byte { return appendName(nil, attributes(nil, raw)) }

func TestAppendName(t *testing.T) {
	const want = `CN=Alice\,O=Evil,CN=\#a=b\\c"<;>*,CN= lead\#x ,1.2.3.519=#0C036F776E,OU=A€,serialNumber=12+OU=Müll,DC=com,O=Möbel\, Söner\+Co,C=SE`
	if got := nameOf(odd(t).RawSubject); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestBrokenNamesDoNotPanic(t *testing.T) {
	rules := newCertRules()
	rules.addAlternative("*a", 0)
	name := odd(t).RawSubject
	for i := range name {
		nameOf(name[:i])
		broken := bytes.Clone(name)
		for _, b := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			broken[i] = b
			nameOf(broken)
			rules.earlierAlternative(broken, none)
		}
	}
}

func TestOpenSSLsNameIsAPattern(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl to compare with")
	}
	names := [][]byte{odd(t).RawSubject, encodeName(t), encodeName(t, []part{{commonName, asn1.UTF8String, " "}})}
	var all [][]part
	for _, known := range attributeTypes {
		all = append(all, []part{{known.oid, asn1.UTF8String, "a " + known.name}})
	}
	names = append(names, encodeName(t, all...))
	for _, oid := range []string{"\x00", "\x27\x01", "\x28\x00", "\x50\x01", "\x88\x37\x03", "\x7f\x01"} {
		names = append(names, encodeName(t, []part{{oid, asn1.UTF8String, "x"}}))
	}
	for _, value := range []string{"a\nb", "\x00", "\\", ",", "a=b", "# a", "é", `"`, "a,\\,", "<>;", " a", "a ", "  ", "a\\ "} {
		names = append(names, encodeName(t, []part{{commonName, asn1.UTF8String, value}, {"\x55\x04\x0a", asn1.UTF8String, value}}))
	}
	for i, name := range names {
		cert := certificate(t, func(c *x509.Certificate) { c.RawSubject = name })
		cmd := exec.Command("openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253")
		cmd.Stdin = bytes.NewReader(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSuffix(strings.TrimPrefix(string(out), "subject="), "\n")
		if text == "" {
			text = "*" // a name with no parts, which no pattern spells
		}
		p, err := parseName(strings.ReplaceAll(text, ">*", `>\*`))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for k, other := range names {
			if got := p.match(nameOf(other)); got != (i == k || text == "*") {
				t.Errorf("%s: matches %s: %t", text, nameOf(other), got)
			}
		}
	}
}

func TestClientCertEntries(t *testing.T) {
	cert := odd(t)
	plain := certificate(t, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "bob", Organization: []string{"Example"}, Country: []string{"SE"}}
	})
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	tests := []struct {
		entry            string
		odd, plain, none bool
	}{
		{"any", true, true, false},
		{"none", false, false, true},
		{"cn bob", false, true, false},
		{"cn Bob", false, false, false},
		{"cn b*b", false, true, false},
		{"cn bo*ob", false, false, false},
		{"cn bo*b*", false, true, false},
		{"cn *", true, true, false},
		{"cn **o**", false, true, false},
		{"cn Alice,O=Evil", true, false, false},
		{`cn " lead#x "`, true, false, false},
		{`cn *b\c*`, true, false, false},
		{"subject CN=bob,O=Example,C=SE", false, true, false},
		{`subject "cn = bob, o = Example + C=SE"`, false, false, false},
		{`subject "cn = bob, o = Example , 2.5.4.6=*"`, false, false, false},
		{`subject "cn = bob, o = Example , c= SE"`, false, true, false},
		{"subject CN=bob*", false, true, false},
		{"subject CN=bob", false, false, false},
		{"subject *", true, true, false},
		{"subject *,C=SE", true, true, false},
		{"subject *,O=Evil*", false, false, false},
		{`subject *\,O=Evil*`, true, false, false},
		{"subject *,O=Example,*", false, true, false},
		{"subject *,O=Möbel*Co,*", true, false, false},
		{`subject *,O=M\C3\B6bel\2c\20S\c3\B6ner\2bCo,*`, true, false, false},
		{"subject *,OU=Müll,*", false, false, false},
		{"subject *+OU=Müll,*", true, false, false},
		{"subject *,1.2.3.519=#0c036f776e,*", true, false, false},
		{`subject *\#a=b\\c\22<;>\*,*`, true, false, false},
		{`subject *\*,*`, true, false, false},
		{"issuer CN=bob,*", false, true, false},
		{"issuer *,C=SE", true, true, false},
		{"san alice.EXAMPLE", true, false, false},
		{"san *.b.example", true, false, false},
		{"san *.example", true, false, false},
		{"san b.example", false, false, false},
		{"san Alice@example.com", true, false, false},
		{"san alice@example.com", false, false, false},
		{"san *@example.com", true, false, false},
		{"san spiffe://A.example/*", true, false, false},
		{"san 192.0.2.1", true, false, false},
		{"san 192.0.2.*", true, false, false},
		{"san 192.0.2.2", false, false, false},
		{"san 2001:DB8:0::1", true, false, false},
		{"san bob", false, false, false},
		{"spki " + hex.EncodeToString(sum[:]), true, false, false},
		{"spki " + base64.StdEncoding.EncodeToString(sum[:]), true, false, false},
		{"spki " + strings.Repeat("00", 32), false, false, false},
	}
	for _, tt := range tests {
		compiled, err := Compile(List{entry(t, "permit client_cert "+tt.entry)}, nil)
		if err != nil {
			t.Errorf("%s: %v", tt.entry, err)
			continue
		}
		for client, want := range map[*x509.Certificate]bool{cert: tt.odd, plain: tt.plain, nil: tt.none} {
			if got, decided := compiled.Decide(&Client{Addr: local, Cert: client}, Certificate); got != want || !decided {
				t.Errorf("%s: got %t, decided %t, of %s", tt.entry, got, decided, subject(client))
			}
		}
	}
}

func subject(c *x509.Certificate) string {
	if c == nil {
		return "no certificate"
	}
	return string(nameOf(c.RawSubject))
}

// FuzzNamePattern takes any value and any pattern: the value with every byte
// escaped must match its own name and none that somebody smuggles into it.
func FuzzNamePattern(f *testing.F) {
	f.Add("Alice", "CN=Alice,O=*")
	f.Add(`a\,O=b#`, `*,O=b\*`)
	f.Add("x,O=Example", "*,O=Example")
	f.Add("\x00 ", `cn = \20 + o=#0c*`)
	f.Fuzz(func(t *testing.T, value, text string) {
		if p, err := parseName(text); err == nil {
			p.match(nameOf(encodeName(t, []part{{commonName, asn1.UTF8String, value}})))
			p.match([]byte(value + `\`))
		}
		if !utf8.ValidString(value) {
			return
		}
		var escaped strings.Builder
		for _, b := range []byte(value) {
			fmt.Fprintf(&escaped, `\%02x`, b)
		}
		one := nameOf(encodeName(t, []part{{"\x55\x04\x0a", asn1.UTF8String, "Org"}}, []part{{commonName, asn1.UTF8String, value}}))
		for pattern, want := range map[string]bool{
			"CN=" + escaped.String() + ",O=Org":  true,
			"CN=" + escaped.String() + "*,O=Org": true,
			"CN=*,O=Org":                         true,
			"CN=x" + escaped.String() + ",O=Org": false,
			"*,O=Evil*":                          false,
			"*+*":                                false,
		} {
			p, err := parseName(pattern)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.match(one); got != want {
				t.Errorf("%q: %s matches %s: %t", value, pattern, one, got)
			}
		}
	})
}
