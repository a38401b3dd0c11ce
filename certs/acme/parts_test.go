package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edgepen/certs/certtest"

	"github.com/caddyserver/certmagic"
	acmeproto "github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestRetryGrows(t *testing.T) {
	last := time.Duration(0)
	for failures := range 12 {
		wait := retryAfter(failures)
		if wait < 54*time.Second || wait > 7*time.Hour || wait < last/2 {
			t.Errorf("after %d failures: %v, before %v", failures+1, wait, last)
		}
		last = wait
	}
	if last < 5*time.Hour {
		t.Errorf("in the end %v, want about six hours", last)
	}
}

func TestWords(t *testing.T) {
	limited := acmeproto.Problem{Status: 429, Type: acmeproto.ProblemTypeRateLimited, Detail: "too many certificates"}
	compound := acmeproto.Problem{Type: acmeproto.ProblemTypeCompound, Detail: "several", Subproblems: []acmeproto.Subproblem{
		{Problem: acmeproto.Problem{Detail: "no address"}, Identifier: acmeproto.Identifier{Type: "dns", Value: "a.example"}},
		{Problem: acmeproto.Problem{Detail: "other"}},
	}}
	for _, test := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("[a] Obtain: %w", fmt.Errorf("attempt 1: %w", limited)), "too many certificates (rateLimited)"},
		{compound, "several; a.example: no address; other (compound)"},
		{acmeproto.Problem{Detail: "just so"}, "just so"},
		{fmt.Errorf("performing request: %w", &url.Error{Op: "Get", URL: "https://ca.example/dir", Err: errors.New("refused")}), "https://ca.example/dir: refused"},
		{fmt.Errorf("[a] Renew: %w", &refusal{"tls-alpn-01: no; http-01: no", limited}), "tls-alpn-01: no; http-01: no"},
		{errors.New("disk full"), "disk full"},
	} {
		if got := words(test.err); got != test.want {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
}

func TestRefusesReplacement(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("x"), false},
		{acmeproto.Problem{Type: acmeproto.ProblemTypeMalformed}, true},
		{acmeproto.Problem{Type: acmeproto.ProblemTypeAlreadyReplaced}, true},
		{acmeproto.Problem{Type: acmeproto.ProblemTypeUnauthorized}, true},
		{acmeproto.Problem{Status: 404}, true},
		{acmeproto.Problem{Type: acmeproto.ProblemTypeRateLimited, Status: 429}, false},
		{acmeproto.Problem{Type: acmeproto.ProblemTypeUnauthorized, Resource: acmeproto.Authorization{}}, false},
	} {
		if got := refusesReplacement(test.err); got != test.want {
			t.Errorf("%v: %v", test.err, got)
		}
	}
}

// certmagic's progress is for debugging; its errors are warnings, unless the
// package says them itself. Of fields come the name and the error.
func TestLog(t *testing.T) {
	var log logged
	z := zapLog(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))).Named("x").With(zap.String("identifier", "a.example"))
	z.Info("progress", zap.String("secret", "hidden"))
	z.Error("trouble", zap.Error(errors.New("disk full")))
	z.Error("job failed", zap.Error(errors.New("known")))
	want := []string{
		`level=DEBUG msg="ACME: progress" name=a.example`,
		`level=WARN msg="ACME: trouble" name=a.example why="disk full"`,
		`level=DEBUG msg="ACME: job failed" name=a.example why=known`,
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines: %s", len(lines), log.String())
	}
	for i, line := range lines {
		if _, after, _ := strings.Cut(line, " "); after != want[i] {
			t.Errorf("got %s, want %s", after, want[i])
		}
	}

	var warnings logged
	handler := slog.NewTextHandler(&warnings, nil)
	zapLog(slog.New(handler)).Info("progress")
	slog.New(quiet{handler}).With("a", 1).WithGroup("g").Error("not so bad")
	if warnings.String() != "" {
		t.Errorf("logged: %s", warnings.String())
	}
	slog.New(quiet{slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})}).Error("not so bad")
	if !strings.Contains(log.String(), `level=DEBUG msg="ACME: not so bad"`) {
		t.Errorf("logged: %s", log.String())
	}
}

// Two processes share a storage: what one has locked, the other waits for.
func TestLocks(t *testing.T) {
	dir := t.TempDir()
	a, err := openStorage(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := openStorage(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := a.Lock(ctx, "x/../y"); err != nil {
		t.Fatal(err)
	}
	if locked, err := b.TryLock(ctx, "x/../y"); locked || err != nil {
		t.Errorf("locked twice: %v", err)
	}
	if locked, err := a.TryLock(ctx, "x/../y"); locked || err != nil {
		t.Errorf("locked twice by one: %v", err)
	}
	if locked, err := b.TryLock(ctx, "other"); !locked || err != nil {
		t.Errorf("another lock is not free: %v", err)
	}
	waited := make(chan error)
	go func() { waited <- b.Lock(ctx, "x/../y") }()
	if err := a.Unlock(ctx, "x/../y"); err != nil {
		t.Error(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if err := a.Unlock(ctx, "x/../y"); err == nil {
		t.Error("a lock is given back twice")
	}
	go func() { waited <- a.Lock(ctx, "x/../y") }()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("in the storage: %v, %v", left, err)
	}
}

// The bounds on what clients can cause hold, and end.
func TestDemandBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		m := &Manager{log: slog.New(slog.NewTextHandler(&log, nil)), served: newServed(), demand: newDemand()}
		m.want.allow, _ = newAllowed([]string{"*.example"})
		life, end := context.WithCancel(t.Context())
		end() // what is begun ends at once, without a word to a CA
		at := &authority{m: m, life: t.Context(), names: map[string]context.CancelFunc{"kept.example": end}}
		m.at = at

		if m.begin("kept.example", time.Now()) != nil || m.begin("no.such.example", time.Now()) != nil {
			t.Error("begun though not allowed")
		}
		m.demand.failed["bad.example"] = failure{"no", 1, time.Now().Add(time.Minute)}
		if m.begin("bad.example", time.Now()) != nil {
			t.Error("begun though it failed just now")
		}
		shared := make(chan struct{})
		m.demand.inFlight["shared.example"] = shared
		if m.begin("shared.example", time.Now()) != (<-chan struct{})(shared) {
			t.Error("what is under way is not shared")
		}
		for i := range demandAtOnce {
			m.demand.inFlight[fmt.Sprint(i)] = shared
		}
		if m.begin("more.example", time.Now()) != nil {
			t.Error("too many at once")
		}
		clear(m.demand.inFlight)
		for range demandPerHour {
			m.demand.begun = append(m.demand.begun, time.Now())
		}
		for range 3 {
			if m.begin("more.example", time.Now()) != nil {
				t.Error("too many an hour")
			}
		}
		if n := strings.Count(log.String(), "no more certificates"); n != 1 {
			t.Errorf("%d warnings, want one: %s", n, log.String())
		}
		time.Sleep(time.Hour)
		if why := m.demand.refuses("bad.example", time.Now()); why != "" || len(m.demand.begun) != 0 {
			t.Errorf("an hour later: %q, %d", why, len(m.demand.begun))
		}
		time.Sleep(25 * time.Hour)
		if m.demand.refuses("x.example", time.Now()); len(m.demand.failed) != 0 {
			t.Error("failures are remembered for ever")
		}
		at.life = life
		if m.begin("late.example", time.Now()) != nil {
			t.Error("begun after the end")
		}
	})
}

// What expired while nobody ran is served for the names that are kept, until
// it is renewed; on demand it is obtained instead.
func TestExpired(t *testing.T) {
	c := Config{Names: []string{"kept.example"}, OnDemand: []string{"*.example"}, Storage: t.TempDir(), CA: "https://ca.example/dir"}
	store, err := openStorage(c.Storage)
	if err != nil {
		t.Fatal(err)
	}
	root := certtest.NewRoot(t, "old")
	for _, name := range []string{"kept.example", "demanded.example", "fresh.example", "elsewhere.test"} {
		key := certtest.NewKey(t)
		leaf := root.Issue(t, name, key, func(template *x509.Certificate) {
			template.DNSNames = []string{name}
			if name != "fresh.example" {
				template.NotAfter = time.Now().Add(-time.Hour)
			}
		})
		for path, content := range map[string]string{
			certmagic.StorageKeys.SiteCert("ca.example-dir", name):       certtest.PEM(leaf),
			certmagic.StorageKeys.SitePrivateKey("ca.example-dir", name): certtest.KeyPEM(t, key),
		} {
			if err := store.Store(t.Context(), path, []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	m, err := New(c, discard())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"kept.example": true, "demanded.example": false, "fresh.example": true, "elsewhere.test": false} {
		if got := m.ForName(name) != nil; got != want {
			t.Errorf("%s is served: %v, want %v", name, got, want)
		}
	}
	if all := m.All(); len(all) != 2 || all[0].Names[0] != "fresh.example" {
		t.Errorf("all: %v", all)
	}
	kept := m.ForName("kept.example")[0]
	c.OnDemand = nil
	if err := m.Update(c); err != nil || m.ForName("kept.example")[0] != kept || m.ForName("fresh.example") != nil {
		t.Errorf("after an Update: %v, %v", err, m.All())
	}
}
