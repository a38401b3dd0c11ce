package revoke

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Mode says what follows when it cannot be told whether a certificate is
// revoked.
type Mode int

const (
	Off  Mode = iota // lists are not asked; denials hold all the same
	Soft             // the client passes, and the log says so once an hour for each issuer
	Hard             // the client is refused
)

// String is the mode's name in lower case.
func (m Mode) String() string {
	switch m {
	case Off:
		return "off"
	case Soft:
		return "soft"
	case Hard:
		return "hard"
	}
	return fmt.Sprintf("Mode(%d)", int(m))
}

// Policy says how revocation is checked.
type Policy struct {
	Mode  Mode
	Fetch bool // ask the distribution points (http, https) that certificates name as well
}

// Revoked is the error for a certificate that is revoked or denied.
type Revoked struct {
	Subject, Issuer string    // distinguished names
	Serial          string    // hexadecimal
	Date            time.Time // of revocation; zero if denied
	Reason          string    // RFC 5280 section 5.3.1, such as keyCompromise; "denied"
	Source          string    // file or URL of the list; what ParseDenial reads
}

// Error says which certificate, by which list and why.
func (r *Revoked) Error() string {
	who := fmt.Sprintf("certificate %s (serial %s of %s)", r.Subject, r.Serial, r.Issuer)
	if r.Reason == "denied" {
		return who + " is denied: " + r.Source
	}
	return fmt.Sprintf("%s was revoked on %s (%s): %s", who, stamp(r.Date), r.Reason, r.Source)
}

// Unknown is the error for a certificate of which no list says whether it is
// revoked, where that is asked for (Hard).
type Unknown struct {
	Subject, Issuer string // distinguished names
	Serial          string // hexadecimal
	Why             string
}

// Error says which certificate and what is missing.
func (u *Unknown) Error() string {
	return fmt.Sprintf("cannot tell whether certificate %s (serial %s of %s) is revoked: %s", u.Subject, u.Serial, u.Issuer, u.Why)
}

// Rules is what a certificate is held against, made ready for that. It is
// immutable.
type Rules struct {
	byIssuer map[string][]*List // by the issuer's name as encoded
	lists    []*List
	denials  denials
	policy   Policy
}

// NewRules makes rules of lists, denials and a policy.
func NewRules(lists []*List, denied []Denial, p Policy) *Rules {
	r := &Rules{byIssuer: map[string][]*List{}, lists: lists, denials: newDenials(denied), policy: p}
	for _, l := range lists {
		name := string(l.header.RawIssuer)
		r.byIssuer[name] = append(r.byIssuer[name], l)
	}
	return r
}

// Checker decides about clients' certificates. It lives as long as the
// process, and is safe for concurrent use.
type Checker struct {
	log    *slog.Logger
	rules  atomic.Pointer[Rules] // in force
	points *points

	mu     sync.Mutex
	warned map[string]time.Time // when the log last spoke of an issuer
}

// NewChecker makes a checker that denies nothing until Use.
func NewChecker(log *slog.Logger) *Checker {
	c := &Checker{log: log, points: newPoints(newFetcher().get), warned: map[string]time.Time{}}
	c.rules.Store(NewRules(nil, nil, Policy{}))
	return c
}

// Use puts rules into force: their denials hold for every check that begins
// from now on, and their lists are those of Describe. What was fetched is kept,
// unless nothing is fetched any more.
func (c *Checker) Use(r *Rules) {
	c.rules.Store(r)
	if r.policy.Mode == Off || !r.policy.Fetch {
		c.points.forget()
	}
}

// Check decides about a client by the chain its certificate was verified with,
// leaf to anchor: nil if it may pass, else *Revoked or *Unknown. r are the
// rules that belong to the CAs that it was verified by, whatever is in force by
// now; denials in force hold beside its own. Every
// certificate but the anchor is looked up, the ones nearer to it first, so that
// a revoked CA's distribution points are not asked. A certificate that is its
// own anchor is checked for denials only. The time to fetch lists is bounded to
// 5 s in all, and by ctx.
//
// A certificate counts as revoked if any list signed by its issuer has it. An
// expired list counts too, unless a list that is newer and not expired covers
// the certificate and does not have it: it was on hold then.
func (c *Checker) Check(ctx context.Context, r *Rules, chain []*x509.Certificate, now time.Time) error {
	for _, d := range []*denials{&r.denials, &c.rules.Load().denials} {
		if err := d.of(chain); err != nil {
			return err
		}
	}
	if r.policy.Mode == Off {
		return nil
	}
	asking := asking{ctx: ctx, points: c.points}
	for i := len(chain) - 2; i >= 0; i-- {
		v := verdict{cert: chain[i], issuer: chain[i+1], now: now}
		v.lookUp(r, &asking)
		if v.isRevoked() {
			return v.revoked()
		}
		if v.cover != nil {
			continue
		}
		if r.policy.Mode == Hard {
			return v.unknown()
		}
		c.warn(&v)
	}
	return nil
}

// Denied reports whether an administrator denies a client now, by the chain
// that Check was asked about: by the serial number of its certificate, or by a
// key anywhere in the chain.
func (c *Checker) Denied(chain []*x509.Certificate) bool {
	return c.rules.Load().denials.of(chain) != nil
}

// Run fetches lists again before they end, until ctx is done, and then ends
// whatever fetch is under way. After that nothing is fetched any more.
func (c *Checker) Run(ctx context.Context) { c.points.run(ctx) }

// Describe says in a line each which lists are held, from files first, and
// what is wrong with their dates at now.
func (c *Checker) Describe(now time.Time) []string {
	var lines []string
	for _, l := range c.rules.Load().lists {
		lines = append(lines, l.describe(now))
	}
	return append(lines, c.points.describe(now)...)
}

func (l *List) describe(now time.Time) string {
	switch {
	case !l.begun(now):
		return l.String() + ", not valid yet"
	case l.ended(now):
		return l.String() + ", expired"
	}
	return l.String()
}

// maxWarned bounds the issuers whose last warning is remembered.
const maxWarned = 1024

// warn logs that a client passed unchecked, once an hour for each issuer.
func (c *Checker) warn(v *verdict) {
	c.mu.Lock()
	name := string(v.cert.RawIssuer)
	last, ok := c.warned[name]
	quiet := ok && v.now.Sub(last) < time.Hour
	if !quiet {
		if len(c.warned) >= maxWarned {
			clear(c.warned)
		}
		c.warned[name] = v.now
	}
	c.mu.Unlock()
	if !quiet {
		c.log.Warn("clients of an issuer pass without a look at what it revoked", "issuer", clean(v.cert.Issuer.String()), "why", v.why())
	}
}
