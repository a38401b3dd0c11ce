package acl

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

var local = netip.MustParseAddr("127.0.0.1")

const chrome = "t13d1516h2_8daaf6152771_e5627efa2ab1"

func TestDecide(t *testing.T) {
	bob := certificate(t, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "bob"} })
	tests := []struct {
		list   string
		client Client
		needs  Stage
		want   string // at each stage: + permit, - deny, ? not decided
	}{
		{"", Client{Addr: local}, Address, "+++"},
		{"deny 127.0.0.1", Client{Addr: local}, Address, "---"},
		{"permit 10.0.0.0/8;deny sni a.example", Client{Addr: local, Name: "a.example"}, Hello, "?--"},
		{"permit 127.0.0.0/8;deny sni a.example", Client{Addr: local, Name: "a.example"}, Hello, "+++"},
		{"deny sni a.example;permit all", Client{Addr: local, Name: "a.example"}, Hello, "?--"},
		{"deny sni a.example;permit all", Client{Addr: local, Name: "b.example"}, Hello, "?++"},
		{"deny sni a.example", Client{Addr: local, Name: "b.example"}, Hello, "?++"},
		{"permit sni *.a.example", Client{Addr: local, Name: "b.a.example"}, Hello, "?++"},
		{"permit sni *.a.example", Client{Addr: local, Name: "c.b.a.example"}, Hello, "?--"},
		{"permit sni *.a.example", Client{Addr: local, Name: "a.example"}, Hello, "?--"},
		{"deny sni none", Client{Addr: local}, Hello, "?--"},
		{"deny sni none", Client{Addr: local, Name: "none"}, Hello, "?++"},
		{"deny sni *.none", Client{Addr: local, Name: "a.none"}, Hello, "?--"},
		{"deny sni *.a.example;permit sni b.a.example;deny sni b.a.example", Client{Addr: local, Name: "b.a.example"}, Hello, "?--"},
		{"permit sni b.a.example;deny sni *.a.example", Client{Addr: local, Name: "b.a.example"}, Hello, "?++"},
		{"deny ja4 " + chrome, Client{Addr: local, JA4: func() string { return chrome }}, Hello, "?--"},
		{"permit ja4 " + chrome, Client{Addr: local}, Hello, "?--"},
		{"permit ja4 " + chrome, Client{Addr: local, JA4: func() string { return "" }}, Hello, "?--"},
		{"permit client_cert cn bob", Client{Addr: local, Cert: bob}, Certificate, "??+"},
		{"permit client_cert cn bob", Client{Addr: local}, Certificate, "??-"},
		{"deny sni a.example;permit client_cert any", Client{Addr: local, Name: "a.example", Cert: bob}, Certificate, "?--"},
		{"deny sni a.example;permit client_cert any", Client{Addr: local, Name: "b.example", Cert: bob}, Certificate, "??+"},
		{"permit client_cert cn b*;deny 127.0.0.1;deny sni none", Client{Addr: local, Cert: bob}, Certificate, "??+"},
		{"permit client_cert cn c*;deny 127.0.0.1;deny sni none", Client{Addr: local, Cert: bob}, Certificate, "??-"},
		{"deny client_cert none;permit client_cert any", Client{Addr: local}, Certificate, "??-"},

		// Unix sockets: the exemption is for lists that speak of addresses only.
		{"permit 10.0.0.1", Client{}, Address, "+++"},
		{"permit 10.0.0.1;permit client_cert cn bob", Client{Cert: bob}, Certificate, "??+"},
		{"permit 10.0.0.1;permit client_cert cn bob", Client{}, Certificate, "??-"},
		{"permit client_cert cn bob;permit 10.0.0.1", Client{}, Certificate, "??-"},
		{"permit all;permit client_cert cn bob", Client{}, Certificate, "+++"},
	}
	for _, tt := range tests {
		compiled, err := Compile(list(t, tt.list), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for known := range Certificate + 1 {
			permit, decided := compiled.Decide(&tt.client, known)
			got.WriteString(map[[2]bool]string{{true, true}: "+", {false, true}: "-", {}: "?", {true, false}: "!"}[[2]bool{permit, decided}])
		}
		if got.String() != tt.want || compiled.Needs() != tt.needs {
			t.Errorf("%q: %+v: got %s, needs %s; want %s, %s", tt.list, tt.client, &got, compiled.Needs(), tt.want, tt.needs)
		}
		if want := tt.want[0] == '+'; compiled.Permit(tt.client.Addr) != want {
			t.Errorf("%q: %+v: Permit is not %t", tt.list, tt.client, want)
		}
	}
}

func TestNilListDecides(t *testing.T) {
	var l *Compiled
	if permit, decided := l.Decide(&Client{}, Address); !permit || !decided || l.Needs() != Address {
		t.Error("nil list does not permit, or not at once")
	}
}

func TestStageNames(t *testing.T) {
	if got := fmt.Sprint(Address, Hello, Certificate); got != "address ClientHello certificate" {
		t.Error(got)
	}
}

// who is a client and, for the plain loop, what patterns and hashes come to.
type who struct {
	Client
	ja4, cn, spki string
}

// matchesClient is an entry's rule, in one line each.
func matchesClient(e Entry, c *who, db Geography) bool {
	switch {
	case e.Cert == CertNone:
		return c.Cert == nil
	case e.Cert == CertAny:
		return c.Cert != nil
	case e.Cert == CertSPKI:
		return c.Cert != nil && e.Pattern == c.spki
	case e.Cert == CertCN || e.Cert == CertSAN:
		return c.Cert != nil && c.cn == strings.TrimSuffix(e.Pattern, "*")
	case e.Cert != "":
		return c.Cert != nil && "CN="+c.cn == strings.TrimSuffix(e.Pattern, "*")
	case e.JA4 != "":
		return c.ja4 == e.JA4
	case e.SNI == noName:
		return c.Name == ""
	case strings.HasPrefix(e.SNI, "*."):
		label, rest, _ := strings.Cut(c.Name, ".")
		return label != "" && "*."+rest == e.SNI
	case e.SNI != "":
		return c.Name == e.SNI
	case e.Peer != "" && !c.Unix:
		return !c.Addr.IsValid()
	case e.Peer == PeerUID:
		return c.UID == e.ID
	case e.Peer == PeerGID:
		return c.GID == e.ID
	case !c.Addr.IsValid():
		return e.All
	}
	return matches(e, c.Addr, db)
}

// judgeNaively is the rule as it is stated: entry by entry.
func judgeNaively(l List, c *who, db Geography, known Stage) Verdict {
	unixToo := false // entries can be about a client without an address
	for _, e := range l {
		unixToo = unixToo || e.Stage() != Address || e.Peer != ""
	}
	for i, e := range l {
		if e.Stage() > known {
			return Verdict{Entry: -1}
		}
		if matchesClient(e, c, db) {
			return Verdict{e.Permit && (e.Peer == "" || c.Unix), true, i}
		}
	}
	return Verdict{len(l) == 0 || !l[len(l)-1].Permit || !c.Addr.IsValid() && !unixToo, true, -1}
}

// people are certificates with the common names that anyEntry asks for.
func people(t testing.TB) (list []who) {
	for _, name := range []string{"a", "b", "c"} {
		cert := certificate(t, func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: name}
			c.DNSNames = []string{name}
		})
		sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
		list = append(list, who{Client: Client{Cert: cert}, cn: name, spki: hex.EncodeToString(sum[:])})
	}
	return append(list, who{})
}

var (
	someNames  = []string{"a.example", "b.example", "c.a.example", "none", ""}
	somePrints = []string{chrome, "t13d1516h2_000000000000_e5627efa2ab1", ""}
)

func anyEntry(rng *rand.Rand, people []who) Entry {
	e := Entry{Permit: rng.IntN(2) == 0}
	switch rng.IntN(10) {
	case 9:
		e.Peer, e.ID = []PeerField{PeerUID, PeerGID}[rng.IntN(2)], rng.Uint32N(3)
	case 0, 1:
		e.SNI = []string{"a.example", "*.example", "*.a.example", noName}[rng.IntN(4)]
	case 2:
		e.JA4 = somePrints[rng.IntN(2)]
	case 3:
		e.Cert = []CertField{CertNone, CertAny}[rng.IntN(2)]
	case 4:
		e.Cert, e.Pattern = CertSPKI, people[rng.IntN(3)].spki
	case 5:
		e.Cert = []CertField{CertSubject, CertIssuer, CertCN, CertSAN}[rng.IntN(4)]
		e.Pattern = people[rng.IntN(3)].cn
		if e.Cert == CertSubject || e.Cert == CertIssuer {
			e.Pattern = "CN=" + e.Pattern
		}
		e.Pattern += []string{"", "*"}[rng.IntN(2)] // a star that adds nothing
	default:
		return randomEntry(rng)
	}
	return e
}

func TestVerdictsAreThoseOfThePlainLoopAndStay(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	people := people(t)
	for range 4000 {
		database := countries{}
		var l List
		for range rng.IntN(10) {
			l = append(l, anyEntry(rng, people))
		}
		compiled := compile(t, l, database)
		want := make([]uint64, len(l)+1)
		for range 30 {
			c := people[rng.IntN(len(people))]
			if rng.IntN(5) > 0 {
				c.Addr = randomAddr(rng)
				if rng.IntN(4) > 0 {
					database[c.Addr] = []string{"SE", "NO", "FI"}[rng.IntN(3)]
				}
			}
			if rng.IntN(4) == 0 {
				c.Unix, c.UID, c.GID = true, rng.Uint32N(4), rng.Uint32N(4)
			}
			c.Name, c.ja4 = someNames[rng.IntN(len(someNames))], somePrints[rng.IntN(len(somePrints))]
			checkStages(t, l, compiled, &c, database, want)
			checkExplanation(t, l, compiled, &c)
		}
		if got := compiled.Hits(); !slices.Equal(got, want) {
			t.Fatalf("%v: hits %v, want %v", l, got, want)
		}
	}
}

// checkStages asks at each stage, and counts in hits what should be counted.
func checkStages(t *testing.T, l List, compiled *Compiled, c *who, db Geography, hits []uint64) {
	t.Helper()
	before := Verdict{}
	for known := range Certificate + 1 {
		asked := 0
		client := c.Client // what is not known yet is not there
		client.Name, client.Cert = "", nil
		if known >= Hello {
			client.Name, client.JA4 = c.Name, func() string { asked++; return c.ja4 }
		}
		if known >= Certificate {
			client.Cert = c.Cert
		}
		got, want := compiled.Judge(&client, known), judgeNaively(l, c, db, known)
		if got != want {
			t.Fatalf("%v: %+v: at %s: got %+v, want %+v", l, c, known, got, want)
		}
		if want.Decided {
			hits[(want.Entry+len(hits))%len(hits)]++
		}
		if before.Decided && before != got {
			t.Fatalf("%v: %+v: at %s the verdict changed", l, c, known)
		}
		if before = got; known >= compiled.Needs() && !got.Decided {
			t.Fatalf("%v: %+v: not decided at %s", l, c, known)
		}
		if asked > 1 || asked == 1 && compiled.hello.firstJA4 == none {
			t.Fatalf("%v: fingerprint computed %d times", l, asked)
		}
	}
}

// checkExplanation holds what is explained to what is decided. Explain has no way
// to say that a client has shown no certificate or has no fingerprint.
func checkExplanation(t *testing.T, l List, compiled *Compiled, c *who) {
	t.Helper()
	if c.Name == noName {
		return // which means something else there
	}
	client := c.Client
	client.JA4 = func() string { return c.ja4 }
	var verdict Verdict
	stage := Address
	for stage = range Certificate + 1 {
		if verdict = compiled.Judge(&client, stage); verdict.Decided {
			break
		}
	}
	compiled.hits[(verdict.Entry+len(compiled.hits))%len(compiled.hits)].Add(^uint64(0))
	if client.Name == "" {
		client.Name = noName
	}
	want := "denied"
	if verdict.Permit {
		want = "permitted"
	}
	text := compiled.Explain(&client)
	switch {
	case len(l) == 0:
		want = "the list has no entries: everybody is permitted\n"
	case strings.Contains(text, "is open"):
		want = "" // what is not known may change all
		if c.ja4 != "" && client.Cert != nil {
			t.Fatalf("%v: %+v: open entries:\n%s", l, c, text)
		}
	default:
		want += "; decided at the stage: " + stage.String() + "\n"
	}
	if verdict.Entry >= 0 && want != "" && !strings.Contains(text, fmt.Sprintf("entry %d, %q, matches: ", verdict.Entry+1, l[verdict.Entry])) {
		t.Fatalf("%v: %+v: %+v is not explained:\n%s", l, c, verdict, text)
	}
	if !strings.HasSuffix(text, want) {
		t.Fatalf("%v: %+v: want %q:\n%s", l, c, want, text)
	}
}

func TestFingerprintIsNotComputedInVain(t *testing.T) {
	for _, lines := range []string{
		"permit sni a.example", "permit all;deny ja4 " + chrome, "deny sni a.example;deny ja4 " + chrome, "permit client_cert any",
	} {
		compiled, err := Compile(list(t, lines), nil)
		if err != nil {
			t.Fatal(err)
		}
		client := Client{Addr: local, Name: "a.example", JA4: func() string { t.Errorf("%s: computed", lines); return "" }}
		compiled.Decide(&client, Certificate)
	}
}

// long is a list with entries of all kinds that match nobody.
func long(t testing.TB) *Compiled {
	l := list(t, "deny client_cert issuer *,O=x,*;deny client_cert subject *,O=Evil*;deny client_cert cn x*;deny client_cert san *.x;deny client_cert san 10.*;deny client_cert none;deny ja4 t13d1516h2_000000000000_e5627efa2ab1;deny country NO")
	l = append(l, Entry{Cert: CertSPKI, Pattern: strings.Repeat("00", 32)})
	for i := range 10000 {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0})
		l = append(l, Entry{Addr: addr, Mask: maskOf(24, 32)}, Entry{SNI: fmt.Sprintf("h%d.example", i)})
	}
	compiled, err := Compile(append(l, Entry{Permit: true, Cert: CertAny}), countries{})
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func TestDecideDoesNotAllocate(t *testing.T) {
	compiled := long(t)
	client := &Client{Addr: local, Name: "www.example.com", JA4: func() string { return chrome }, Cert: odd(t)}
	if permit, decided := compiled.Decide(client, Certificate); !permit || !decided {
		t.Fatalf("got %t, %t: an entry matches early", permit, decided)
	}
	for known := range Certificate + 1 {
		if n := testing.AllocsPerRun(100, func() { compiled.Decide(client, known) }); n != 0 {
			t.Errorf("at %s: %v allocations", known, n)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	cert := certificate(b, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "Alice", OrganizationalUnit: []string{"Sales"}, Organization: []string{"Example"}, Country: []string{"SE"}}
		c.EmailAddresses = []string{"alice@example.com"}
		c.DNSNames = []string{"alice.example.com"}
	})
	client := &Client{Addr: local, Name: "www.example.com", JA4: func() string { return chrome }, Cert: cert}
	for name, lines := range map[string]string{
		"sni":     "deny sni a.example;deny sni *.b.example;permit all",
		"ja4":     "deny ja4 t13d1516h2_000000000000_e5627efa2ab1;permit all",
		"subject": "permit client_cert subject *,O=Example.org,*;deny all",
		"cn":      "permit client_cert cn Bob;deny all",
		"san":     "permit client_cert san *@example.org;deny all",
		"spki":    "permit client_cert spki " + strings.Repeat("00", 32) + ";deny all",
	} {
		compiled, err := Compile(list(b, lines), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				compiled.Decide(client, Certificate)
			}
		})
	}
	compiled := long(b)
	for known := range Certificate + 1 {
		b.Run("20000 entries at "+known.String(), func(b *testing.B) {
			for b.Loop() {
				compiled.Decide(client, known)
			}
		})
	}
}
