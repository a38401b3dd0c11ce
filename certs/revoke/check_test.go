package revoke

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"edgepen/certs/certtest"
)

// checker makes a checker whose log is in the buffer and which fetches nothing.
func checker(t testing.TB) (*Checker, *bytes.Buffer) {
	var log bytes.Buffer
	c := NewChecker(slog.New(slog.NewTextHandler(&log, nil)))
	c.points.get = func(context.Context, string) ([]byte, error) {
		t.Error("a distribution point was asked")
		return nil, errors.New("none")
	}
	return c, &log
}

// outcome is what Check says, in a word.
func outcome(err error) string {
	var revoked *Revoked
	var unknown *Unknown
	switch {
	case err == nil:
		return "passes"
	case errors.As(err, &revoked):
		return "revoked"
	case errors.As(err, &unknown):
		return "unknown"
	}
	return err.Error()
}

// TestCheck has one certificate, serial 5, of a CA whose own issuer is the
// anchor, and the lists of files.
func TestCheck(t *testing.T) {
	root := newCA(t, "root", nil)
	ca := below(t, root, "CA", nil)
	twin := below(t, root, "CA", nil)                                                                   // same name, other key
	mute := below(t, root, "CA", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })      // may not sign lists
	sameID := below(t, root, "CA", func(c *x509.Certificate) { c.SubjectKeyId = ca.Cert.SubjectKeyId }) // signature only tells
	signs := func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }                           // so that mute's list can be made
	muteSigner := &certtest.Authority{Cert: caTemplate("CA", signs), Key: mute.Key}
	muteSigner.Cert.SubjectKeyId = mute.Cert.SubjectKeyId
	leaf := client(t, ca, 5, "http://crl/5")
	plain := client(t, ca, 5)
	muted := client(t, mute, 5)
	rootList := crl{}.list(t, root, "root.crl")

	hold := []x509.RevocationListEntry{{SerialNumber: big.NewInt(5), RevocationTime: noon, ReasonCode: 6}}
	day := 24 * time.Hour
	list := func(c crl) *List { return c.list(t, ca, "ca.crl") }
	tests := []struct {
		name       string
		leaf       *x509.Certificate
		by         *certtest.Authority
		lists      []*List
		soft, hard string
	}{
		{"no list", leaf, ca, nil, "passes", "unknown"},
		{"clean", leaf, ca, []*List{list(crl{serials: []int64{4, 6}})}, "passes", "passes"},
		{"listed", leaf, ca, []*List{list(crl{serials: []int64{4, 5}})}, "revoked", "revoked"},
		{"expired, clean", leaf, ca, []*List{list(crl{next: noon})}, "passes", "unknown"},
		{"expired, listed", leaf, ca, []*List{list(crl{serials: []int64{5}, next: noon})}, "revoked", "revoked"},
		{"not yet valid, clean", leaf, ca, []*List{list(crl{this: noon.Add(time.Hour)})}, "passes", "unknown"},
		{"not yet valid, listed", leaf, ca, []*List{list(crl{this: noon.Add(time.Hour), serials: []int64{5}})}, "revoked", "revoked"},
		{"issuer's clock ahead", leaf, ca, []*List{list(crl{this: noon.Add(skew)})}, "passes", "passes"},
		{"newer one lacks it, both valid", leaf, ca, []*List{list(crl{serials: []int64{5}}), list(crl{this: noon.Add(-time.Minute)})}, "revoked", "revoked"},
		{"was on hold in an expired one", leaf, ca, []*List{list(crl{entries: hold, this: noon.Add(-2 * day), next: noon.Add(-day)}), list(crl{})}, "passes", "passes"},
		{"the same, the other way round", leaf, ca, []*List{list(crl{}), list(crl{entries: hold, this: noon.Add(-2 * day), next: noon.Add(-day)})}, "passes", "passes"},
		{"expired one is the newer", leaf, ca, []*List{list(crl{entries: hold, this: noon.Add(-time.Minute), next: noon}), list(crl{})}, "revoked", "revoked"},
		{"expired and current", leaf, ca, []*List{list(crl{next: noon}), list(crl{})}, "passes", "passes"},
		{"twin's list", leaf, ca, []*List{crl{serials: []int64{5}}.list(t, twin, "twin.crl")}, "passes", "unknown"},
		{"twin's list, same key identifier", leaf, ca, []*List{crl{serials: []int64{5}}.list(t, sameID, "twin.crl")}, "passes", "unknown"},
		{"twin's and own", leaf, ca, []*List{crl{serials: []int64{5}}.list(t, twin, "twin.crl"), list(crl{})}, "passes", "passes"},
		{"issuer may not sign lists", muted, mute, []*List{crl{serials: []int64{5}}.list(t, muteSigner, "mute.crl")}, "passes", "unknown"},
		{"only users", leaf, ca, []*List{list(crl{extensions: issuingPoint(field(onlyUsers))})}, "passes", "passes"},
		{"only CAs", leaf, ca, []*List{list(crl{extensions: issuingPoint(field(onlyCAs))})}, "passes", "unknown"},
		{"only CAs, listed all the same", leaf, ca, []*List{list(crl{serials: []int64{5}, extensions: issuingPoint(field(onlyCAs))})}, "revoked", "revoked"},
		{"its own part", leaf, ca, []*List{list(crl{extensions: issuingPoint(named(uri("ldap://x"), uri("http://crl/5")))})}, "passes", "passes"},
		{"another part", leaf, ca, []*List{list(crl{extensions: issuingPoint(named(uri("http://crl/6")))})}, "passes", "unknown"},
		{"both parts", leaf, ca, []*List{list(crl{extensions: issuingPoint(named(uri("http://crl/6")))}), list(crl{extensions: issuingPoint(named(uri("http://crl/5")))})}, "passes", "passes"},
		{"a part, certificate without points", plain, ca, []*List{list(crl{extensions: issuingPoint(named(uri("http://crl/5")))})}, "passes", "unknown"},
		{"part of the issuer's name", plain, ca, []*List{list(crl{extensions: issuingPoint(named(directory(ca.Cert.RawSubject)))})}, "passes", "passes"},
		{"part of another name", plain, ca, []*List{list(crl{extensions: issuingPoint(named(directory(root.Cert.RawSubject)))})}, "passes", "unknown"},
	}
	for _, tt := range tests {
		c, log := checker(t)
		for _, mode := range []Mode{Off, Soft, Hard} {
			want := map[Mode]string{Off: "passes", Soft: tt.soft, Hard: tt.hard}[mode]
			c.Use(NewRules(append(tt.lists, rootList), nil, Policy{Mode: mode}))
			err := c.Check(t.Context(), c.rules.Load(), []*x509.Certificate{tt.leaf, tt.by.Cert, root.Cert}, noon)
			if outcome(err) != want {
				t.Errorf("%s, %v: got %s (%v), want %s", tt.name, mode, outcome(err), err, want)
			}
		}
		if logged := log.Len() > 0; logged != (tt.hard == "unknown") {
			t.Errorf("%s: log: %s", tt.name, log)
		}
	}
}

// TestCheckWords shows what is said of a certificate that is refused.
func TestCheckWords(t *testing.T) {
	ca := newCA(t, "CA", nil)
	twin := newCA(t, "CA", nil)
	same := newCA(t, "CA", func(c *x509.Certificate) { c.SubjectKeyId = ca.Cert.SubjectKeyId })
	part := issuingPoint(named(uri("http://crl/6")))
	cannot := "cannot tell whether certificate CN=client (serial 5 of CN=CA) is revoked: "
	tests := []struct {
		list *List
		want string
	}{
		{crl{serials: []int64{5}}.list(t, ca, "a.crl"), "certificate CN=client (serial 5 of CN=CA) was revoked on 2030-06-01 10:00:00 UTC (keyCompromise): a.crl"},
		{crl{next: noon}.list(t, ca, "a.crl"), cannot + "a.crl expired on 2030-06-01 12:00:00 UTC"},
		{crl{this: noon.Add(time.Hour)}.list(t, ca, "a.crl"), cannot + "a.crl is not valid before 2030-06-01 13:00:00 UTC"},
		{crl{extensions: part}.list(t, ca, "a.crl"), cannot + "a.crl is a list of other certificates (issuing distribution point)"},
		{crl{}.list(t, twin, "a.crl"), cannot + "a.crl is not its issuer's: it is by another key of that name (authority key identifier)"},
		{crl{}.list(t, same, "a.crl"), cannot + "a.crl is not its issuer's: x509: ECDSA verification failure"},
		{crl{}.list(t, newCA(t, "other", nil), "a.crl"), cannot + "there is no revocation list of its issuer"},
	}
	for _, tt := range tests {
		c, _ := checker(t)
		c.Use(NewRules([]*List{tt.list}, nil, Policy{Mode: Hard}))
		if err := c.Check(t.Context(), c.rules.Load(), []*x509.Certificate{client(t, ca, 5), ca.Cert}, noon); err == nil || err.Error() != tt.want {
			t.Errorf("got  %v\nwant %s", err, tt.want)
		}
	}
}

// TestRevokedCA holds that an intermediate is looked up too, and before the
// distribution points that it vouches for are asked.
func TestRevokedCA(t *testing.T) {
	root := newCA(t, "root", nil)
	ca := below(t, root, "CA", func(c *x509.Certificate) { c.SerialNumber = big.NewInt(77) })
	c, _ := checker(t)
	c.Use(NewRules([]*List{crl{serials: []int64{77}}.list(t, root, "root.crl")}, nil, Policy{Mode: Soft, Fetch: true}))
	err := c.Check(t.Context(), c.rules.Load(), []*x509.Certificate{client(t, ca, 5, "http://crl/"), ca.Cert, root.Cert}, noon)
	var revoked *Revoked
	if !errors.As(err, &revoked) || revoked.Serial != "4d" || revoked.Subject != "CN=CA" {
		t.Errorf("%v", err)
	}
}

// TestNothingToCheck has chains of which nothing can be asked.
func TestNothingToCheck(t *testing.T) {
	ca := newCA(t, "CA", nil)
	c, _ := checker(t)
	if err := c.Check(t.Context(), c.rules.Load(), []*x509.Certificate{client(t, ca, 5), ca.Cert}, noon); err != nil {
		t.Errorf("before Use: %v", err)
	}
	c.Use(NewRules(nil, nil, Policy{Mode: Hard}))
	for _, chain := range [][]*x509.Certificate{nil, {}, {ca.Cert}} {
		if err := c.Check(t.Context(), c.rules.Load(), chain, noon); err != nil {
			t.Errorf("chain of %d: %v", len(chain), err)
		}
	}
	if c.Denied(nil) {
		t.Error("no certificate is denied")
	}
}

// TestSoftWarnsOnceAnHour holds that the log stays readable.
func TestSoftWarnsOnceAnHour(t *testing.T) {
	a, b := newCA(t, "A", nil), newCA(t, "B", nil)
	c, log := checker(t)
	c.Use(NewRules(nil, nil, Policy{Mode: Soft}))
	for minute := range 61 {
		for _, ca := range []*certtest.Authority{a, b} {
			if err := c.Check(t.Context(), c.rules.Load(), []*x509.Certificate{client(t, ca, 5), ca.Cert}, noon.Add(time.Duration(minute)*time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := strings.Count(log.String(), "issuer=CN=A") + strings.Count(log.String(), `issuer="CN=A"`); got != 2 {
		t.Errorf("%d warnings for A in 61 minutes, want 2:\n%s", got, log)
	}
	if got := strings.Count(log.String(), "\n"); got != 4 {
		t.Errorf("%d lines, want 4:\n%s", got, log)
	}
}

func TestDenials(t *testing.T) {
	root := newCA(t, "root", nil)
	ca := below(t, root, "CA", func(c *x509.Certificate) { c.SerialNumber = big.NewInt(0xca) })
	leaf := client(t, ca, 0x0abc)
	chain := []*x509.Certificate{leaf, ca.Cert, root.Cert}
	sum := func(c *x509.Certificate) Denial { return Denial{SPKI: sha256.Sum256(c.RawSubjectPublicKeyInfo)} }
	tests := []struct {
		name string
		deny Denial
		want bool
	}{
		{"serial", Denial{Serial: "abc"}, true},
		{"another serial", Denial{Serial: "abd"}, false},
		{"the CA's serial", Denial{Serial: "ca"}, false},
		{"key", sum(leaf), true},
		{"the CA's key", sum(ca.Cert), true},
		{"the anchor's key", sum(root.Cert), true},
		{"another key", Denial{SPKI: [32]byte{1}}, false},
	}
	for _, tt := range tests {
		c, _ := checker(t)
		c.Use(NewRules(nil, []Denial{tt.deny}, Policy{}))
		err := c.Check(t.Context(), c.rules.Load(), chain, noon)
		if (err != nil) != tt.want || c.Denied(chain) != tt.want {
			t.Errorf("%s: Check %v, Denied %v", tt.name, err, c.Denied(chain))
		}
		if err != nil && !strings.HasSuffix(err.Error(), " is denied: "+tt.deny.String()) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestParseDenial(t *testing.T) {
	sum := sha256.Sum256([]byte("key"))
	colons := strings.ToUpper(strings.Join(strings.Split(hex.EncodeToString(sum[:]), ""), ""))
	tests := []struct {
		words string
		want  Denial
		err   string
	}{
		{"serial 1f", Denial{Serial: "1f"}, ""},
		{"serial 00:1F:A0", Denial{Serial: "1fa0"}, ""},
		{"serial 0x1F", Denial{Serial: "1f"}, ""},
		{"serial 0", Denial{Serial: "0"}, ""},
		{"serial 1g", Denial{}, `serial "1g": expected 1 to 128 hexadecimal digits`},
		{"serial :", Denial{}, `serial ":": expected 1 to 128 hexadecimal digits`},
		{"serial " + strings.Repeat("1", 129), Denial{}, "expected 1 to 128 hexadecimal digits"},
		{"spki " + hex.EncodeToString(sum[:]), Denial{SPKI: sum}, ""},
		{"spki " + colons, Denial{SPKI: sum}, ""},
		{"spki " + base64.StdEncoding.EncodeToString(sum[:]), Denial{SPKI: sum}, ""},
		{"spki 1234", Denial{}, `spki "1234": expected a SHA-256 of the public key, 64 hexadecimal digits or 44 of base64`},
		{"spki " + strings.Repeat("0", 64), Denial{}, "no key has this sum"},
		{"subject x", Denial{}, `"subject": expected serial HEX or spki SHA256`},
		{"serial", Denial{}, "expected serial HEX or spki SHA256"},
		{"serial 1 2", Denial{}, "expected serial HEX or spki SHA256"},
	}
	for _, tt := range tests {
		got, err := ParseDenial(strings.Fields(tt.words))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want %s", tt.words, err, tt.err)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: %v, %v", tt.words, got, err)
		}
		if again, err := ParseDenial(strings.Fields(got.String())); err != nil || again != got {
			t.Errorf("%s: String is read as %v, %v", got, again, err)
		}
	}
}

// TestPassingAllocatesNothing has what every handshake with client
// certificates pays.
func TestPassingAllocatesNothing(t *testing.T) {
	root := newCA(t, "root", nil)
	ca := below(t, root, "CA", nil)
	chain := []*x509.Certificate{client(t, ca, 5, "http://crl/5"), ca.Cert, root.Cert}
	c, _ := checker(t)
	c.Use(NewRules([]*List{
		crl{next: noon}.list(t, ca, "old.crl"),
		crl{serials: []int64{4, 6}, extensions: issuingPoint(named(uri("http://crl/5")))}.list(t, ca, "ca.crl"),
		crl{}.list(t, root, "root.crl"),
	}, []Denial{{Serial: "1"}, {SPKI: [32]byte{1}}}, Policy{Mode: Hard}))
	ctx := t.Context()
	allocations := testing.AllocsPerRun(100, func() {
		if err := c.Check(ctx, c.rules.Load(), chain, noon); err != nil {
			t.Fatal(err)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations, want 0", allocations)
	}
}

func BenchmarkCheck(b *testing.B) {
	ca := newCA(b, "CA", nil)
	chain := []*x509.Certificate{client(b, ca, 5), ca.Cert}
	c, _ := checker(b)
	c.Use(NewRules([]*List{parseOne(b, "long", million(b, ca, 1_000_000))}, []Denial{{Serial: "1"}}, Policy{Mode: Hard}))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Check(ctx, c.rules.Load(), chain, noon); err != nil {
			b.Fatal(err)
		}
	}
}

// TestRulesOfTheirOwn: a check goes by the rules that it is given, and by the denials in force besides.
func TestRulesOfTheirOwn(t *testing.T) {
	ca := newCA(t, "CA", nil)
	chain := []*x509.Certificate{client(t, ca, 5), ca.Cert}
	revoking := NewRules([]*List{crl{serials: []int64{5}}.list(t, ca, "ca.crl")}, nil, Policy{Mode: Hard})
	nothing, denying := NewRules(nil, nil, Policy{}), NewRules(nil, []Denial{{Serial: "5"}}, Policy{})
	for _, tt := range []struct {
		name           string
		given, inForce *Rules
		want           string
	}{
		{"lists that are not in force any more", revoking, nothing, "revoked"},
		{"lists that have come into force since", nothing, revoking, "passes"},
		{"a denial of its own", denying, nothing, "revoked"},
		{"a denial since", nothing, denying, "revoked"},
	} {
		c, _ := checker(t)
		c.Use(tt.inForce)
		if err := c.Check(t.Context(), tt.given, chain, noon); outcome(err) != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	ca := newCA(t, "CA", nil)
	c, _ := checker(t)
	c.Use(NewRules([]*List{crl{serials: []int64{1, 2}}.list(t, ca, "a.crl"), crl{next: noon}.list(t, ca, "b.crl"), crl{this: noon.Add(time.Hour)}.list(t, ca, "c.crl")}, nil, Policy{Mode: Soft}))
	want := `CN=CA: number 7, 2 entries, this update 2030-06-01 11:00:00 UTC, next update 2030-06-02 12:00:00 UTC, from a.crl
CN=CA: number 7, 0 entries, this update 2030-06-01 11:00:00 UTC, next update 2030-06-01 12:00:00 UTC, from b.crl, expired
CN=CA: number 7, 0 entries, this update 2030-06-01 13:00:00 UTC, next update 2030-06-02 12:00:00 UTC, from c.crl, not valid yet`
	if got := strings.Join(c.Describe(noon), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
