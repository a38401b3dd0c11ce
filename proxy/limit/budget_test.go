package limit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// acquire asks for a turn that is to be had at once.
func acquire(t *testing.T, b *Budget) Turn {
	t.Helper()
	turn, w := b.enter(time.Now())
	if w != nil {
		t.Fatalf("has to wait: %+v", b.Stats())
	}
	return turn
}

// A line is handshakes that wait, and what became of them, in order.
type line struct {
	*Budget
	mu    sync.Mutex
	log   []string
	turns []Turn
}

// join makes one more wait in a goroutine of its own.
func (l *line) join(ctx context.Context, by time.Time, name string) {
	go func() {
		turn, err := l.Acquire(ctx, by)
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil {
			l.log = append(l.log, fmt.Sprint(name, ": ", err))
			return
		}
		l.log = append(l.log, name)
		l.turns = append(l.turns, turn)
	}()
	synctest.Wait()
}

// expect compares what has become of them since it was asked last.
func (l *line) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if fmt.Sprint(l.log) != fmt.Sprint(want) {
		t.Fatalf("%q, want %q", l.log, want)
	}
	l.log = nil
}

func TestNoBudget(t *testing.T) {
	for _, b := range []*Budget{new(Budget), NewBudget(Config{Concurrent: 1, PerSecond: 1}), NewBudget(Config{Handshakes: -1})} {
		for range 1000 {
			turn, err := b.Acquire(t.Context(), time.Time{})
			if err != nil || turn != (Turn{}) {
				t.Fatalf("without limits: %v, %v", turn, err)
			}
		}
		Turn{}.Done(true)
	}
}

// TestTurns: at most so many at once, the others in the order in which they came.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{Budget: NewBudget(Config{Handshakes: 2})}
		a, b := acquire(t, l.Budget), acquire(t, l.Budget)
		for _, name := range []string{"c", "d", "e"} {
			l.join(t.Context(), time.Time{}, name)
		}
		if got, want := l.Stats(), (BudgetStats{Running: 2, Waiting: 3}); got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
		l.expect(t)
		a.Done(true)
		l.expect(t, "c")
		b.Done(false)
		l.expect(t, "d")
		l.turns[0].Done(true)
		l.expect(t, "e")
		l.turns[1].Done(true)
		l.turns[2].Done(true)
		if got := l.Stats(); got != (BudgetStats{}) {
			t.Errorf("in the end %+v", got)
		}
	})
}

// TestGivingUp: who cannot wait longer leaves the queue, and nobody else does.
func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{Budget: NewBudget(Config{Handshakes: 1})}
		a := acquire(t, l.Budget)
		ctx, cancel := context.WithCancelCause(t.Context())
		l.join(ctx, time.Time{}, "b")
		l.join(t.Context(), time.Now().Add(time.Second), "c")
		l.join(t.Context(), time.Now().Add(time.Hour), "d")
		l.join(t.Context(), time.Now().Add(-time.Hour), "e")
		l.expect(t, "e: too many handshakes")
		cancel(errors.New("gone"))
		l.expect(t, "b: gone")
		time.Sleep(time.Second)
		l.expect(t, "c: too many handshakes")
		a.Done(true)
		l.expect(t, "d")
		if got, want := l.Stats(), (BudgetStats{Running: 1, Refused: 3}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// TestAnswered: a turn that comes while somebody gives up is not lost.
func TestAnswered(t *testing.T) {
	b := NewBudget(Config{Handshakes: 1})
	a := acquire(t, b)
	_, w := b.enter(time.Now())
	a.Done(true)
	turn, err := b.giveUp(w, errors.New("gone"))
	if err != nil || turn == (Turn{}) {
		t.Fatalf("%v, %v: want the turn", turn, err)
	}
	turn.Done(true)
	acquire(t, b)
}

// TestLateTimer: who comes when the next turn is due already does not take it
// from who has waited for it.
func TestLateTimer(t *testing.T) {
	b := NewBudget(Config{HandshakesPerSecond: 1e-3})
	acquire(t, b).Done(true)
	_, first := b.enter(time.Now())
	_, second := b.enter(time.Now().Add(time.Hour))
	if first == nil || second == nil || len(first.answer) != 1 || len(second.answer) != 0 {
		t.Errorf("the turn is not the first one's: %+v, %+v", first, second)
	}
}

// TestFullQueue: the one that has waited longest makes room.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{Budget: NewBudget(Config{Handshakes: 1})}
		a := acquire(t, l.Budget)
		for i := range minQueue + 2 {
			l.join(t.Context(), time.Time{}, fmt.Sprint(i))
		}
		l.expect(t, "0: too many handshakes", "1: too many handshakes")
		a.Done(true)
		l.expect(t, "2")
		l.Configure(Config{})
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.log) != minQueue-1 {
			t.Errorf("without limits %d of %d go on", len(l.log), minQueue-1)
		}
		for _, turn := range l.turns {
			turn.Done(true)
		}
		if got, want := l.Stats(), (BudgetStats{Refused: 2}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// TestNarrower: a queue that has become too long for the limits loses its oldest.
func TestNarrower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{Budget: NewBudget(Config{Handshakes: 20})}
		for range 20 {
			acquire(t, l.Budget)
		}
		for i := range 20 {
			l.join(t.Context(), time.Time{}, fmt.Sprint(i))
		}
		l.Configure(Config{Handshakes: 1})
		synctest.Wait()
		if got, want := l.Stats(), (BudgetStats{Running: 20, Waiting: minQueue, Refused: 20 - minQueue}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		l.Configure(Config{Handshakes: 1000})
		synctest.Wait()
		if got, want := l.Stats(), (BudgetStats{Running: 20 + minQueue, Refused: 20 - minQueue}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// TestDebt: what may be spent at once, and when it is paid.
func TestDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Config{HandshakesPerSecond: 100})
		waits := func(want time.Duration) {
			t.Helper()
			begin := time.Now()
			turn, err := b.Acquire(t.Context(), time.Time{})
			if err != nil || time.Since(begin) != want {
				t.Fatalf("after %v: %v, want it after %v", time.Since(begin), err, want)
			}
			turn.Done(true)
		}
		for range 25 { // a quarter of a second's
			waits(0)
		}
		waits(10 * time.Millisecond)
		waits(10 * time.Millisecond)
		time.Sleep(time.Hour)
		for range 25 {
			waits(0)
		}
		waits(10 * time.Millisecond)

		time.Sleep(10 * time.Millisecond)
		resumed := acquire(t, b)
		resumed.Done(false) // gives three quarters back
		waits(2500 * time.Microsecond)

		b.Configure(Config{HandshakesPerSecond: 0.1})
		time.Sleep(10 * time.Second)
		waits(0)
		waits(10 * time.Second)
		b.Configure(Config{HandshakesPerSecond: 100}) // the debt is not of the new times
		waits(10 * time.Millisecond)
	})
}

// A load is handshakes that are offered evenly, and what became of them.
type load struct {
	perSecond int
	full      bool
	lasts     time.Duration

	mu      sync.Mutex
	done    int
	refused int
	longest time.Duration // wait of those that were done
}

// offer offers the load for so many seconds and waits for its end.
func (l *load) offer(t *testing.T, b *Budget, seconds int) {
	var all sync.WaitGroup
	for range l.perSecond * seconds {
		all.Go(func() { l.handshake(t, b) })
		time.Sleep(time.Second / time.Duration(l.perSecond))
	}
	all.Wait()
	t.Logf("%d/s offered for %d s, full %v: %d done, %d refused, longest wait %v", l.perSecond, seconds, l.full, l.done, l.refused, l.longest)
}

func (l *load) handshake(t *testing.T, b *Budget) {
	begin := time.Now()
	turn, err := b.Acquire(t.Context(), begin.Add(10*time.Second))
	waited := time.Since(begin)
	if err == nil {
		time.Sleep(l.lasts)
		turn.Done(l.full)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.refused++
		return
	}
	l.done++
	l.longest = max(l.longest, waited)
}

// TestOverload offers twice what the budget allows and far more. What is done is
// what the budget allows, not more: the rest of the CPU is for others. Nobody
// waits long, and what is not done is refused, not put off.
func TestOverload(t *testing.T) {
	const rate, seconds = 200, 20
	for _, offered := range []int{rate / 2, 2 * rate, 20 * rate} {
		synctest.Test(t, func(t *testing.T) {
			b := NewBudget(Config{Handshakes: 50, HandshakesPerSecond: rate})
			l := &load{perSecond: offered, full: true, lasts: 30 * time.Millisecond}
			l.offer(t, b, seconds)
			want := min(offered, rate) * seconds
			most := want + rate/4 + rate // the window, and the queue that is left
			if l.done < want || l.done > most {
				t.Errorf("%d handshakes done, want %d to %d", l.done, want, most)
			}
			if l.longest > 1100*time.Millisecond {
				t.Errorf("the longest wait was %v, want about a second at most", l.longest)
			}
			if got := l.done + l.refused; got != offered*seconds {
				t.Errorf("%d handshakes done or refused, %d offered", got, offered*seconds)
			}
			if offered < rate && (l.refused > 0 || l.longest > 0) {
				t.Errorf("below the budget %d were refused, and one waited %v", l.refused, l.longest)
			}
		})
	}
}

// TestResumed: FullCost times as many resumed handshakes are done, though each
// is charged as a full one until it is over.
func TestResumed(t *testing.T) {
	const rate, seconds = 200, 10
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Config{HandshakesPerSecond: rate})
		l := &load{perSecond: 2 * FullCost * rate, lasts: 50 * time.Millisecond}
		l.offer(t, b, seconds)
		want := FullCost * rate * seconds
		if l.done < want*95/100 || l.done > want+FullCost*(rate/4+rate) {
			t.Errorf("%d resumed handshakes done, want about %d", l.done, want)
		}
	})
}

// TestUnfinished: clients that never finish cost as much as full handshakes,
// from the beginning.
func TestUnfinished(t *testing.T) {
	const rate, seconds = 200, 5
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Config{HandshakesPerSecond: rate})
		l := &load{perSecond: 10 * rate, full: true, lasts: time.Minute}
		var offers sync.WaitGroup
		defer offers.Wait()
		offers.Go(func() { l.offer(t, b, seconds) })
		time.Sleep(seconds * time.Second)
		synctest.Wait()
		if got, most := b.Stats().Running, rate*seconds+rate/4+1; got > most {
			t.Errorf("%d handshakes were begun in %d s, want %d at most", got, seconds, most)
		}
	})
}
