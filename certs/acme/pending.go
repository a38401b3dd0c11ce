package acme

import (
	"context"
	stdtls "crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mholt/acmez/v3"
	acmeproto "github.com/mholt/acmez/v3/acme"
)

// challengePath is where the CA looks for an http-01 answer, RFC 8555 section
// 8.3.
const challengePath = "/.well-known/acme-challenge/"

// challengeLife is how long a challenge is answered at most. A CA validates
// within seconds.
const challengeLife = 10 * time.Minute

// pending holds the challenges that the CA may ask about now. Outside of an
// issuance it is empty, and says so without a lock.
type pending struct {
	count atomic.Int64

	mu    sync.Mutex
	alpn  map[string]*challenge // by host name
	token map[string]*challenge // by path
}

// challenge is one of them.
type challenge struct {
	host     string
	answer   string              // http-01: the key authorization
	cert     *stdtls.Certificate // tls-alpn-01
	expiring *time.Timer
}

func newPending() *pending {
	return &pending{alpn: map[string]*challenge{}, token: map[string]*challenge{}}
}

// certificate answers tls-alpn-01 for a name, in any case. nil: not pending.
func (p *pending) certificate(name string) *stdtls.Certificate {
	if p.count.Load() == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.alpn[strings.ToLower(name)]; c != nil {
		return c.cert
	}
	return nil
}

// authorization answers http-01 for a request's Host field and path.
func (p *pending) authorization(host, path string) (string, bool) {
	if p.count.Load() == 0 || !strings.HasPrefix(path, challengePath) {
		return "", false
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.token[path]
	if c == nil || c.host != strings.ToLower(host) {
		return "", false
	}
	return c.answer, true
}

// put makes c pending under key, in place of what was there, until the result
// is called or challengeLife is over.
func (p *pending) put(table map[string]*challenge, key string, c *challenge) (undo func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := table[key]; old != nil {
		p.drop(table, key, old)
	}
	undo = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.drop(table, key, c)
	}
	table[key] = c
	p.count.Add(1)
	c.expiring = time.AfterFunc(challengeLife, undo)
	return undo
}

// drop takes c away if it still is the one under key. p.mu is held.
func (p *pending) drop(table map[string]*challenge, key string, c *challenge) {
	if table[key] != c {
		return
	}
	c.expiring.Stop()
	delete(table, key)
	p.count.Add(-1)
}

// tokenChars are those of base64url.
const tokenChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// solver tells the table what acmez wants answered in one order of one name.
type solver struct {
	table *pending
	kind  string // TLSALPN01 or HTTP01
	name  string // what the order is of; "": any name
	undo  func()
}

var _ acmez.Solver = (*solver)(nil)

// Present is called before the CA is told to validate.
func (s *solver) Present(_ context.Context, ch acmeproto.Challenge) error {
	c := &challenge{host: strings.ToLower(ch.Identifier.Value), answer: ch.KeyAuthorization}
	switch {
	case s.name != "" && c.host != s.name:
		return fmt.Errorf("the CA wants %.100q validated in an order of %s", c.host, s.name)
	case ch.Token == "" || strings.Trim(ch.Token, tokenChars) != "":
		return fmt.Errorf("the CA's token %.100q is none (RFC 8555 section 8.1)", ch.Token)
	}
	table, key := s.table.token, ch.HTTP01ResourcePath()
	if s.kind == TLSALPN01 {
		cert, err := acmez.TLSALPN01ChallengeCert(ch)
		if err != nil {
			return err
		}
		c.cert = cert
		table, key = s.table.alpn, c.host
	}
	s.undo = s.table.put(table, key, c)
	return nil
}

// CleanUp is called when the CA has validated or has given up, and when the
// order was given up. The challenge is not looked at: acmez passes an empty
// one when the CA did not answer.
func (s *solver) CleanUp(context.Context, acmeproto.Challenge) error {
	if s.undo != nil {
		s.undo()
	}
	return nil
}
