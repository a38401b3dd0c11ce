package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"edgepen/proxy/backend"
)

// farm is servers whose checks come to what the test says, and a Keeper of them.
type farm struct {
	*Keeper
	log bytes.Buffer

	mu    sync.Mutex
	began time.Time
	sick  map[string]error         // by address
	slow  map[string]time.Duration // how long a check takes
	times map[string][]time.Duration
	kinds map[string][]Kind
	now   int // checks under way
	most  int
}

func newFarm() *farm {
	f := &farm{began: time.Now(), sick: map[string]error{}, slow: map[string]time.Duration{}, times: map[string][]time.Duration{}, kinds: map[string][]Kind{}}
	f.Keeper = New(slog.New(slog.NewTextHandler(&f.log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}})), f.probe)
	return f
}

func (f *farm) probe(ctx context.Context, t Target, c Config) (string, error) {
	f.mu.Lock()
	name := t.Server.Address
	f.times[name] = append(f.times[name], time.Since(f.began))
	f.kinds[name] = append(f.kinds[name], c.Kind)
	err, slow := f.sick[name], f.slow[name]
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return "", fmt.Errorf("timed out: %w", ctx.Err())
	}
	return "well", err
}

func (f *farm) set(name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sick[name] = err
}

func (f *farm) checked(name string) []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.times[name])
}

// run runs the Keeper until the function it returns is called.
func (f *farm) run(t *testing.T) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

func server(name string) *backend.Server {
	return &backend.Server{Spec: backend.Spec{Address: name, Port: 80}, State: new(backend.State)}
}

func targets(servers ...*backend.Server) (all []Target) {
	for _, s := range servers {
		all = append(all, Target{Server: s})
	}
	return all
}

func on(every time.Duration, rise, fall int) Config {
	c := Defaults()
	c.Kind, c.Interval, c.Rise, c.Fall = TCP, every, rise, fall
	return c
}

func TestAServerGoesDownAndComesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, a, b := newFarm(), server("a"), server("b")
		f.set("a", errors.New("refused"))
		f.Use(targets(a, b), on(10*time.Second, 2, 3))
		synctest.Wait()
		if n := len(f.checked("a")); n > 0 {
			t.Errorf("%d checks before Run", n)
		}
		defer f.run(t)()
		synctest.Wait()
		if r, ok := f.Report(a); !ok || r.Said != "refused" || a.Down() || !r.Checked {
			t.Errorf("not checked at once, or down too early: %+v", r)
		}
		time.Sleep(35 * time.Second)
		synctest.Wait()
		if !a.Down() || b.Down() {
			t.Errorf("after 35 s: a is down: %v, b is down: %v", a.Down(), b.Down())
		}
		f.set("a", nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		r, _ := f.Report(a)
		if a.Down() || r.String() != "up" || r.Said != "well" || r.Since.Before(f.began.Add(35*time.Second)) {
			t.Errorf("after another minute: %+v", r)
		}
		const want = "msg=\"server down\" server=a port=80 why=refused\nmsg=\"server up\" server=a port=80 why=well\n"
		if got := f.log.String(); got != want {
			t.Errorf("the log has\n%s", got)
		}
	})
}

// TestTimes: the first check is made at once, the second within an interval, so that servers spread, and the others an interval apart, more or less.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm()
		var all []*backend.Server
		for i := range 50 {
			all = append(all, server(fmt.Sprint("s", i)))
		}
		f.Use(targets(all...), on(10*time.Second, 2, 3))
		defer f.run(t)()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		early := 0
		for _, s := range all {
			times := f.checked(s.Address)
			if len(times) < 27 || times[0] != 0 || times[1] > 10*time.Second {
				t.Fatalf("%s: %v", s.Address, times)
			}
			if times[1] < 5*time.Second {
				early++
			}
			for i := 2; i < len(times); i++ {
				if d := times[i] - times[i-1]; d < 9*time.Second || d > 11*time.Second {
					t.Errorf("%s: %v between two checks", s.Address, d)
				}
			}
		}
		if early < 10 || early > 40 {
			t.Errorf("%d of 50 second checks within the first half of the interval", early)
		}
	})
}

// TestAnotherIntervalRestartsNothing: it holds from the next check on, and what is known stays.
func TestAnotherIntervalRestartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, a := newFarm(), server("a")
		f.set("a", errors.New("refused"))
		f.Use(targets(a), on(time.Second, 2, 3))
		defer f.run(t)()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		before := len(f.checked("a"))
		was, _ := f.Report(a)
		f.Use(targets(a), on(1000*time.Second, 2, 3))
		synctest.Wait()
		if now, _ := f.Report(a); len(f.checked("a")) != before || now != was || !a.Down() {
			t.Errorf("%d checks, then %d; %+v, then %+v", before, len(f.checked("a")), was, now)
		}
		time.Sleep(800 * time.Second)
		synctest.Wait()
		if n := len(f.checked("a")); n != before {
			t.Errorf("%d checks within a longer interval", n-before)
		}
		f.Use(targets(a), on(time.Second, 2, 3)) // what is long due is done at once
		synctest.Wait()
		if n := len(f.checked("a")); n != before+1 {
			t.Errorf("%d checks once the interval is short again", n-before)
		}
	})
}

// TestAnotherQuestionIsAskedAtOnce, and so is one of another address; neither forgets what is known.
func TestAnotherQuestionIsAskedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, a := newFarm(), server("a")
		f.set("a", errors.New("refused"))
		c := on(time.Hour, 2, 1)
		f.Use(targets(a), c)
		defer f.run(t)()
		synctest.Wait()
		c.Kind, c.Path = HTTP, "/health"
		f.Use(targets(a), c)
		synctest.Wait()
		moved := *a
		moved.Addrs = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:80")}
		f.Use(targets(&moved), c)
		synctest.Wait()
		f.Use(targets(&moved), c)
		synctest.Wait()
		if got := f.kinds["a"]; !slices.Equal(got, []Kind{TCP, HTTP, HTTP}) || !a.Down() {
			t.Errorf("asked %v; down: %v", got, a.Down())
		}
	})
}

// TestWhoHasGoneIsUp: a slot that gets another address begins anew, and so does everybody when checks are switched off and on.
func TestWhoHasGoneIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, a := newFarm(), server("a")
		f.set("a", errors.New("refused"))
		f.set("b", errors.New("refused"))
		c := on(time.Hour, 1, 1)
		f.Use(targets(a), c)
		defer f.run(t)()
		synctest.Wait()
		if !a.Down() {
			t.Fatal("a is up")
		}
		f.slow["b"] = time.Second
		other := &backend.Server{Spec: backend.Spec{Address: "b", Port: 80}, State: a.State}
		f.Use(targets(other), c)
		synctest.Wait()
		if r, ok := f.Report(other); !ok || other.Down() || r.String() != "unknown" {
			t.Errorf("%+v, %v", r, ok)
		}
		f.Use(targets(other), Config{}) // while its check is under way, whose result is nobody's
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, ok := f.Report(other); ok || other.Down() {
			t.Error("still looked after, or down")
		}
		f.Use(targets(other), c)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !other.Down() || len(f.checked("b")) != 2 {
			t.Errorf("not looked after again: %v", f.checked("b"))
		}
	})
}

// TestOurOwnFailuresCountForNothing, whatever the server's standing.
func TestOurOwnFailuresCountForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, a := newFarm(), server("a")
		f.set("a", fmt.Errorf("%w: too many open files", ErrUnasked))
		f.Use(targets(a), on(time.Second, 1, 1))
		defer f.run(t)()
		time.Sleep(time.Minute)
		synctest.Wait()
		if r, _ := f.Report(a); a.Down() || r.Checked || !strings.Contains(r.Said, "too many open files") || f.log.Len() > 0 {
			t.Errorf("%+v\n%s", r, f.log.String())
		}
	})
}

// TestChecksAreBounded in time, and in number at once: silent servers hold up one another, and nothing else.
func TestChecksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm()
		var all []*backend.Server
		for i := range 3 * atOnce {
			s := server(fmt.Sprint("s", i))
			f.slow[s.Address] = time.Hour
			all = append(all, s)
		}
		f.Use(targets(all...), on(5*time.Second, 2, 1))
		end := f.run(t)
		time.Sleep(7 * time.Second)
		synctest.Wait()
		for _, s := range all {
			if !s.Down() {
				t.Errorf("%s is up", s.Address)
			}
		}
		if f.most != atOnce {
			t.Errorf("%d checks at once", f.most)
		}
		end() // with checks under way: no goroutine may be left, which synctest sees to
		if f.now != 0 {
			t.Errorf("%d checks go on", f.now)
		}
		f.Use(targets(all...), on(time.Second, 1, 1)) // too late to begin anything
	})
}
