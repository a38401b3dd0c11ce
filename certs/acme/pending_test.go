package acme

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edgepen/certs"

	acmeproto "github.com/mholt/acmez/v3/acme"
)

// pose makes a challenge as acmez would.
func pose(host, token string) acmeproto.Challenge {
	return acmeproto.Challenge{Token: token, KeyAuthorization: token + ".thumbprint", Identifier: acmeproto.Identifier{Type: "dns", Value: host}}
}

func TestHTTPToken(t *testing.T) {
	m := &Manager{table: newPending(), served: newServed()}
	s := &solver{table: m.table, kind: HTTP01}
	if err := s.CleanUp(t.Context(), acmeproto.Challenge{}); err != nil || m.Pending() {
		t.Errorf("what never was is cleaned up with %v", err)
	}
	if err := s.Present(t.Context(), pose("A.example", "tok")); err != nil || !m.Pending() {
		t.Fatalf("%v; pending %v", err, m.Pending())
	}
	for _, test := range []struct {
		host, path string
		ok         bool
	}{
		{"a.example", "/.well-known/acme-challenge/tok", true},
		{"A.EXAMPLE:80", "/.well-known/acme-challenge/tok", true},
		{"a.example:8080", "/.well-known/acme-challenge/tok", true},
		{"b.example", "/.well-known/acme-challenge/tok", false},
		{"", "/.well-known/acme-challenge/tok", false},
		{"a.example", "/.well-known/acme-challenge/", false},
		{"a.example", "/.well-known/acme-challenge/tok/", false},
		{"a.example", "/.well-known/acme-challenge/../tok", false},
		{"a.example", "tok", false},
		{"a.example", "", false},
	} {
		body, ok := m.HTTPToken(test.host, test.path)
		if ok != test.ok || ok && body != "tok.thumbprint" || !ok && body != "" {
			t.Errorf("%s %s: %q, %v", test.host, test.path, body, ok)
		}
	}
	if m.ALPN("a.example") != nil {
		t.Error("http-01 is answered over TLS")
	}
	s.CleanUp(t.Context(), acmeproto.Challenge{})
	s.CleanUp(t.Context(), acmeproto.Challenge{})
	if _, ok := m.HTTPToken("a.example", "/.well-known/acme-challenge/tok"); ok || m.Pending() {
		t.Error("answered after the end")
	}
}

// Of two challenges for one name the later is answered, and the end of the
// former does not end it.
func TestALPN(t *testing.T) {
	m := &Manager{table: newPending()}
	first, second := &solver{table: m.table, kind: TLSALPN01}, &solver{table: m.table, kind: TLSALPN01}
	for i, s := range []*solver{first, second} {
		if err := s.Present(t.Context(), pose("a.example", strings.Repeat("t", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	cert := m.ALPN("A.example")
	if cert == nil || m.ALPN("b.example") != nil || m.ALPN("") != nil {
		t.Fatalf("certificate %v", cert)
	}
	first.CleanUp(t.Context(), acmeproto.Challenge{})
	if m.ALPN("a.example") != cert || !m.Pending() {
		t.Error("the end of one challenge ended another")
	}
	second.CleanUp(t.Context(), acmeproto.Challenge{})
	if m.ALPN("a.example") != nil || m.Pending() {
		t.Error("answered after the end")
	}
	if err := first.Present(t.Context(), acmeproto.Challenge{Identifier: acmeproto.Identifier{Type: "other"}}); err == nil || m.Pending() {
		t.Errorf("error %v, pending %v", err, m.Pending())
	}
}

// What nobody cleans up is gone after ten minutes.
func TestChallengeExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Manager{table: newPending()}
		for kind, token := range map[string]string{TLSALPN01: "a", HTTP01: "b"} {
			if err := (&solver{table: m.table, kind: kind}).Present(t.Context(), pose("a.example", token)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(challengeLife - time.Second)
		synctest.Wait()
		if m.table.count.Load() != 2 || m.ALPN("a.example") == nil {
			t.Error("gone too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if m.Pending() || m.ALPN("a.example") != nil || len(m.table.token) != 0 {
			t.Error("still pending")
		}
	})
}

func TestNoAllocation(t *testing.T) {
	m := &Manager{table: newPending(), served: newServed()}
	m.served.edit(func(all map[string]*entry) {
		all["a.example"] = &entry{certs: []*certs.Certificate{nil}}
		all["b.example"] = &entry{certs: []*certs.Certificate{nil}, onDemand: true}
	})
	if n := testing.AllocsPerRun(100, func() {
		if m.ForName("a.example") == nil || m.ForName("b.example") == nil || m.ForName("c.example") != nil || m.Pending() || m.ALPN("a.example") != nil {
			t.Error("wrong answers")
		}
		m.HTTPToken("a.example", "/.well-known/acme-challenge/tok")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzHTTPToken(f *testing.F) {
	m := &Manager{table: newPending()}
	if err := (&solver{table: m.table, kind: HTTP01}).Present(f.Context(), pose("a.example", "tok")); err != nil {
		f.Fatal(err)
	}
	f.Add("a.example:80", "/.well-known/acme-challenge/tok")
	f.Add("[::1]:80", "/.well-known/acme-challenge/")
	f.Fuzz(func(t *testing.T, host, path string) {
		body, ok := m.HTTPToken(host, path)
		if ok && (path != "/.well-known/acme-challenge/tok" || !strings.HasPrefix(strings.ToLower(strings.TrimPrefix(host, "[")), "a.example") || body != "tok.thumbprint") {
			t.Errorf("%q %q: %q", host, path, body)
		}
	})
}
