package proxy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"edgepen/httpx"
	"edgepen/proxy/accesslog"
	"edgepen/proxy/h2"
	"edgepen/proxy/relay"
	"edgepen/tls"
)

// journal is what a connection keeps for the access log. Its methods do nothing where there is none.
type journal struct {
	facts  accesslog.Record // what is true of the whole connection, and its own record if it carries no requests
	record accesslog.Record // of the request in hand
	format *accesslog.Format
	text   accesslog.Text
	peer   string       // who is at the other end
	placed netip.Addr   // whom the facts say the place of
	told   *atomic.Bool // a request has been recorded, on whichever stream of the connection
	vain   int          // servers that were tried in vain for what is in hand
}

// openJournal begins one, if there is an access log.
func (c *connection) openJournal() {
	if c.p.access.Load() != nil {
		c.journal = c.newJournal()
	}
}

func (c *connection) newJournal() *journal {
	_, _, other := peer(c.client.RemoteAddr())
	return &journal{peer: other, told: new(atomic.Bool),
		facts: accesslog.Record{Event: accesslog.Failure, Began: time.Now(), Listener: c.listener.Address}}
}

// branch is the journal of a request beside others.
func (j *journal) branch() *journal {
	if j == nil {
		return nil
	}
	return &journal{facts: j.facts, peer: j.peer, placed: j.placed, told: j.told}
}

// clock is now, where that is to be recorded.
func (c *connection) clock() (now time.Time) {
	if c.journal != nil {
		now = time.Now()
	}
	return now
}

// recordsJA4 reports whether the client's fingerprint is to be recorded.
func (c *connection) recordsJA4() bool {
	return c.journal != nil && c.snap.access != nil && c.snap.access.Asks("ja4")
}

// secured notes what the handshake has shown.
func (j *journal) secured(i *tls.Info, began time.Time) {
	if j == nil {
		return
	}
	f := &j.facts
	f.TLS, f.Handshake = true, time.Since(began)
	f.Version, f.Cipher, f.Group, f.SNI, f.ALPN = i.Version, i.CipherSuite, i.Group, i.ServerName, i.ALPN
	f.Resumed, f.ECH, f.JA4 = i.Resumed, i.ECH, i.JA4
	if len(i.PeerChain) > 0 {
		sum := sha256.Sum256(i.PeerChain[0].Raw)
		f.CommonName, f.Fingerprint = i.PeerChain[0].Subject.CommonName, hex.EncodeToString(sum[:])
	}
}

// connected notes how long a server was looked for, for a connection that is passed on as it is.
func (j *journal) connected(began time.Time) {
	if j != nil {
		j.facts.Upstream = time.Since(began)
	}
}

// triedInVain notes that a server could not be connected to.
func (j *journal) triedInVain() {
	if j != nil {
		j.vain++
	}
}

// answered notes an answer to what was not read, of which so many bytes were written.
func (j *journal) answered(status, n int) {
	if j != nil && n > 0 {
		j.facts.Status, j.facts.Out = status, int64(n)
	}
}

// requestDenied notes that a request is denied because of whom it comes from.
func (c *connection) requestDenied(client netip.Addr, d denial) {
	if c.journal != nil {
		r := &c.journal.record
		r.Client, r.Denied, r.Reason = client.String(), ReasonWords[d.reason], d.why
		c.locate(client, r)
	}
}

// failed notes why the connection comes to nothing, and when.
func (c *connection) failed(why string) {
	if c.journal != nil {
		c.journal.facts.Reason, c.journal.facts.Took = why, time.Since(c.journal.facts.Began)
	}
}

// handshakeFailure notes why there is no handshake, and what the client has said. Whoever leaves without a word has not failed.
func (c *connection) handshakeFailure(err error) {
	if c.journal == nil {
		return
	}
	h, ok := errors.AsType[*tls.HandshakeError](err)
	switch {
	case !ok && errors.Is(err, io.EOF), ok && h.Reason == tls.ReasonClosed && h.Hello == nil:
		return
	case !ok:
		c.failed(err.Error())
		return
	}
	c.failed("handshake: " + h.Reason)
	if h.Hello != nil {
		c.journal.facts.SNI = h.Hello.ServerName
		if c.recordsJA4() {
			c.journal.facts.JA4 = h.Hello.JA4()
		}
	}
}

// passes notes that the connection is passed on as it is, or answered without being read.
func (c *connection) passes() {
	if c.journal != nil {
		c.journal.facts.Event = accesslog.Connection
	}
}

// tally counts what passes, beside the meter that it is.
type tally struct {
	relay.Meter
	up, down atomic.Int64
}

// Up implements relay.Meter.
func (t *tally) Up(n int64) {
	t.up.Add(n)
	t.Meter.Up(n)
}

// Down implements relay.Meter.
func (t *tally) Down(n int64) {
	t.down.Add(n)
	t.Meter.Down(n)
}

// passed notes what has passed: of the whole connection, or of what a request became.
func (c *connection) passed(t *tally, whole bool) {
	r := &c.journal.record
	if whole {
		c.passes()
		r = &c.journal.facts
		r.Server, r.ServerPort = c.shownServer(), c.serverPort
	}
	r.In, r.Out = t.up.Load(), t.down.Load()
}

// closeJournal records the connection, unless requests have records of their own: what was passed on, denied, or failed.
func (c *connection) closeJournal() {
	j, w := c.journal, c.p.access.Load()
	if j == nil || w == nil || j.told.Load() || j.facts.Event == accesslog.Failure && !c.denied && j.facts.Reason == "" {
		return
	}
	format := c.p.now.Load().access
	if format == nil { // it is being switched off
		return
	}
	r := &j.facts
	if r.Took == 0 {
		r.Took = time.Since(r.Began)
	}
	r.Retries = j.vain
	c.sign(r)
	w.Record(format, r)
}

// sign says in a record whom it is about.
func (c *connection) sign(r *accesslog.Record) {
	j := c.journal
	if r.Client == "" {
		r.Client = c.shown
		if !c.proxies || c.behalf == c.addr {
			r.Port = c.port
		}
		if c.behalf.IsValid() {
			c.locate(c.behalf, r)
		} else {
			c.locate(c.addr, r)
		}
	}
	if r.Client != j.peer {
		r.Peer = j.peer
	}
	if c.denied {
		r.Denied = ReasonWords[c.denial.reason]
		if r.Reason == "" {
			r.Reason = c.denial.why
		}
	}
}

// locate says in a record where a client is.
func (c *connection) locate(client netip.Addr, r *accesslog.Record) {
	j := c.journal
	if client != j.placed {
		where := c.snap.geo.Lookup(client)
		j.placed, j.facts.Country, j.facts.ASN = client, where.Country, where.ASN
	}
	r.Country, r.ASN = j.facts.Country, j.facts.ASN
}

// Begins implements relay.Witness.
func (c *connection) Begins() bool {
	format := c.p.now.Load().access
	if format == nil {
		return false
	}
	if c.journal == nil { // the log is younger than the connection
		c.journal = c.newJournal()
	}
	j := c.journal
	j.format, j.vain = format, 0
	j.text.Reset()
	j.record = j.facts
	j.record.Event, j.record.Began = accesslog.Request, time.Now()
	return true
}

// Asked implements relay.Witness.
func (c *connection) Asked(r *httpx.Request, head []byte) {
	j := c.journal
	t := &j.record
	t.Method, t.Target, t.Host = j.text.Value(r.Method(head)), j.text.Target(r.Target(head)), j.text.Value(r.Host(head))
	switch {
	case c.quic != nil:
		t.Protocol = "HTTP/3.0"
	case c.protocol == h2.Protocol:
		t.Protocol = "HTTP/2.0"
	case r.Minor == 0:
		t.Protocol = "HTTP/1.0"
	default:
		t.Protocol = "HTTP/1.1"
	}
	for i, name := range j.format.Headers() {
		t.Headers[i] = j.text.Value(r.Field(head, name))
	}
}

// refusedStream records a request of HTTP/2 that was none in HTTP/1.1.
func (c *connection) refusedStream(r *h2.Refusal) {
	s := c.branch()
	if !s.Begins() {
		return
	}
	t, text := &s.journal.record, &s.journal.text
	t.Method, t.Target, t.Host = text.Value([]byte(r.Method)), text.Target([]byte(r.Path)), text.Value([]byte(r.Authority))
	t.Protocol = "HTTP/2.0"
	s.Ends(relay.Outcome{Status: r.Status, Out: int64(r.Page), Why: r.Why})
}

// Malformed implements relay.Witness.
func (c *connection) Malformed(b []byte) {
	if i := bytes.IndexAny(b, "\r\n"); i >= 0 {
		b = b[:i]
	}
	c.journal.record.Malformed = c.journal.text.Value(b)
}

// Ends implements relay.Witness.
func (c *connection) Ends(o relay.Outcome) {
	j, w := c.journal, c.p.access.Load()
	if w == nil {
		return
	}
	j.told.Store(true)
	r := &j.record
	r.Took = time.Since(r.Began)
	r.Status, r.OutHead, r.Upstream, r.Retries = o.Status, o.OutHead, o.Upstream, o.Retries+j.vain
	r.In, r.Out = r.In+o.In, r.Out+o.Out
	r.ID = o.ID
	if o.Server {
		r.Server, r.ServerPort = c.shownServer(), c.serverPort
	}
	if o.Why != nil && r.Reason == "" {
		r.Reason = o.Why.Error()
	}
	c.sign(r)
	w.Record(j.format, r)
}
