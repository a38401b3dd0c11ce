package staple

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"edgepen/certs/certtest"

	"golang.org/x/crypto/ocsp"
)

// web stands in for the responders, within a bubble.
type web struct {
	mu      sync.Mutex
	answer  func(url string, serial *big.Int) ([]byte, error)
	asked   []string
	running int
	most    int
}

func (n *web) post(ctx context.Context, url string, request []byte) ([]byte, error) {
	parsed, err := ocsp.ParseRequest(request)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.asked = append(n.asked, url)
	n.running++
	n.most = max(n.most, n.running)
	answer := n.answer
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		n.running--
		n.mu.Unlock()
	}()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return answer(url, parsed.SerialNumber)
}

func (n *web) say(answer func(string, *big.Int) ([]byte, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = answer
}

func (n *web) count() int {
	_, all := n.counts()
	return all
}

// counts says how many were asked, at most at once and in all.
func (n *web) counts() (most, all int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.most, len(n.asked)
}

func fails(string, *big.Int) ([]byte, error) { return nil, errors.New("nobody is at home") }

// says answers with one response always.
func says(der []byte) func(string, *big.Int) ([]byte, error) {
	return func(string, *big.Int) ([]byte, error) { return der, nil }
}

// served is a place where the certificate is served.
type served struct {
	mu  sync.Mutex
	der []byte
	n   int
}

func (s *served) set(der []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.der = der
	s.n++
}

func (s *served) has() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.der
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const server = "http://ocsp.example/"

// bench is what a test of the keeper has.
type bench struct {
	*testing.T
	p    *pki
	k    *Keeper
	net  *web
	log  *logBuffer
	at   *served
	stop func() // ends Run, and waits for it
}

// inBubble runs a test with a keeper that runs.
func inBubble(t *testing.T, test func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, p: newPKI(t, "ldap://x/", server), net: &web{answer: fails}, log: &logBuffer{}, at: &served{}}
		b.k = NewKeeper(slog.New(slog.NewTextHandler(b.log, nil)))
		b.k.post = b.net.post
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { b.k.Run(ctx) })
		b.stop = func() { cancel(); wg.Wait() }
		defer b.stop()
		test(b)
	})
}

func (b *bench) cert(given []byte) Certificate {
	return Certificate{Leaf: b.p.leaf, Issuer: b.p.ca.Cert, Given: given, From: "host.ocsp", Set: b.at.set}
}

func (b *bench) want(what string, der []byte) {
	b.Helper()
	if !bytes.Equal(b.at.has(), der) {
		b.Errorf("%s: another response is stapled (%d bytes, want %d)", what, len(b.at.has()), len(der))
	}
}

func (b *bench) status(want string) {
	b.Helper()
	if got := b.k.Status(b.p.leaf); got != want {
		b.Errorf("status %q, want %q", got, want)
	}
}

// fresh is a response of now by the CA.
func (b *bench) fresh() []byte { return b.p.direct(b, good(time.Now())) }

func TestFetchAndRefresh(t *testing.T) {
	inBubble(t, func(b *bench) {
		first := b.fresh()
		b.net.say(says(first))
		b.status("none: the certificate is not served")
		b.k.Keep([]Certificate{b.cert(nil)}, true)
		b.status("none: the responder has not answered yet")
		time.Sleep(2 * time.Second)
		b.want("fetched", first)
		b.status("good until 2000-01-01 23:30:00 UTC")
		time.Sleep(10 * time.Hour)
		if n := b.net.count(); n != 1 {
			b.Errorf("asked %d times before half time, want 1", n)
		}
		second := b.fresh()
		b.net.say(says(second))
		time.Sleep(2 * time.Hour)
		b.want("fetched again", second)
		if n := b.net.count(); n != 2 {
			b.Errorf("asked %d times, want 2", n)
		}
	})
}

// TestLastGoodOneIsKeptUntilItEnds has a responder that goes away.
func TestLastGoodOneIsKeptUntilItEnds(t *testing.T) {
	inBubble(t, func(b *bench) {
		first := b.fresh()
		b.net.say(says(first))
		b.k.Keep([]Certificate{b.cert(nil)}, true)
		time.Sleep(2 * time.Second)
		b.net.say(fails)
		time.Sleep(23*time.Hour + 29*time.Minute)
		b.want("about to end", first)
		asked := b.net.count()
		if asked < 10 || asked > 20 {
			b.Errorf("asked %d times in half a day of failures", asked)
		}
		if got := strings.Count(b.log.String(), "nobody is at home"); got < 10 || got > asked {
			b.Errorf("%d complaints:\n%s", got, b.log)
		}
		time.Sleep(time.Minute)
		b.want("ended", nil)
		b.status("none: " + server + ": nobody is at home")
		if !strings.Contains(b.log.String(), "an OCSP response has ended, and there is no other") {
			b.Errorf("log:\n%s", b.log)
		}
		next := b.fresh()
		b.net.say(says(next))
		time.Sleep(time.Hour + time.Minute)
		b.want("back", next)
	})
}

func TestBackOff(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.k.Keep([]Certificate{b.cert(nil)}, true)
		for _, tt := range []struct {
			after time.Duration
			asked int
		}{{30 * time.Second, 1}, {time.Minute, 2}, {2 * time.Minute, 3}, {4 * time.Minute, 4}, {8 * time.Minute, 5}, {16 * time.Minute, 6}, {32 * time.Minute, 7}, {time.Hour, 8}, {time.Hour, 9}} {
			time.Sleep(tt.after)
			if n := b.net.count(); n != tt.asked {
				b.Errorf("after %v more: asked %d times, want %d", tt.after, n, tt.asked)
			}
		}
		if got := strings.Count(b.log.String(), "\n"); got != 4 { // after 0, 63, 123 and 183 minutes
			b.Errorf("%d lines in the log, want 4:\n%s", got, b.log)
		}
	})
}

func TestGiven(t *testing.T) {
	inBubble(t, func(b *bench) {
		given, fetched := b.fresh(), b.p.delegated(b, good(time.Now()), b.p.responder)
		b.net.say(says(fetched))
		b.k.Keep([]Certificate{b.cert(given)}, true)
		b.want("at once", given)
		time.Sleep(13 * time.Hour)
		if b.net.count() == 0 {
			b.Error("no fetch in good time before it ends")
		}
		b.want("still preferred", given)
		later := b.p.delegated(b, good(time.Now()), b.p.responder)
		b.net.say(says(later))
		time.Sleep(11 * time.Hour)
		b.want("ended", later)
	})
}

// TestBadGiven holds that a bad file is told of and changes nothing.
func TestBadGiven(t *testing.T) {
	inBubble(t, func(b *bench) {
		given := b.fresh()
		b.k.Keep([]Certificate{b.cert([]byte("<html>"))}, false)
		b.want("none yet", nil)
		if b.at.n != 0 {
			b.Error("what may be there already was taken away")
		}
		if got := b.k.Status(b.p.leaf); !strings.HasPrefix(got, "none: host.ocsp: not an OCSP response in DER") {
			b.Errorf("status %q", got)
		}
		b.k.Keep([]Certificate{b.cert(given)}, false)
		b.want("good", given)
		for range 3 {
			b.k.Keep([]Certificate{b.cert([]byte("<html>"))}, false)
			b.want("the older good one stays", given)
		}
		if got := strings.Count(b.log.String(), "host.ocsp"); got != 1 {
			b.Errorf("%d complaints, want 1:\n%s", got, b.log)
		}
		time.Sleep(time.Hour)
		b.k.Keep([]Certificate{b.cert([]byte("<html>"))}, false)
		if got := strings.Count(b.log.String(), "host.ocsp"); got != 2 {
			b.Errorf("%d complaints after an hour, want 2:\n%s", got, b.log)
		}
		time.Sleep(24 * time.Hour)
		b.want("ended", nil)
		b.k.Keep([]Certificate{b.cert(nil)}, false)
		b.status("none: responders are not asked")
	})
}

// TestKeepAgain holds that a reload keeps what was fetched, for new receivers
// as well, and forgets what is not served any more.
func TestKeepAgain(t *testing.T) {
	inBubble(t, func(b *bench) {
		first := b.fresh()
		b.net.say(says(first))
		b.k.Keep([]Certificate{b.cert(nil)}, true)
		time.Sleep(2 * time.Second)
		b.at = &served{}
		twin := &served{}
		again := b.cert(nil)
		again.Set = twin.set
		b.k.Keep([]Certificate{b.cert(nil), again}, true)
		b.want("new receiver", first)
		if !bytes.Equal(twin.has(), first) {
			b.Error("the same certificate's other place has none")
		}
		time.Sleep(time.Minute)
		if n := b.net.count(); n != 1 {
			b.Errorf("asked %d times, want 1", n)
		}
		b.k.Keep(nil, true)
		b.status("none: the certificate is not served")
		time.Sleep(48 * time.Hour)
		if n := b.net.count(); n != 1 {
			b.Errorf("asked %d times, want 1", n)
		}
	})
}

// TestRevoked holds that the last good response goes when the responder says
// that the certificate is revoked, and that no older one comes back.
func TestRevoked(t *testing.T) {
	inBubble(t, func(b *bench) {
		first := b.fresh()
		b.net.say(says(first))
		b.k.Keep([]Certificate{b.cert(first)}, true)
		b.want("good", first)
		revoked := good(time.Now().Add(time.Hour))
		revoked.Status, revoked.RevokedAt = ocsp.Revoked, time.Now()
		b.net.say(says(b.p.direct(b, revoked)))
		time.Sleep(13 * time.Hour)
		b.want("revoked", nil)
		b.status("none: " + server + ": the responder says that the certificate was revoked on 2000-01-01 00:00:00 UTC")
		b.k.Keep([]Certificate{b.cert(first)}, true)
		b.want("the file's is older", nil)
		b.net.say(says(first))
		time.Sleep(2 * time.Hour)
		b.want("the responder's older one", nil)
		if n := b.net.count(); n > 40 {
			b.Errorf("asked %d times", n)
		}
	})
}

// TestUnknownKeepsTheGoodOne has a responder that has lost its memory.
func TestUnknownKeepsTheGoodOne(t *testing.T) {
	inBubble(t, func(b *bench) {
		first := b.fresh()
		b.net.say(says(first))
		b.k.Keep([]Certificate{b.cert(nil)}, true)
		time.Sleep(2 * time.Second)
		unknown := good(time.Now().Add(12 * time.Hour))
		unknown.Status = ocsp.Unknown
		b.net.say(says(b.p.direct(b, unknown)))
		time.Sleep(20 * time.Hour)
		b.want("kept", first)
		if !strings.Contains(b.log.String(), "the responder does not know the certificate") {
			b.Errorf("log:\n%s", b.log)
		}
	})
}

func TestNobodyToAsk(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.k.Keep([]Certificate{b.cert(nil), {Set: b.at.set}}, false)
		b.status("none: responders are not asked")
		c := b.cert(b.fresh())
		c.Issuer = nil
		b.k.Keep([]Certificate{c}, true)
		if got := b.k.Status(b.p.leaf); !strings.HasPrefix(got, "none: host.ocsp: the certificate of the issuer is not known") {
			b.Errorf("status %q", got)
		}
		b.p = newPKI(b, "ldap://x/")
		c = b.cert(nil)
		b.k.Keep([]Certificate{c}, true)
		b.status("no responder")
		c.Leaf, c.Issuer = newPKI(b, server).leaf, nil
		b.k.Keep([]Certificate{c}, true)
		if got := b.k.Status(c.Leaf); got != "none: the certificate of the issuer is not known" {
			b.Errorf("status %q", got)
		}
		time.Sleep(time.Hour)
		if n := b.net.count(); n != 0 {
			b.Errorf("asked %d times", n)
		}
	})
}

// TestSecondResponder has two, of which the first is down.
func TestSecondResponder(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.p = newPKI(b, "http://down/", "https://up/")
		first := b.fresh()
		b.net.say(func(url string, _ *big.Int) ([]byte, error) {
			if url == "https://up/" {
				return first, nil
			}
			return fails(url, nil)
		})
		b.k.Keep([]Certificate{b.cert(nil)}, true)
		time.Sleep(3 * time.Second)
		b.want("from the second", first)
		if b.log.String() != "" {
			b.Errorf("log:\n%s", b.log)
		}
	})
}

// TestManyAtOnce bounds the fetches, and ends Run amid them.
func TestManyAtOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		var all []Certificate
		for n := range 20 {
			leaf := b.p.ca.Issue(b, fmt.Sprint(n), certtest.NewKey(b), nil)
			leaf.OCSPServer = []string{server}
			all = append(all, Certificate{Leaf: leaf, Issuer: b.p.ca.Cert, Set: b.at.set})
		}
		b.net.say(func(_ string, serial *big.Int) ([]byte, error) {
			r := good(time.Now())
			r.SerialNumber = serial
			return b.p.direct(b, r), nil
		})
		b.k.Keep(all, true)
		time.Sleep(2500 * time.Millisecond)
		if most, n := b.net.counts(); most != atOnce || n != 3*atOnce {
			b.Errorf("%d at once, want %d; %d in all", most, atOnce, n)
		}
		began := time.Now()
		b.stop()
		if !time.Now().Equal(began) {
			b.Error("Run waited for fetches under way")
		}
		if b.log.String() != "" {
			b.Errorf("log:\n%s", b.log)
		}
	})
}
