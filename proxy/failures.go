package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"edgepen/proxy/relay"
	"edgepen/tls"
)

var errPlainHTTP = errors.New("the client speaks HTTP without TLS")

// failures records handshakes that came to nothing: each of them, but no more than so many a second, since strangers cause them.
type failures struct {
	log *slog.Logger

	mu     sync.Mutex
	tokens float64
	filled time.Time
	unsaid int
}

const (
	failuresPerSecond = 5
	failuresAtOnce    = 50
)

func newFailures(log *slog.Logger) *failures {
	return &failures{log: log, tokens: failuresAtOnce}
}

// allow takes a token, and says how many failures went without a record before this one.
func (f *failures) allow(now time.Time) (unsaid int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.filled.IsZero() {
		f.tokens = min(f.tokens+now.Sub(f.filled).Seconds()*failuresPerSecond, failuresAtOnce)
	}
	f.filled = now
	if f.tokens < 1 {
		f.unsaid++
		return 0, false
	}
	f.tokens--
	unsaid, f.unsaid = f.unsaid, 0
	return unsaid, true
}

// record writes one record. Whoever connects and leaves without a word (port scans, health checks) is no news.
func (f *failures) record(client, listener string, err error) {
	what := "handshake failed"
	level, args := slog.LevelWarn, []any{"client", client, "listener", listener}
	if _, ok := errors.AsType[badIntroduction](err); ok {
		what = "PROXY header refused"
	}
	if _, ok := errors.AsType[*relay.Stranger](err); ok {
		what = "request refused"
	}
	if h, ok := errors.AsType[*tls.HandshakeError](err); ok {
		args = append(args, "reason", h.Reason)
		if h.Hello != nil {
			args = append(args, "sni", h.Hello.ServerName, "versions", h.Hello.Offered(), "ja4", h.Hello.JA4())
		} else if h.Reason == tls.ReasonClosed {
			level = slog.LevelInfo
		}
	} else if errors.Is(err, io.EOF) {
		level = slog.LevelInfo
	}
	if !f.log.Enabled(context.Background(), level) { // what nobody reads takes no other's place
		return
	}
	unsaid, ok := f.allow(time.Now())
	if !ok {
		return
	}
	if unsaid > 0 {
		args = append(args, "unrecorded", unsaid)
	}
	args = append(args, "why", fmt.Sprintf("%.500s", err.Error()))
	if hint := hint(err); hint != "" {
		args = append(args, "hint", hint)
	}
	f.log.Log(context.Background(), level, what, args...)
}

// handshakeFailed records a handshake that came to nothing, answers plain HTTP, and leaves others the time to read the alert that says why: a
// connection that is closed with bytes unread is reset.
func (c *connection) handshakeFailed(err error) {
	if err == errPlainHTTP {
		c.p.terminator.CountPlainHTTP()
		c.failed(err.Error())
		if stranger := relay.Recognize(c.client.Beginning(), err); stranger != err {
			c.p.failures.record(c.shown, c.listener.Address, stranger)
		}
		c.p.log.Info("plain HTTP where TLS is spoken", "client", c.shown, "listener", c.listener.Address)
		c.plainHTTP()
		return
	}
	c.p.failures.record(c.shown, c.listener.Address, err)
	c.handshakeFailure(err)
	if c.denied {
		c.turnAway()
		if c.held || c.snap.action(c.denial.reason) == ResetIt {
			return
		}
	} else if counts(err) {
		c.p.limits.Failed(c.addr, time.Now())
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) {
		return
	}
	relay.NewStream(c.client, nil).Farewell(nil)
}

// counts reports whether a failed handshake counts against its client's prefix: not that of one who connects and leaves, as health checks
// do, nor one that our own budget has refused.
func counts(err error) bool {
	h, ok := errors.AsType[*tls.HandshakeError](err)
	if ok && strings.HasPrefix(h.Reason, "refused by client: ") {
		return false // our certificate may be at fault
	}
	return ok && h.Reason != tls.ReasonBusy && (h.Reason != tls.ReasonClosed || h.Hello != nil)
}
