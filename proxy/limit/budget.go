package limit

import (
	"container/list"
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// FullCost is how many resumed handshakes cost as much as a full one: about four
// and a half with RSA keys of 2048 bits, measured on the server's side with
// TLS 1.3, where both agree on a key anew; hardly more than one with P-256.
const FullCost = 4

const (
	// window is how far handshakes may run ahead of what is paid for: so long a
	// time of the budget can be spent at once after a pause.
	window = 250 * time.Millisecond
	// The queue has room for the handshakes of a second, at least for minQueue.
	minQueue, maxQueue = 16, 1 << 16
)

// Budget is what the whole process spends on handshakes. Its methods may be
// called at the same time.
//
// What a handshake costs is known when it is over, and one that a client never
// finishes has cost as much as the dearest. Hence each begins by owing the time
// of a full one, and is given back what it did not use. Debts are paid as time
// passes; while they are too high, or too many handshakes are going on, others
// wait, first come first served. When the queue is full, who has waited longest
// is sent away, for it is the likeliest to have given up, and when far more is
// offered than can be done, nobody waits for much longer than a second.
type Budget struct {
	on atomic.Bool

	mu      sync.Mutex
	most    int           // handshakes at once, 0 for any number
	cost    time.Duration // of a full handshake, 0 for none
	room    int           // in the queue
	running int
	paid    time.Time   // when the debts will have been paid
	queue   list.List   // of *waiter, the oldest first
	timer   *time.Timer // for the first of them; nil until it is needed
	refused uint64
}

// A waiter is a handshake in the queue.
type waiter struct {
	answer chan answer // takes one without a reader
	place  *list.Element
	queued bool
}

// An answer is a turn, or not.
type answer struct {
	turn Turn
	ok   bool
}

// NewBudget makes a Budget of c's Handshakes and HandshakesPerSecond.
func NewBudget(c Config) *Budget {
	b := new(Budget)
	b.Configure(c)
	return b
}

// Configure changes the limits. Those who wait go by the new ones at once.
func (b *Budget) Configure(c Config) {
	c = c.sane()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.most, b.cost, b.room = c.Handshakes, 0, c.Handshakes
	if c.HandshakesPerSecond > 0 {
		b.cost = time.Duration(span(float64(time.Second) / c.HandshakesPerSecond))
		b.room = int(math.Min(math.Ceil(c.HandshakesPerSecond), maxQueue))
	}
	b.room = min(max(b.room, minQueue), maxQueue)
	b.on.Store(b.most > 0 || b.cost > 0)
	now := time.Now()
	if far := now.Add(max(b.cost, window)); b.paid.After(far) {
		b.paid = far
	}
	for b.queue.Len() > b.room {
		b.refuse()
	}
	b.proceed(now)
}

// Acquire waits until there is room for a handshake, at most until by (the zero
// Time: for as long as it takes). It is best called when the ClientHello has
// come and no key has been used yet: clients that say nothing cost nothing. The
// error is ErrBusy, or the cause of ctx's end; without one the Turn is to be
// given back.
func (b *Budget) Acquire(ctx context.Context, by time.Time) (Turn, error) {
	if !b.on.Load() {
		return Turn{}, nil
	}
	turn, w := b.enter(time.Now())
	if w == nil {
		return turn, nil
	}
	var late <-chan time.Time
	if !by.IsZero() {
		timer := time.NewTimer(time.Until(by))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case a := <-w.answer:
		return a.result()
	case <-ctx.Done():
		return b.giveUp(w, context.Cause(ctx))
	case <-late:
		return b.giveUp(w, ErrBusy)
	}
}

func (a answer) result() (Turn, error) {
	if !a.ok {
		return Turn{}, ErrBusy
	}
	return a.turn, nil
}

// enter gives a turn at once or a place in the queue.
func (b *Budget) enter(now time.Time) (Turn, *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue.Len() == 0 && b.free() && b.delay(now) == 0 {
		return b.begin(now), nil
	}
	if b.queue.Len() >= b.room {
		b.refuse()
	}
	w := &waiter{answer: make(chan answer, 1), queued: true}
	w.place = b.queue.PushBack(w)
	b.proceed(now)
	return Turn{}, w
}

// giveUp leaves the queue. An answer that has come meanwhile holds.
func (b *Budget) giveUp(w *waiter, why error) (Turn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !w.queued {
		return (<-w.answer).result()
	}
	b.remove(w)
	b.refused++
	return Turn{}, why
}

func (b *Budget) remove(w *waiter) {
	b.queue.Remove(w.place)
	w.queued = false
}

// first is the oldest waiter, taken out of the queue.
func (b *Budget) first() *waiter {
	w := b.queue.Front().Value.(*waiter)
	b.remove(w)
	return w
}

// refuse sends the oldest waiter away.
func (b *Budget) refuse() {
	b.refused++
	b.first().answer <- answer{}
}

// free reports whether there are not too many handshakes going on.
func (b *Budget) free() bool { return b.most == 0 || b.running < b.most }

// delay is the time until the debts allow another handshake: they are paid, or
// the window has room for the cost.
func (b *Budget) delay(now time.Time) time.Duration {
	if b.cost == 0 {
		return 0
	}
	owed := max(b.paid.Sub(now), 0)
	return max(owed-max(window-b.cost, 0), 0)
}

// begin charges a handshake.
func (b *Budget) begin(now time.Time) Turn {
	b.running++
	if b.cost > 0 {
		if b.paid.Before(now) {
			b.paid = now
		}
		b.paid = b.paid.Add(b.cost)
	}
	return Turn{b, b.cost}
}

// proceed gives turns to those who wait, as far as they go now, and sees to it
// that it is called again when the debts allow the next.
func (b *Budget) proceed(now time.Time) {
	for b.queue.Len() > 0 && b.free() {
		d := b.delay(now)
		switch {
		case d == 0:
			b.first().answer <- answer{b.begin(now), true}
			continue
		case b.timer == nil:
			b.timer = time.AfterFunc(d, b.onTime)
		default:
			b.timer.Reset(d)
		}
		return
	}
}

func (b *Budget) onTime() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.proceed(time.Now())
}

// Turn is the right to do one handshake. The zero Turn is one without limits.
type Turn struct {
	b    *Budget
	owed time.Duration
}

// Done says that the handshake is over, and whether it was a full one: that is
// also one that failed after keys had been used, or that nobody knows of. It is
// to be called once.
func (t Turn) Done(full bool) {
	if t.b == nil {
		return
	}
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	t.b.running--
	if !full {
		t.b.paid = t.b.paid.Add(t.owed/FullCost - t.owed)
	}
	t.b.proceed(time.Now())
}

// BudgetStats is what is going on in a [Budget].
type BudgetStats struct {
	Running int    // handshakes that have a turn
	Waiting int    // that have none yet
	Refused uint64 // that waited in vain, from the beginning
}

// Stats is the state of this moment.
func (b *Budget) Stats() BudgetStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return BudgetStats{b.running, b.queue.Len(), b.refused}
}
