package staple

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	atOnce     = 4               // fetches
	minRefresh = 5 * time.Minute // between two fetches for one certificate
	maxRefresh = 24 * time.Hour
	minBackoff = time.Minute // after the first failure, doubled by each one more
	maxBackoff = time.Hour
	quiet      = time.Hour // until the log repeats itself
)

// Certificate is one of ours that is to have a response.
type Certificate struct {
	Leaf   *x509.Certificate
	Issuer *x509.Certificate // nil: not known; nothing can be stapled then
	Given  []byte            // a response in DER from a file; nil: none
	From   string            // the file's name
	Set    func(der []byte)  // staples der; nil takes the response away. It must not call the Keeper
}

// Keeper keeps the responses of all certificates: the one from a file as long
// as it is good, else one fetched from the responder that the certificate
// names. It lives as long as the process, and is safe for concurrent use.
type Keeper struct {
	log  *slog.Logger
	post func(ctx context.Context, url string, request []byte) ([]byte, error)
	wake chan struct{} // tells Run to look again

	mu      sync.Mutex
	kept    map[[32]byte]*kept // by SHA-256 of the leaf
	running int                // fetches
}

// kept is what is known of one certificate, which may be served in several
// places.
type kept struct {
	leaf, issuer *x509.Certificate
	sets         []func(der []byte)
	servers      []string // nil: nobody is asked

	given, fetched *response
	revoked        time.Time // thisUpdate of a response that says so: only a newer one is believed
	stapled        []byte    // what sets was last told

	busy     bool      // a fetch is under way
	due      time.Time // of the next fetch; zero: to be planned
	failures int       // of fetches in a row

	fromFile, fromServers trouble
}

// trouble is what is wrong with one of the two sources.
type trouble struct {
	why    string // "": nothing
	said   string // in the log
	logged time.Time
}

// NewKeeper makes a keeper of nothing.
func NewKeeper(log *slog.Logger) *Keeper {
	return &Keeper{log: log, post: poster{newClient()}.post, wake: make(chan struct{}, 1), kept: map[[32]byte]*kept{}}
}

// Keep replaces what is kept. A certificate that was kept before (the same
// leaf) keeps its response, which Set is told at once, as it is the one from a
// file if that is good. One that is not is logged, and changes nothing. fetch
// says whether responders are asked, which Run does.
func (k *Keeper) Keep(certs []Certificate, fetch bool) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	next := map[[32]byte]*kept{}
	for _, c := range certs {
		if c.Leaf == nil {
			continue
		}
		id := sha256.Sum256(c.Leaf.Raw)
		one := next[id]
		if one == nil {
			if one = k.kept[id]; one == nil {
				one = &kept{}
			}
			one.sets, one.leaf, one.issuer, one.fromFile.why = nil, c.Leaf, c.Issuer, ""
			next[id] = one
		}
		if one.issuer == nil {
			one.issuer = c.Issuer
		}
		one.sets = append(one.sets, c.Set)
		k.offer(one, c, now)
	}
	for _, one := range next {
		one.servers = nil
		if fetch && one.issuer != nil {
			one.servers = responders(one.leaf.OCSPServer)
		} else {
			one.fromServers.why = ""
		}
		one.staple(now, true)
		one.plan(now)
	}
	k.kept = next
	k.nudge()
}

// offer takes a file's response if it is good.
func (k *Keeper) offer(one *kept, c Certificate, now time.Time) {
	if len(c.Given) == 0 || one.given != nil && bytes.Equal(one.given.der, c.Given) && now.Before(one.given.next) {
		return
	}
	r, err := verify(c.Given, one.leaf, one.issuer, now)
	if err != nil {
		k.fail(one, &one.fromFile, c.From, err, now)
		return
	}
	one.given, one.fromFile.why, one.due = &r, "", time.Time{}
}

// fail notes a failure and its source, and logs it once an hour.
func (k *Keeper) fail(one *kept, t *trouble, source string, err error, now time.Time) {
	var bad *NotGood
	if errors.As(err, &bad) && bad.Revoked && bad.This.After(one.revoked) {
		one.revoked = bad.This
	}
	why := source + ": " + err.Error()
	t.why = why
	if why == t.said && now.Sub(t.logged) < quiet {
		return
	}
	t.said, t.logged = why, now
	k.log.Warn("an OCSP response cannot be used", "certificate", title(one.leaf), "why", why)
}

// title names a certificate in the log.
func title(c *x509.Certificate) string {
	if len(c.DNSNames) > 0 {
		return name(c.DNSNames[0])
	}
	return name(c.Subject.String())
}

// usable reports whether r may be stapled at now.
func (one *kept) usable(r *response, now time.Time) bool {
	return r != nil && now.Before(r.next) && r.this.After(one.revoked)
}

// best is the response to staple at now; nil if there is none.
func (one *kept) best(now time.Time) *response {
	for _, r := range []*response{one.given, one.fetched} {
		if one.usable(r, now) {
			return r
		}
	}
	return nil
}

// refresh is how long after now the next response is to be fetched, if there
// is one to go on with.
func (one *kept) refresh(now time.Time) (wait time.Duration, ok bool) {
	for _, r := range []*response{one.given, one.fetched} {
		if one.usable(r, now) {
			wait, ok = max(wait, r.refresh(now)), true
		}
	}
	return wait, ok
}

// staple hands out what is to be stapled now: if always is true even if it is
// what was handed out last, since the receivers are new.
func (one *kept) staple(now time.Time, always bool) {
	var der []byte
	if r := one.best(now); r != nil {
		der = r.der
	}
	if bytes.Equal(der, one.stapled) && !(always && der != nil) {
		return
	}
	one.stapled = der
	for _, set := range one.sets {
		set(der)
	}
}

// plan sets the time of the next fetch, unless it is set.
func (one *kept) plan(now time.Time) {
	switch {
	case one.servers == nil:
		one.due = time.Time{}
	case !one.due.IsZero() || one.busy:
	default:
		one.due = now
		if wait, ok := one.refresh(now); ok {
			one.due = now.Add(wait)
		}
	}
}

// refresh is how long from now a response is half over, with jitter so that
// not all of them are due at once.
func (r *response) refresh(now time.Time) time.Duration {
	half := r.this.Add(r.next.Sub(r.this) / 2).Sub(now)
	half = min(max(half, minRefresh), maxRefresh)
	return max(half-rand.N(half/10), minRefresh)
}

// Status says in a line what is stapled with a certificate: "good until" and
// when, "none:" and the reason, or "no responder".
func (k *Keeper) Status(leaf *x509.Certificate) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	one := k.kept[sha256.Sum256(leaf.Raw)]
	now := time.Now()
	switch {
	case one == nil:
		return "none: the certificate is not served"
	case one.best(now) != nil:
		return "good until " + stamp(one.best(now).next)
	case one.fromFile.why != "" && one.fromServers.why != "":
		return "none: " + one.fromFile.why + "; " + one.fromServers.why
	case one.fromFile.why+one.fromServers.why != "":
		return "none: " + one.fromFile.why + one.fromServers.why
	case len(responders(leaf.OCSPServer)) == 0:
		return "no responder"
	case one.issuer == nil:
		return "none: the certificate of the issuer is not known"
	case one.servers == nil:
		return "none: responders are not asked"
	}
	return "none: the responder has not answered yet"
}
