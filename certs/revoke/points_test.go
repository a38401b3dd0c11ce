package revoke

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"edgepen/certs/certtest"
)

// site stands in for the servers of distribution points, within a bubble.
type site struct {
	mu    sync.Mutex
	pages map[string][]byte
	delay time.Duration
	asked map[string]int
}

func (s *site) get(ctx context.Context, url string) ([]byte, error) {
	s.mu.Lock()
	s.asked[url]++
	page, delay := s.pages[url], s.delay
	s.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if page == nil {
		return nil, errors.New("nobody is at home")
	}
	return page, nil
}

func (s *site) set(url string, page []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[url] = page
}

func (s *site) count(url string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[url]
}

// fetching makes a checker that asks the site, and a CA.
func fetching(t *testing.T, mode Mode, files ...*List) (*Checker, *site, *bytes.Buffer) {
	c, log := checker(t)
	s := &site{pages: map[string][]byte{}, asked: map[string]int{}, delay: time.Second}
	c.points.get = s.get
	c.Use(NewRules(files, nil, Policy{Mode: mode, Fetch: true}))
	return c, s, log
}

// from is a list valid from now for a time.
func from(life time.Duration, serials ...int64) crl {
	return crl{this: time.Now(), next: time.Now().Add(life), serials: serials}
}

const u = "http://crl.example/ca.crl"

func check(t *testing.T, c *Checker, ca *certtest.Authority, serial int64, urls ...string) error {
	t.Helper()
	if urls == nil {
		urls = []string{u}
	}
	return c.Check(t.Context(), c.rules.Load(), []*x509.Certificate{client(t, ca, serial, urls...), ca.Cert}, time.Now())
}

func wantOutcome(t *testing.T, err error, want string) {
	t.Helper()
	if outcome(err) != want {
		t.Errorf("got %s (%v), want %s", outcome(err), err, want)
	}
}

func TestFetchedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := fetching(t, Hard)
		ca := newCA(t, "CA", nil)
		s.set(u, from(time.Hour, 6).der(t, ca))
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { wantOutcome(t, check(t, c, ca, 5), "passes") })
		}
		wg.Wait()
		wantOutcome(t, check(t, c, ca, 6), "revoked")
		if n := s.count(u); n != 1 {
			t.Errorf("asked %d times, want 1", n)
		}
		if got := c.Describe(time.Now()); len(got) != 1 || !strings.HasSuffix(got[0], "from "+u) {
			t.Errorf("%q", got)
		}
	})
}

func TestFailureIsRememberedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, log := fetching(t, Hard)
		ca := newCA(t, "CA", nil)
		for range 5 {
			err := check(t, c, ca, 5)
			wantOutcome(t, err, "unknown")
			if want := "there is no revocation list of its issuer; " + u + ": nobody is at home"; !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%v", err)
			}
		}
		c.Use(NewRules(nil, nil, Policy{Mode: Soft, Fetch: true}))
		wantOutcome(t, check(t, c, ca, 5), "passes")
		if !strings.Contains(log.String(), "nobody is at home") {
			t.Errorf("log: %s", log)
		}
		if n := s.count(u); n != 1 {
			t.Errorf("asked %d times within a minute, want 1", n)
		}
		if got := c.Describe(time.Now()); len(got) != 1 || got[0] != "CN=CA: no list: "+u+": nobody is at home" {
			t.Errorf("%q", got)
		}
		time.Sleep(time.Minute)
		s.set(u, from(time.Hour, 5).der(t, ca))
		wantOutcome(t, check(t, c, ca, 5), "revoked")
	})
}

// TestSlowPoint holds that a handshake waits five seconds for all of its
// distribution points, and that the answer serves the next one.
func TestSlowPoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := fetching(t, Hard)
		ca := newCA(t, "CA", nil)
		s.delay = 8 * time.Second
		s.set(u, from(time.Hour).der(t, ca))
		began := time.Now()
		err := check(t, c, ca, 5, "http://a/", u)
		wantOutcome(t, err, "unknown")
		if took := time.Since(began); took != patience {
			t.Errorf("took %v, want %v", took, patience)
		}
		if !strings.Contains(err.Error(), "has not answered in time") {
			t.Error(err)
		}
		time.Sleep(8 * time.Second)
		wantOutcome(t, check(t, c, ca, 5, "http://a/", u), "passes")
	})
}

func TestClientWhoHangsUpIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := fetching(t, Hard)
		ca := newCA(t, "CA", nil)
		s.set(u, from(time.Hour).der(t, ca))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		wantOutcome(t, c.Check(ctx, c.rules.Load(), []*x509.Certificate{client(t, ca, 5, u), ca.Cert}, began), "unknown")
		if !time.Now().Equal(began) {
			t.Error("it took its time")
		}
		wantOutcome(t, check(t, c, ca, 5), "passes")
		if n := s.count(u); n != 1 {
			t.Errorf("asked %d times, want 1", n)
		}
	})
}

// TestFilesFirst holds that nobody waits for a distribution point where a file
// covers the certificate, that it is asked all the same, and that both count.
func TestFilesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newCA(t, "CA", nil)
		c, s, _ := fetching(t, Hard, from(time.Hour, 7).list(t, ca, "ca.crl"))
		s.set(u, from(time.Hour, 5).der(t, ca))
		began := time.Now()
		wantOutcome(t, check(t, c, ca, 5), "passes")
		if !time.Now().Equal(began) {
			t.Error("it waited")
		}
		time.Sleep(2 * time.Second)
		wantOutcome(t, check(t, c, ca, 5), "revoked")
		wantOutcome(t, check(t, c, ca, 7), "revoked")
	})
}

// TestHoldLifted has an expired file with an entry that the current list at the
// distribution point lacks.
func TestHoldLifted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newCA(t, "CA", nil)
		old := crl{this: time.Now().Add(-2 * time.Hour), next: time.Now().Add(-time.Hour), serials: []int64{5}}
		c, s, _ := fetching(t, Hard, old.list(t, ca, "old.crl"))
		wantOutcome(t, check(t, c, ca, 5), "revoked")
		time.Sleep(time.Minute)
		s.set(u, from(time.Hour).der(t, ca))
		wantOutcome(t, check(t, c, ca, 5), "passes")
	})
}

// TestUnusableAnswers holds that plain HTTP's answers are not believed: only
// the issuer's own, no older list takes a list's place.
func TestUnusableAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, other := newCA(t, "CA", nil), newCA(t, "other", nil)
		twin := newCA(t, "CA", func(c *x509.Certificate) { c.SubjectKeyId = ca.Cert.SubjectKeyId })
		ours := from(time.Hour, 5).der(t, ca)
		older := crl{this: time.Now().Add(-time.Hour), next: time.Now().Add(10 * time.Hour)}.der(t, ca)
		two := certtest.Block(pemType, ours) + certtest.Block(pemType, ours)
		tests := []struct {
			name, want string
			page       []byte
		}{
			{"nonsense", "is neither PEM", []byte("<html>")},
			{"another issuer", "has a list of CN=other, not of CN=CA", from(2*time.Hour).der(t, other)},
			{"another key", "has a list that is not its issuer's: x509: ECDSA verification failure", from(2*time.Hour).der(t, twin)},
			{"older", "older than the one of", older},
			{"two", "has 2 lists", []byte(two)},
			{"expired", "expired on", crl{this: time.Now(), next: time.Now()}.der(t, ca)},
		}
		for _, tt := range tests {
			c, s, _ := fetching(t, Hard)
			pt := c.points.touch(u, ca.Cert)
			former := parseOne(t, u, ours)
			s.set(u, tt.page)
			l, err := c.points.obtain(t.Context(), pt, former)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
			if (l != nil) != (tt.name == "expired") {
				t.Errorf("%s: list %v", tt.name, l)
			}
		}
	})
}

// TestSameURLOfTwoIssuers holds that one cannot spoil the other's list.
func TestSameURLOfTwoIssuers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := fetching(t, Hard)
		a, b := newCA(t, "A", nil), newCA(t, "B", nil)
		s.set(u, from(time.Hour).der(t, a))
		wantOutcome(t, check(t, c, b, 5), "unknown")
		wantOutcome(t, check(t, c, a, 5), "passes")
	})
}

func TestOnlyHTTPIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := fetching(t, Hard)
		ca := newCA(t, "CA", nil)
		s.set("HTTPS://crl/", from(time.Hour).der(t, ca))
		wantOutcome(t, check(t, c, ca, 5, "ldap://crl/", "file:///etc/passwd", "http://", "HTTPS://crl/"), "passes")
		if len(s.asked) != 1 {
			t.Errorf("asked %v", s.asked)
		}
	})
}

// TestRefresh holds that Run has the next list before the last one ends, that
// it goes on with the last one while the point is down, and how it ends.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := fetching(t, Hard)
		ca := newCA(t, "CA", nil)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { c.Run(ctx) })

		s.set(u, from(8*time.Hour).der(t, ca))
		wantOutcome(t, check(t, c, ca, 5), "passes")
		s.set(u, nil)
		time.Sleep(6*time.Hour + 30*time.Second)
		if n := s.count(u); n != 2 {
			t.Errorf("asked %d times after three quarters, want 2", n)
		}
		wantOutcome(t, check(t, c, ca, 5), "passes")
		if got := c.Describe(time.Now()); !strings.Contains(got[0], "; last attempt: "+u+": nobody is at home") {
			t.Errorf("%q", got)
		}
		s.set(u, from(8*time.Hour, 5).der(t, ca))
		time.Sleep(time.Hour)
		if n := s.count(u); n < 3 || n > 5 {
			t.Errorf("asked %d times", n)
		}
		wantOutcome(t, check(t, c, ca, 5), "revoked")

		s.mu.Lock()
		s.delay = time.Hour
		s.mu.Unlock()
		wg.Go(func() { wantOutcome(t, check(t, c, ca, 9, "http://other/"), "unknown") })
		synctest.Wait()
		began := time.Now()
		cancel()
		wg.Wait()
		if !time.Now().Equal(began) {
			t.Error("Run waited for a fetch under way")
		}
		wantOutcome(t, check(t, c, ca, 9, "http://third/"), "unknown")
		if s.count("http://third/") != 0 {
			t.Error("fetched after the end")
		}
	})
}

func TestRefreshAt(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		age, life, want time.Duration
	}{
		{0, 8 * time.Hour, 6 * time.Hour},
		{0, 2 * time.Hour, time.Hour},
		{0, time.Hour, 45 * time.Minute},
		{7 * time.Hour, 8 * time.Hour, 15 * time.Minute},
		{8*time.Hour - time.Minute, 8 * time.Hour, minRefresh},
		{0, 30 * day, day},
		{0, 0, day},
	}
	ca := newCA(t, "CA", nil)
	for _, tt := range tests {
		l := crl{this: noon.Add(-tt.age), next: noon.Add(tt.life - tt.age)}.list(t, ca, "x")
		if tt.life == 0 {
			l.header.NextUpdate = time.Time{}
		}
		if got := l.refreshAt(noon).Sub(noon); got != tt.want {
			t.Errorf("%v old of %v: in %v, want %v", tt.age, tt.life, got, tt.want)
		}
	}
}

// TestBounds holds that the points not asked for longest are forgotten.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := fetching(t, Hard)
		s.delay = 0
		ca := newCA(t, "CA", nil)
		page := from(time.Hour).der(t, ca)
		for n := range maxPoints + 10 {
			url := fmt.Sprintf("http://crl/%d", n)
			s.set(url, page)
			wantOutcome(t, check(t, c, ca, 5, url), "passes")
			wantOutcome(t, check(t, c, ca, 5, "http://crl/0"), "passes")
		}
		if n := len(c.points.known); n != maxPoints {
			t.Errorf("%d points, want %d", n, maxPoints)
		}
		if s.count("http://crl/0") != 1 {
			t.Error("the one asked most recently was forgotten")
		}
		c.Use(NewRules(nil, nil, Policy{Mode: Soft}))
		if n := len(c.points.known); n != 0 {
			t.Errorf("%d points left when nothing is fetched any more", n)
		}
	})
}
