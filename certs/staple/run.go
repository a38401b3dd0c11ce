package staple

import (
	"context"
	"crypto/x509"
	"errors"
	"sync"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Run fetches responses, and takes away those that end, until ctx is done. It
// returns when no fetch is under way any more.
func (k *Keeper) Run(ctx context.Context) {
	var fetches sync.WaitGroup
	defer fetches.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-timer.C:
		}
		timer.Reset(k.round(ctx, &fetches, time.Now()))
	}
}

// nudge makes Run look again.
func (k *Keeper) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// round does what is due, and returns how long nothing else is. The end of a
// fetch nudges.
func (k *Keeper) round(ctx context.Context, fetches *sync.WaitGroup, now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	next := now.Add(maxRefresh)
	for id, one := range k.kept {
		had := one.stapled != nil
		if r := one.best(now); r != nil && r.next.Before(next) {
			next = r.next
		}
		if one.staple(now, false); one.stapled == nil && had {
			k.log.Warn("an OCSP response has ended, and there is no other", "certificate", title(one.leaf))
		}
		one.plan(now)
		switch {
		case one.due.IsZero() || one.busy:
		case one.due.After(now):
			if one.due.Before(next) {
				next = one.due
			}
		case k.running < atOnce:
			one.busy = true
			k.running++
			j := &job{k: k, id: id, one: one, leaf: one.leaf, issuer: one.issuer, servers: one.servers}
			fetches.Go(func() { j.fetch(ctx) })
		}
	}
	return next.Sub(now)
}

// job is one certificate's fetch.
type job struct {
	k            *Keeper
	id           [32]byte
	one          *kept // with the keeper's lock only
	leaf, issuer *x509.Certificate
	servers      []string
}

// fetch asks the responders in turn until one has an answer, good or not.
func (j *job) fetch(ctx context.Context) {
	var r response
	var err error
	var from string
	for _, from = range j.servers {
		var bad *NotGood
		if r, err = j.ask(ctx, from); err == nil || errors.As(err, &bad) {
			break
		}
	}
	j.settle(ctx, r, from, err)
}

// ask asks one responder. The request names the certificate by SHA-1, the one
// hash that all of them know (RFC 5019 section 2.1.1).
func (j *job) ask(ctx context.Context, server string) (response, error) {
	request, err := ocsp.CreateRequest(j.leaf, j.issuer, nil)
	if err != nil {
		return response{}, err
	}
	der, err := j.k.post(ctx, server, request)
	if err != nil {
		return response{}, err
	}
	return verify(der, j.leaf, j.issuer, time.Now())
}

// settle notes how a fetch ended, unless that is because Run does, or the
// certificate is not kept any more.
func (j *job) settle(ctx context.Context, r response, from string, err error) {
	k, one := j.k, j.one
	k.mu.Lock()
	defer k.mu.Unlock()
	defer k.nudge()
	now := time.Now()
	one.busy = false
	k.running--
	if ctx.Err() != nil || k.kept[j.id] != one {
		return
	}
	if err != nil {
		one.due = now.Add(min(minBackoff<<min(one.failures, 10), maxBackoff))
		one.failures++
		k.fail(one, &one.fromServers, from, err, now)
	} else {
		one.failures, one.fromServers.why = 0, ""
		// A cache on the way may have an older one than we.
		if one.fetched == nil || !r.this.Before(one.fetched.this) {
			one.fetched = &r
		}
		wait, _ := one.refresh(now)
		one.due = now.Add(max(wait, minRefresh))
	}
	one.staple(now, false)
}
