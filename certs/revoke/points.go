package revoke

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxPoints     = 256             // distribution points remembered
	maxURLs       = 4               // of a certificate that are asked: one must not keep all others waiting
	maxRemembered = 256 << 20       // bytes of all their lists
	atOnce        = 4               // fetches
	patience      = 5 * time.Second // what a handshake waits in all
	fetchTime     = time.Minute     // what a fetch may take, for the next handshakes
	failureLife   = time.Minute     // for how long handshakes do not ask again
	maxBackoff    = time.Hour       // between attempts that no handshake waits for
	minRefresh    = 5 * time.Minute // so that an issuer who is late is not asked all the time
	maxRefresh    = 24 * time.Hour  // so that a revocation is known within a day
)

// asking is one check's use of the distribution points.
type asking struct {
	ctx      context.Context
	points   *points
	deadline time.Time // set at the first question
}

// list is the list at url, and why there is none or none that is current. If
// wait is false an unknown list is fetched for the checks to come.
func (a *asking) list(url string, issuer *x509.Certificate, wait bool) (*List, error) {
	if a.deadline.IsZero() {
		a.deadline = time.Now().Add(patience)
	}
	ctx, cancel := context.WithDeadline(a.ctx, a.deadline)
	defer cancel()
	return a.points.list(ctx, url, issuer, wait)
}

// pointKey tells distribution points apart: the same URL in two issuers'
// certificates is two of them, so that neither can spoil the other's list.
type pointKey struct {
	url    string
	issuer [32]byte // SHA-256 of its certificate
}

// point is what is known of one distribution point.
type point struct {
	pointKey
	by        *x509.Certificate
	list      *List
	err       error // of the last fetch
	failures  int   // in a row
	retryAt   time.Time
	refreshAt time.Time
	used      uint64        // when it was last asked, in questions
	flight    chan struct{} // closed at the end of the fetch under way; nil: none
}

// points remembers the distribution points that were asked.
type points struct {
	get   func(ctx context.Context, url string) ([]byte, error)
	slots chan struct{}
	wake  chan struct{} // tells run that something is due sooner
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup // fetches

	mu        sync.Mutex
	closed    bool
	questions uint64
	known     map[pointKey]*point
}

func newPoints(get func(ctx context.Context, url string) ([]byte, error)) *points {
	p := &points{get: get, slots: make(chan struct{}, atOnce), wake: make(chan struct{}, 1), known: map[pointKey]*point{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// list returns what is remembered of url if that is current, or failed a
// moment ago. Otherwise it has the list fetched, once for all who ask, and
// waits for it until ctx is done if wait is true.
func (p *points) list(ctx context.Context, url string, issuer *x509.Certificate, wait bool) (*List, error) {
	p.mu.Lock()
	pt := p.touch(url, issuer)
	now := time.Now()
	l, err := pt.list, pt.err
	if l != nil && l.current(now) {
		err = nil
	} else if !now.Before(pt.retryAt) {
		p.start(pt)
	}
	flight := pt.flight
	p.mu.Unlock()
	if !wait || flight == nil || l != nil && err == nil {
		return l, err
	}
	select {
	case <-flight:
	case <-ctx.Done():
		return l, fmt.Errorf("%s has not answered in time", url)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return pt.list, pt.err
}

// touch finds or makes the point, and notes that it was asked.
func (p *points) touch(url string, issuer *x509.Certificate) *point {
	key := pointKey{url, sha256.Sum256(issuer.Raw)}
	pt := p.known[key]
	if pt == nil {
		pt = &point{pointKey: key, by: issuer}
		p.known[key] = pt
	}
	p.questions++
	pt.used = p.questions
	p.shrink()
	return pt
}

// shrink forgets the points not asked for longest until the rest is within
// the bounds.
func (p *points) shrink() {
	for {
		var oldest *point
		size := 0
		for _, pt := range p.known {
			if pt.list != nil {
				size += pt.list.size()
			}
			if oldest == nil || pt.used < oldest.used {
				oldest = pt
			}
		}
		if len(p.known) <= maxPoints && (size <= maxRemembered || len(p.known) == 1) {
			return
		}
		delete(p.known, oldest.pointKey)
	}
}

// start has the point's list fetched, unless that is under way.
func (p *points) start(pt *point) {
	if pt.flight != nil {
		return
	}
	if p.closed {
		pt.err = errors.New("distribution points are not asked any more")
		return
	}
	pt.flight = make(chan struct{})
	p.wg.Add(1)
	go p.fetch(pt, pt.list)
}

// fetch runs in its own goroutine, so that a client who hangs up does not end
// what others wait for.
func (p *points) fetch(pt *point, former *List) {
	defer p.wg.Done()
	var l *List
	var err error
	select {
	case p.slots <- struct{}{}:
		ctx, cancel := context.WithTimeout(p.ctx, fetchTime)
		l, err = p.obtain(ctx, pt, former)
		cancel()
		<-p.slots
	case <-p.ctx.Done():
		err = p.ctx.Err()
	}
	p.settle(pt, l, err)
}

// obtain fetches and checks a list. Only one of the issuer's own takes the
// former one's place, and no older one: plain HTTP is anybody's to answer. One
// that has expired is returned with an error.
func (p *points) obtain(ctx context.Context, pt *point, former *List) (*List, error) {
	content, err := p.get(ctx, pt.url)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pt.url, err)
	}
	lists, err := Parse(pt.url, content)
	if err != nil {
		return nil, err
	}
	l := lists[0]
	if len(lists) > 1 {
		return nil, fmt.Errorf("%s has %d lists; a distribution point has one", pt.url, len(lists))
	}
	if string(l.header.RawIssuer) != string(pt.by.RawSubject) {
		return nil, fmt.Errorf("%s has a list of %s, not of %s", pt.url, l.issuer(), clean(pt.by.Subject.String()))
	}
	if err := l.verify(pt.by); err != nil {
		return nil, fmt.Errorf("%s has a list that is not its issuer's: %w", pt.url, err)
	}
	if former != nil && former.newerThan(l) {
		return nil, fmt.Errorf("%s has a list of %s, older than the one of %s held", pt.url, stamp(l.header.ThisUpdate), stamp(former.header.ThisUpdate))
	}
	if now := time.Now(); !l.current(now) {
		return l, errors.New(l.Warning(now))
	}
	return l, nil
}

// settle notes how a fetch ended.
func (p *points) settle(pt *point, l *List, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(pt.flight)
	pt.flight = nil
	now := time.Now()
	if l != nil {
		pt.list = l
		p.shrink()
	}
	pt.err = err
	if err != nil {
		pt.retryAt = now.Add(failureLife)
		pt.refreshAt = now.Add(min(failureLife<<min(pt.failures, 10), maxBackoff))
		pt.failures++
	} else {
		pt.failures = 0
		pt.refreshAt = l.refreshAt(now)
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// refreshAt is when to fetch a list again that came at now: after three
// quarters of its life, or an hour before its end if that is sooner, but
// within a day.
func (l *List) refreshAt(now time.Time) time.Time {
	begin, end := l.header.ThisUpdate, l.header.NextUpdate
	if end.IsZero() {
		return now.Add(maxRefresh)
	}
	at := begin.Add(end.Sub(begin) / 4 * 3)
	if hour := end.Add(-time.Hour); hour.After(now) && hour.Before(at) {
		at = hour
	}
	// Where that is past already the issuer may make the next one late.
	soonest := now.Add(max(minRefresh, end.Sub(now)/4))
	if at.Before(soonest) {
		at = soonest
	}
	if latest := now.Add(maxRefresh); at.After(latest) {
		at = latest
	}
	return at
}

// run refreshes what is remembered until ctx is done.
func (p *points) run(ctx context.Context) {
	defer p.close()
	timer := time.NewTimer(maxRefresh)
	defer timer.Stop()
	for {
		timer.Reset(p.refresh(time.Now()))
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
	}
}

// refresh starts what is due, and returns how long nothing else is.
func (p *points) refresh(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := maxRefresh
	for _, pt := range p.known {
		if pt.flight != nil {
			continue // its end wakes run
		}
		if wait := pt.refreshAt.Sub(now); wait > 0 {
			next = min(next, wait)
		} else {
			p.start(pt)
		}
	}
	return next
}

// close ends the fetches under way, and waits for that.
func (p *points) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.wg.Wait()
}

// forget drops everything; fetches under way end unheard.
func (p *points) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.known)
}

// describe says in a line each what is held and what failed, by URL.
func (p *points) describe(now time.Time) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lines []string
	for _, pt := range p.known {
		switch {
		case pt.list != nil && pt.err != nil:
			lines = append(lines, pt.list.describe(now)+"; last attempt: "+clean(pt.err.Error()))
		case pt.list != nil:
			lines = append(lines, pt.list.describe(now))
		case pt.err != nil:
			lines = append(lines, fmt.Sprintf("%s: no list: %s", clean(pt.by.Subject.String()), clean(pt.err.Error())))
		}
	}
	slices.SortFunc(lines, strings.Compare)
	return lines
}
