// Package health checks servers, so that those that are down are passed over before a client meets them.
//
// A [Keeper] lives as long as the process and is told with each configuration which servers there are; each has a goroutine that checks it
// every so often. What a result means is [Standing], a value; how a server is asked is the caller's [Probe].
package health

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"edgepen/proxy/backend"
)

// Target is a server to look after.
type Target struct {
	Server *backend.Server
	// ConnectOnly says that it is asked for no more than to accept a connection, whatever the others are asked for.
	ConnectOnly bool
}

// Probe checks a server until ctx ends. It says in a few words what came of it, or what is wrong with the server; an error that wraps ErrUnasked
// says that the server had no part in it.
type Probe func(ctx context.Context, t Target, c Config) (said string, err error)

// ErrUnasked is a check that has failed for a reason of our own, and that says nothing about the server.
var ErrUnasked = errors.New("it could not be asked")

// atOnce bounds the checks under way: what waits for its turn costs no descriptor.
const atOnce = 64

// Keeper checks servers.
type Keeper struct {
	log   *slog.Logger
	probe Probe
	turns chan struct{} // as many as there are checks under way

	mu      sync.Mutex
	running context.Context // nil before Run
	config  Config
	watched map[key]*watched
	wg      sync.WaitGroup
}

// key is what makes a server the same one: its slot, and what it is configured as.
type key struct {
	state   *backend.State
	address string
	port    uint16
}

func keyOf(srv *backend.Server) key { return key{srv.State, srv.Address, srv.Port} }

// watched is a server that is looked after. The Keeper's lock guards it.
type watched struct {
	Target
	Report
	end    context.CancelFunc // nil: its goroutine has not begun
	wake   chan struct{}      // the configuration has changed
	urgent bool               // and with it what a check would find
}

// Report is what is known of a server.
type Report struct {
	Standing
	Since time.Time     // when that began
	Said  string        // what came of the last check; "": there was none yet
	Took  time.Duration // the last check
}

// New returns a Keeper of no servers.
func New(log *slog.Logger, probe Probe) *Keeper {
	return &Keeper{log: log, probe: probe, turns: make(chan struct{}, atOnce), watched: map[key]*watched{}}
}

// Use replaces the configuration and the servers. Those that stay keep their standing, and are checked at once where the answer may be another
// now; those that have gone, all of them where checks are off, count as up.
func (k *Keeper) Use(targets []Target, c Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.config
	k.config = c
	next := map[key]*watched{}
	if c.Kind != Off {
		for _, t := range targets {
			next[keyOf(t.Server)] = k.keep(t, old)
		}
	}
	for id, w := range k.watched {
		if next[id] == nil {
			w.stop()
		}
	}
	k.watched = next
	k.start()
}

// keep is the entry of a server, the one that there is or a new one.
func (k *Keeper) keep(t Target, old Config) *watched {
	w := k.watched[keyOf(t.Server)]
	if w == nil {
		return &watched{Target: t, Report: Report{Since: time.Now()}, wake: make(chan struct{}, 1)}
	}
	moved := !slices.Equal(w.Server.Addrs, t.Server.Addrs)
	w.Target = t
	w.urgent = w.urgent || moved || !k.config.asks(old)
	if w.urgent || k.config != old {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	return w
}

// stop ends the checks of a server, which is up from now on as far as we know.
func (w *watched) stop() {
	if w.end != nil {
		w.end()
	}
	w.Server.SetDown(false)
}

// start begins with those that nobody looks after yet.
func (k *Keeper) start() {
	if k.running == nil || k.running.Err() != nil {
		return
	}
	for _, w := range k.watched {
		if w.end == nil {
			var ctx context.Context
			ctx, w.end = context.WithCancel(k.running)
			k.wg.Go(func() { k.watch(ctx, w) })
		}
	}
}

// Run checks until ctx ends, and returns when the last check has.
func (k *Keeper) Run(ctx context.Context) {
	k.mu.Lock()
	k.running = ctx
	k.start()
	k.mu.Unlock()
	<-ctx.Done()
	k.mu.Lock() // whoever has begun a goroutine has counted it
	for _, w := range k.watched {
		if w.end != nil {
			w.end()
		}
	}
	k.mu.Unlock()
	k.wg.Wait()
}

// watch checks one server every so often. The first pause is of any length up to the interval, so that those who begin together do not go on
// together; the others vary a little.
func (k *Keeper) watch(ctx context.Context, w *watched) {
	least, most := 0.0, 1.0
	for {
		began, ok := k.check(ctx, w)
		if !ok || !k.pause(ctx, w, began, least+(most-least)*rand.Float64()) {
			return
		}
		least, most = 0.9, 1.1
	}
}

// check checks a server when its turn comes; false once ctx has ended.
func (k *Keeper) check(ctx context.Context, w *watched) (began time.Time, ok bool) {
	select {
	case k.turns <- struct{}{}:
	case <-ctx.Done():
		return time.Time{}, false
	}
	defer func() { <-k.turns }()
	k.mu.Lock()
	target, config := w.Target, k.config
	w.urgent = false
	k.mu.Unlock()
	began = time.Now()
	limited, cancel := context.WithTimeout(ctx, config.Timeout)
	defer cancel()
	said, err := k.probe(limited, target, config)
	if ctx.Err() != nil {
		return began, false
	}
	k.note(w, said, err, time.Since(began))
	return began, true
}

// pause waits until a share of the interval, as it is set by then, has passed since the last check began, or something makes one urgent; false
// once ctx has ended.
func (k *Keeper) pause(ctx context.Context, w *watched, began time.Time, share float64) bool {
	for {
		k.mu.Lock()
		every, urgent := k.config.Interval, w.urgent
		k.mu.Unlock()
		if urgent {
			return true
		}
		due := time.NewTimer(time.Until(began.Add(time.Duration(float64(every) * share))))
		select {
		case <-ctx.Done():
			due.Stop()
			return false
		case <-due.C:
			return true
		case <-w.wake:
			due.Stop()
		}
	}
}

// note draws the conclusions from a check.
func (k *Keeper) note(w *watched, said string, err error, took time.Duration) {
	k.mu.Lock()
	if k.watched[keyOf(w.Server)] != w {
		k.mu.Unlock()
		return // it has gone meanwhile
	}
	if err != nil {
		said = err.Error()
	}
	w.Said, w.Took = said, took
	changed := false
	if !errors.Is(err, ErrUnasked) {
		known := w.Checked
		w.Standing, changed = w.After(err == nil, k.config.Rise, k.config.Fall)
		if changed || !known {
			w.Since = time.Now()
		}
		w.Server.SetDown(w.Down)
	}
	standing, srv := w.Standing, w.Server
	k.mu.Unlock()
	if changed {
		k.log.Warn("server "+standing.String(), "server", srv.Address, "port", srv.Port, "why", said)
	}
}

// Report says what is known of a server; false where it is not looked after.
func (k *Keeper) Report(srv *backend.Server) (Report, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.watched[keyOf(srv)]
	if w == nil {
		return Report{}, false
	}
	return w.Report, true
}
