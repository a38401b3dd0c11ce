package revoke

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"edgepen/certs/certtest"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

func extensionOf(critical bool, value []byte, id ...int) []pkix.Extension {
	return []pkix.Extension{{Id: id, Critical: critical, Value: value}}
}

func entryWith(x ...pkix.Extension) []x509.RevocationListEntry {
	return []x509.RevocationListEntry{{SerialNumber: big.NewInt(0x2a), RevocationTime: noon, ExtraExtensions: x}}
}

// TestParseRefuses shows the words for every file that cannot be used.
func TestParseRefuses(t *testing.T) {
	ca := newCA(t, "CA", nil)
	good := crl{}.der(t, ca)
	block := certtest.Block(pemType, good)
	reason := func(value []byte) []byte { // in place of ENUMERATED 1
		return bytes.Replace(crl{serials: []int64{0x2a}}.der(t, ca), []byte{10, 1, 1}, value, 1)
	}
	tests := []struct {
		name    string
		content []byte
		want    string
	}{
		{"empty", nil, "revocation list x.crl is neither PEM (a block named X509 CRL) nor DER"},
		{"text", []byte("hello"), "is neither PEM"},
		{"a certificate", []byte(certtest.PEM(ca.Cert)), "x.crl holds no revocation list but a CERTIFICATE; expected PEM blocks named X509 CRL, or DER"},
		{"DER certificate", ca.Cert.Raw, "malformed header"},
		{"cut short", good[:len(good)-1], "not a certificate list, or cut short"},
		{"something after it", append(slices.Clone(good), 0), "1 bytes follow the list"},
		{"second block cut", []byte(block + block[:len(block)/2]), "1 of 2 PEM blocks are damaged or cut short"},
		{"block damaged", []byte(strings.Replace(block, "M", "!", 1)), "1 of 1 PEM blocks are damaged or cut short"},
		{"second block no list", []byte(block + certtest.Block(pemType, []byte{0x30, 0})), "revocation list 2 of x.crl: not a certificate list"},
		{"delta", crl{extensions: extensionOf(true, []byte{2, 1, 1}, 2, 5, 29, 27)}.der(t, ca), "this is a delta list; only complete lists are supported"},
		{"delta said politely", crl{extensions: extensionOf(false, []byte{2, 1, 1}, 2, 5, 29, 27)}.der(t, ca), "this is a delta list"},
		{"unknown critical", crl{extensions: extensionOf(true, []byte{5, 0}, 1, 2, 3, 4)}.der(t, ca), "critical extension 1.2.3.4 is not known"},
		{"indirect", crl{extensions: issuingPoint(field(indirect))}.der(t, ca), "indirect lists (with entries of other issuers) are not supported"},
		{"some reasons", crl{extensions: issuingPoint(asn1.RawValue{Class: 2, Tag: onlySomeReasons, Bytes: []byte{6, 0x40}})}.der(t, ca), "lists for some reasons only (onlySomeReasons) are not supported"},
		{"attributes", crl{extensions: issuingPoint(field(onlyAttributes))}.der(t, ca), "the list is for attribute certificates"},
		{"users and CAs", crl{extensions: issuingPoint(field(onlyUsers), field(onlyCAs))}.der(t, ca), "for user certificates only and for CA certificates only"},
		{"unknown field", crl{extensions: issuingPoint(field(9))}.der(t, ca), "field 9 of the issuing distribution point is not known"},
		{"fields out of order", crl{extensions: issuingPoint(field(onlyCAs), field(onlyUsers))}.der(t, ca), "malformed issuing distribution point"},
		{"no sequence", crl{extensions: extensionOf(true, []byte{4, 0}, 2, 5, 29, 28)}.der(t, ca), "malformed issuing distribution point"},
		{"long boolean", crl{extensions: issuingPoint(asn1.RawValue{Class: 2, Tag: onlyUsers, Bytes: []byte{1, 1}})}.der(t, ca), "malformed issuing distribution point"},
		{"entry of another issuer", crl{entries: entryWith(extensionOf(true, []byte{0x30, 0}, 2, 5, 29, 29)...)}.der(t, ca), "entry 1 (serial 2a): indirect lists"},
		{"entry unknown critical", crl{entries: entryWith(extensionOf(true, []byte{5, 0}, 1, 2, 3)...)}.der(t, ca), "entry 1 (serial 2a): critical extension 1.2.3 is not known"},
		{"removeFromCRL", reason([]byte{10, 1, 8}), "entry 1 (serial 2a): reason removeFromCRL, which only delta lists have"},
		{"reason no number", reason([]byte{2, 1, 1}), "malformed reason code"},
		{"version 1 with extensions", forge(t, ca, false, body(ca, nil, true)), "version 1 cannot have extensions"},
		{"serial not minimal", forge(t, ca, true, body(ca, []byte{0, 1}, false)), "entry 1 is malformed"},
	}
	for _, tt := range tests {
		lists, err := Parse("x.crl", tt.content)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "x.crl") {
			t.Errorf("%s: %d lists, error %v\nwant %s", tt.name, len(lists), err, tt.want)
		}
	}
}

// body writes a list current at noon, with an entry if serial is not nil, and
// with a number if numbered.
func body(ca *certtest.Authority, serial []byte, numbered bool) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		b.AddBytes(ca.Cert.RawSubject)
		b.AddASN1UTCTime(noon.Add(-time.Hour))
		if serial != nil {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(serial) })
					b.AddASN1UTCTime(noon)
				})
			})
		}
		if numbered {
			number, _ := asn1.Marshal([]pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 20}, Value: []byte{2, 1, 1}}})
			b.AddASN1(cbasn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(number) })
		}
	}
}

// TestVersion1 has the lists that openssl ca makes without a crlnumber file,
// and ones without a next update.
func TestVersion1(t *testing.T) {
	ca := newCA(t, "CA", nil)
	l := parseOne(t, "v1", forge(t, ca, false, body(ca, []byte{5}, false)))
	if err := l.verify(ca.Cert); err != nil {
		t.Error(err)
	}
	if want := "CN=CA: number none, 1 entries, this update 2030-06-01 11:00:00 UTC, next update none, from v1"; l.String() != want {
		t.Errorf("got  %s\nwant %s", l, want)
	}
	if got := l.Warning(noon.AddDate(5, 0, 0)); !strings.Contains(got, "does not say when the next one comes") {
		t.Error(got)
	}
	if !l.current(noon.AddDate(5, 0, 0)) {
		t.Error("ended without a next update")
	}
}

func TestParsePEM(t *testing.T) {
	a, b := newCA(t, "A", nil), newCA(t, "B", nil)
	content := "# lists\n" + certtest.Block(pemType, crl{serials: []int64{1}}.der(t, a)) + certtest.PEM(a.Cert) +
		certtest.Block(pemType, crl{}.der(t, b)) + "\n"
	lists, err := Parse("both.pem", []byte(content))
	if err != nil || len(lists) != 2 || lists[0].issuer() != "CN=A" || lists[1].issuer() != "CN=B" {
		t.Fatalf("%v %v", lists, err)
	}
}

func TestWarning(t *testing.T) {
	l := crl{}.list(t, newCA(t, "CA\x1b[2J", nil), "crl.pem")
	tests := []struct {
		now  time.Time
		want string
	}{
		{noon, ""},
		{noon.Add(-time.Hour - skew), ""},
		{noon.Add(-2 * time.Hour), "revocation list crl.pem of CN=CA?[2J is not valid before 2030-06-01 11:00:00 UTC"},
		{noon.Add(24*time.Hour - 1), ""},
		{noon.Add(24 * time.Hour), "revocation list crl.pem of CN=CA?[2J expired on 2030-06-02 12:00:00 UTC; what was revoked since is not known"},
	}
	for _, tt := range tests {
		if got := l.Warning(tt.now); got != tt.want {
			t.Errorf("at %v:\ngot  %s\nwant %s", tt.now, got, tt.want)
		}
	}
}

// TestEveryEntryIsFound compares with crypto/x509 on lists of serial numbers of
// all lengths, and looks for as many that are not there.
func TestEveryEntryIsFound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	ca := newCA(t, "CA", nil)
	var buf serialBuffer
	for _, count := range []int{1, 2, 3, 100, 1000} {
		var entries []x509.RevocationListEntry
		in := map[string]bool{}
		for range count {
			n := randomSerial(random)
			in[n.String()] = true
			entries = append(entries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: noon, ReasonCode: 4})
		}
		der := crl{entries: entries}.der(t, ca)
		l := parseOne(t, "x", der)
		theirs, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range theirs.RevokedCertificateEntries {
			_, e, found := l.entries.find(buf.put(r.SerialNumber))
			if !found || !e.when().Equal(r.RevocationTime) || e.reason() != "superseded" {
				t.Fatalf("%d entries: serial %x: found %v, %v, %v", count, r.SerialNumber, found, e.when(), e.reason())
			}
		}
		for range count {
			n := randomSerial(random)
			if _, _, found := l.entries.find(buf.put(n)); found != in[n.String()] {
				t.Fatalf("%d entries: serial %x: found %v", count, n, found)
			}
		}
	}
}

func randomSerial(random *rand.Rand) *big.Int {
	b := make([]byte, 1+random.IntN(24))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	n := new(big.Int).SetBytes(b)
	if n.Sign() == 0 {
		n.SetInt64(1)
	}
	return n
}

// TestSerialEncoding holds that the buffer has what encoding/asn1 writes.
func TestSerialEncoding(t *testing.T) {
	var numbers []*big.Int
	for _, shift := range []uint{0, 1, 6, 7, 8, 15, 16, 63, 64, 159, 160, 503, 504, 511, 512, 4000} {
		n := new(big.Int).Lsh(big.NewInt(1), shift)
		numbers = append(numbers, n, new(big.Int).Sub(n, big.NewInt(1)), new(big.Int).Neg(n))
	}
	for _, n := range numbers {
		whole, err := asn1.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		s := cryptobyte.String(whole)
		var want cryptobyte.String
		s.ReadASN1(&want, cbasn1.INTEGER)
		var buf serialBuffer
		if got := buf.put(n); !bytes.Equal(got, want) {
			t.Errorf("%x: got %x, want %x", n, got, []byte(want))
		}
	}
}

// million makes a list of n entries with serial numbers of 16 bytes.
func million(t testing.TB, ca *certtest.Authority, n int) []byte {
	random := rand.New(rand.NewPCG(3, 4))
	var entries cryptobyte.Builder
	date := cryptobyte.NewBuilder(nil)
	date.AddASN1UTCTime(noon)
	for range n {
		serial := []byte{0x30, 0, 2, 16, 0x40 | byte(random.Uint32()&0x3f)}
		for range 15 {
			serial = append(serial, byte(random.Uint32()))
		}
		serial = append(serial, date.BytesOrPanic()...)
		serial[1] = byte(len(serial) - 2)
		entries.AddBytes(serial)
	}
	return forge(t, ca, true, func(b *cryptobyte.Builder) {
		b.AddBytes(ca.Cert.RawSubject)
		b.AddASN1UTCTime(noon.Add(-time.Hour))
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(entries.BytesOrPanic()) })
	})
}

// TestMemory bounds what a long list takes beside its own bytes.
func TestMemory(t *testing.T) {
	const n = 100_000
	der := million(t, newCA(t, "CA", nil), n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	l := parseOne(t, "long", der)
	runtime.ReadMemStats(&after)
	if l.entries.count != n {
		t.Errorf("%d entries, want %d", l.entries.count, n)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 16*n {
		t.Errorf("%d bytes allocated for %d entries, want at most 16 for each", got, n)
	}
}

func BenchmarkParseMillion(b *testing.B) {
	ca := newCA(b, "CA", nil)
	der := million(b, ca, 1_000_000)
	b.SetBytes(int64(len(der)))
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		parseOne(b, "long", der)
	}
}

func BenchmarkVerifyMillion(b *testing.B) {
	ca := newCA(b, "CA", nil)
	l := parseOne(b, "long", million(b, ca, 1_000_000))
	for b.Loop() {
		if err := l.checkSignature(ca.Cert); err != nil {
			b.Fatal(err)
		}
	}
}

// TestOpenSSL reads what the openssl program writes, with and without a number.
func TestOpenSSL(t *testing.T) {
	for _, numbered := range []bool{false, true} {
		ca := newCA(t, "openssl CA", nil)
		dir := t.TempDir()
		write := func(name, content string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("ca.pem", certtest.PEM(ca.Cert))
		write("ca.key", certtest.KeyPEM(t, ca.Key))
		write("index.txt", "R\t400101000000Z\t300101000000Z,keyCompromise\tABCDEF0123\tunknown\t/CN=client\n")
		write("index.txt.attr", "")
		config := "[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=30\n"
		if numbered {
			write("number", "1A\n")
			config += "crlnumber=number\ncrl_extensions=x\n[x]\nauthorityKeyIdentifier=keyid\n"
		}
		write("ca.cnf", config)
		run := exec.Command("openssl", "ca", "-gencrl", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-out", "crl.pem")
		run.Dir = dir
		if out, err := run.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		content, err := os.ReadFile(filepath.Join(dir, "crl.pem"))
		if err != nil {
			t.Fatal(err)
		}
		l := parseOne(t, "crl.pem", content)
		if err := l.verify(ca.Cert); err != nil {
			t.Error(err)
		}
		if numbered && l.header.Number.Int64() != 0x1a || !l.current(time.Now()) {
			t.Error(l)
		}
		var buf serialBuffer
		if _, e, found := l.entries.find(buf.put(big.NewInt(0xabcdef0123))); !found || e.reason() != "keyCompromise" && numbered {
			t.Errorf("found %v, %s", found, e.reason())
		}
	}
}

// FuzzParse holds that what is accepted is what crypto/x509 accepts (but for
// version 1, and dates of entries, which are read only when one is found), and
// that every entry is found.
func FuzzParse(f *testing.F) {
	ca := newCA(f, "CA", nil)
	f.Add(crl{serials: []int64{1, 2, 128}}.der(f, ca))
	f.Add(crl{extensions: issuingPoint(named(uri("http://a/")), field(onlyUsers))}.der(f, ca))
	f.Add(forge(f, ca, false, body(ca, []byte{5}, false)))
	f.Add([]byte(certtest.Block(pemType, crl{}.der(f, ca))))
	f.Fuzz(func(t *testing.T, content []byte) {
		lists, err := Parse("fuzz", content)
		if err != nil {
			return
		}
		for _, l := range lists {
			l.Warning(noon)
			_ = l.String()
			l.scope.covers(ca.Cert)
			_ = l.verify(ca.Cert)
			for rest := l.entries.raw; !rest.Empty(); {
				e, ok := nextEntry(&rest)
				_, _, found := l.entries.find(e.serial)
				if !ok || !found {
					t.Fatalf("entry %x: parsed %v, found %v", []byte(e.serial), ok, found)
				}
				e.when()
				e.reason()
			}
		}
		if content[0] != 0x30 {
			return
		}
		theirs, err := x509.ParseRevocationList(content)
		if err == nil && len(theirs.RevokedCertificateEntries) != lists[0].entries.count {
			t.Fatalf("%d entries, crypto/x509 has %d", lists[0].entries.count, len(theirs.RevokedCertificateEntries))
		}
	})
}
