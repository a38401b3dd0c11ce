package relay

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"edgepen/httpx"
)

// ErrNoServer is the error of a Connect that found no server to try: the client gets 503 rather than 502.
var ErrNoServer = errors.New("no server available")

var errLeft = errors.New("the client left within the head of a request")

// lingerTime is how long a client may take to read the last reply before its connection is closed.
const lingerTime = 2 * time.Second

// HTTP relays requests and responses until the client leaves or one of the two asks to close. A server is connected
// to for the first good request, and again where it has closed in between. All streams are closed when it returns.
func HTTP(client *Stream, c *HTTPConfig) {
	x := exchanges.Get().(*exchange)
	x.HTTPConfig, x.client, x.download = c, client, pace{Pace: c.Download}
	for x.one() {
	}
	if x.settled {
		x.spareServer()
	}
	x.dropServer()
	x.release()
	client.Close()
	x.recycle()
}

// exchanges lends out what an exchange is made of, mostly the tables of fields, which grow with what comes.
var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// recycle gives an exchange back, unless an upload may still look at it.
func (x *exchange) recycle() {
	if x.upload != nil && !x.upload.over() {
		return
	}
	x.req.Reset()
	x.resp.Reset()
	*x = exchange{req: x.req, resp: x.resp, tag: x.tag[:0]}
	exchanges.Put(x)
}

// exchange is the state of one client connection; what a single request needs is reset by it.
type exchange struct {
	*HTTPConfig
	client *Stream
	server *Stream // nil: not connected

	in   store // what the client has sent and nobody has taken yet
	back store // what the server has sent and nobody has taken yet
	out  store // what is to be written: a head as we forward it, and the body that came with it

	req  httpx.Request
	resp httpx.Response

	served   int       // requests that were answered
	reused   bool      // the server's connection has carried an exchange before this one
	upload   *upload   // the request's body on its way, beside the response; nil if it was sent with the head
	asked    bool      // the server has asked for the body with 100 (Continue)
	replying bool      // a final response has begun to be written to the client
	silent   bool      // what is no request gets no answer
	headBy   time.Time // when the request's head is to be complete; the zero time until it turns out to be incomplete
	keep     bool      // the client's connection stays open after this response
	settled  bool      // nothing is under way on the server's connection
	bound    bool      // the server's connection knows its client (RFC 4559): it is for nobody else
	by       time.Time // when the exchange is to be over; the zero time: whenever
	download pace
	tag      []byte   // the request's id as a field line for the client; empty: there is none
	random   [16]byte // of an id that is made

	account // for the Witness
}

// one is the way of a request: read, forwarded, answered. It reports whether another may follow.
func (x *exchange) one() bool {
	more := x.readRequest() && x.serve()
	x.endAccount()
	return more
}

// serve does with a good request what is to be done with it.
func (x *exchange) serve() bool {
	if err := x.represents(); err != nil {
		return x.decline(err)
	}
	if !x.forwardRequest() {
		return false
	}
	if !x.readResponse() {
		return false
	}
	if x.resp.Status == 101 {
		x.tunnel()
		return false
	}
	return x.finish()
}

// readRequest reads and checks the next request's head; what is wrong with it is answered.
func (x *exchange) readRequest() bool {
	x.req.Reset()
	x.asked, x.replying, x.keep, x.upload, x.headBy, x.tag = false, false, false, nil, time.Time{}, x.tag[:0]
	x.Forward.ID = nil
	if !x.in.pending() && !x.awaitRequest() {
		return false
	}
	x.beginAccount()
	for {
		n, err := x.req.Parse(x.in.b, x.HeadLimit)
		if err != nil {
			if x.served == 0 {
				err = Recognize(x.in.b, err)
			}
			x.notARequest(err)
			x.refuse(err)
			return false
		}
		if n > 0 {
			x.in.head = n
			x.introduceRequest()
			x.identify()
			return x.belongs()
		}
		now := time.Now()
		if x.headBy.IsZero() {
			x.headBy = now.Add(x.HeadTimeout)
		}
		x.client.sock.expectRead(now, untilOrForever(now, x.headBy, x.HeadTimeout))
		if err := x.in.more(x.client); err != nil {
			x.incomplete(err)
			return false
		}
	}
}

// incomplete answers a client that is too slow, but not one that has left.
func (x *exchange) incomplete(err error) {
	if !isTimeout(err) {
		x.notARequest(errLeft)
		return
	}
	late := &httpx.Error{Status: 408, Reason: "the request head took too long"}
	x.notARequest(late)
	x.refuse(late)
}

// belongs answers a request that should not have come here: over this connection, or once more.
func (x *exchange) belongs() bool {
	if x.Serves != nil && !x.Serves(x.req.Host(x.in.b)) {
		x.refuse(&httpx.Error{Status: 421, Reason: "this connection was made for another host"})
		return false
	}
	if x.Forward.Via != "" && x.req.Passed(x.in.b, x.Forward.Via) {
		x.refuse(&httpx.Error{Status: 508, Reason: "this request has been here before"})
		return false
	}
	return true
}

// represents finds out whom a request comes from, where that may be another client than before.
func (x *exchange) represents() error {
	if x.Behalf == nil {
		return nil
	}
	move, err := x.Behalf(&x.req, x.in.b[:x.in.head])
	if move && err == nil {
		x.spareServer()
		x.dropServer()
	}
	return err
}

// untilOrForever turns a moment into the time left, at least a nanosecond; 0 where there is no limit.
func untilOrForever(now, by time.Time, limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return max(by.Sub(now), 1)
}

// awaitRequest waits for a request's first bytes, holding no buffer.
func (x *exchange) awaitRequest() bool {
	x.release()
	if x.IdleNow != nil {
		x.Idle = x.IdleNow()
	}
	now, patience := time.Now(), x.Idle
	if x.served == 0 {
		patience, x.headBy = x.HeadTimeout, now.Add(x.HeadTimeout)
	}
	x.client.sock.expectRead(now, patience)
	if x.Rest == nil {
		return x.in.next(x.client) == nil
	}
	if x.Rest(true) {
		return false
	}
	err := x.in.next(x.client)
	x.Rest(false)
	return err == nil
}

// forwardRequest sends the head and what has come of the body to a server, and leaves the rest to an upload.
func (x *exchange) forwardRequest() bool {
	x.settled = false
	if x.by = (time.Time{}); x.Request > 0 {
		x.by = time.Now().Add(x.Request)
	}
	if x.BodyMax > 0 {
		if err := x.req.Body.Limit(x.BodyMax); err != nil {
			x.refuse(err)
			return false
		}
	}
	if x.Spare != nil && x.req.Binds(x.in.b) {
		x.bound = true
	}
	x.out.reset()
	x.out.b = x.req.AppendForward(x.out.b, x.in.b, &x.Forward)
	x.in.drop(x.in.head)
	behind := len(x.in.b)
	err := x.out.fill(&x.in, &x.req.Body)
	x.In += int64(behind - len(x.in.b))
	if err != nil {
		x.refuse(err)
		return false
	}
	x.startClock()
	if !x.freshServer() {
		return false
	}
	if x.Asked != nil {
		x.Asked(x.out.b)
	}
	if err := x.send(); err != nil && !x.again(err) {
		return false
	}
	if !x.req.Body.Done() {
		x.startUpload()
	}
	return true
}

// send writes the request in hand to the server.
func (x *exchange) send() error {
	x.Server = true
	now := time.Now()
	x.server.sock.expectWrite(now, within(now, x.by, x.Idle))
	if x.SeenUp != nil {
		x.SeenUp(x.out.b)
	}
	if x.asksAtOnce() && x.reused {
		x.server.sock.ready(x.out.b)
		x.Meter.Up(int64(len(x.out.b)))
		return nil
	}
	err := x.server.write(x.out.b)
	if err == nil {
		x.Meter.Up(int64(len(x.out.b)))
	}
	return err
}

// asksAtOnce reports whether the request is to be written when its answer is waited for: where it is all in hand, and nobody has to know before to
// which server it goes.
func (x *exchange) asksAtOnce() bool {
	return x.Asked == nil && x.req.Body.Done() && x.server.tls == nil && x.server.sock.canAsk()
}

// elsewhere takes the request in hand, which has not been sent, to another connection.
func (x *exchange) elsewhere() bool {
	if !x.connect(!x.req.Idempotent()) {
		return false
	}
	err := x.send()
	return err == nil || x.again(err)
}

// freshServer makes sure that there is a connection to a server that may be written to. One that was used before is looked
// at each time: a request sent into a closed one is lost, and what a server said unasked is no answer to this request.
func (x *exchange) freshServer() bool {
	x.reused = x.server != nil && (x.asksAtOnce() || x.server.alive())
	// On a connection that others have used, a request may be lost that must not be sent twice, or cannot be.
	return x.reused || x.connect(!x.req.Idempotent() || !x.req.Body.Done())
}

// connect chooses a server, in place of the one before if there was one. A connection to it that others have used is looked at, if that is not done
// when it is asked.
func (x *exchange) connect(anew bool) bool {
	for {
		x.dropServer()
		s, err := x.Connect(anew)
		if err != nil {
			status := 502
			if errors.Is(err, ErrNoServer) {
				status = 503
			}
			x.refuse(&httpx.Error{Status: status, Reason: err.Error()})
			return false
		}
		x.server, x.reused = s, s.served
		if !s.served || x.asksAtOnce() || s.alive() {
			return true
		}
	}
}

// again sends the request in hand once more, over a fresh connection, where that can do no harm: the old one had served
// before and died with nothing answered, the request is idempotent (RFC 9110 9.2.2) and all of it is in hand.
func (x *exchange) again(cause error) bool {
	inHand := x.upload == nil && x.req.Body.Done() // an upload, even one that has ended, had only its beginning from out
	if !x.reused || !inHand || !x.req.Idempotent() || isTimeout(cause) || x.over() {
		x.badGateway(cause)
		return false
	}
	if !x.connect(true) {
		return false
	}
	x.Retries++
	if err := x.send(); err != nil {
		x.badGateway(err)
		return false
	}
	return true
}

// release gives all buffers back.
func (x *exchange) release() {
	x.in.release()
	x.back.release()
	x.out.release()
}

// refuse answers in the place of a server, if nothing has been answered yet, and ends the connection. The client is told the
// reason of the httpx.Error within err and no more, since the rest may name servers.
func (x *exchange) refuse(err error) {
	status, reason := 400, ""
	var he *httpx.Error
	if errors.As(err, &he) {
		status, reason = he.Status, he.Reason
	}
	x.dropServer()
	x.Refused(status, err)
	x.blame(err)
	if x.replying || x.silent {
		x.client.Close()
		return
	}
	x.give(status, x.answer(status, reason, false).Append(nil))
}

// give gives the client an answer of ours, and ends the connection.
func (x *exchange) give(status int, page []byte) {
	x.client.farewell(page, func(n int) {
		x.gave(status, headOf(page), n)
		x.endAccount() // the client may take its time to read it
	})
}

// errOver is why there is no answer where nobody waits for one any more.
var errOver = errors.New("given up before the server answered: the client left, or its connection was ended")

func (x *exchange) over() bool { return x.Over != nil && x.Over() }

// badGateway answers for a server that failed.
func (x *exchange) badGateway(cause error) {
	unfinished := x.upload != nil && !x.upload.complete.Load()
	if err := x.endUpload(); err != nil {
		cause = err
	}
	var he *httpx.Error
	switch {
	case x.over():
		x.dropServer()
		x.blame(errOver)
		x.client.Close()
	case errors.As(cause, &he): // the request's own body was wrong
		x.refuse(he)
	case x.resetAlike(cause):
		x.dropServer()
		x.blame(cause)
		x.client.Close()
	case isTimeout(cause) && unfinished: // the time for the whole exchange is over: bodies have one of their own besides
		x.refuse(&httpx.Error{Status: 408, Reason: "the request took too long"})
	case isTimeout(cause):
		x.refuse(&httpx.Error{Status: 504, Reason: "the server took too long to answer"})
	case isGone(cause), cause == io.EOF:
		x.refuse(&httpx.Error{Status: 502, Reason: "the server closed the connection without an answer"})
	default:
		x.refuse(fmt.Errorf("%w: %v", &httpx.Error{Status: 502, Reason: "the server's connection failed"}, cause))
	}
}

func (x *exchange) dropServer() {
	if x.server == nil {
		return
	}
	x.server.Close()
	x.server, x.bound = nil, false
	x.Disconnected()
}

// spareServer hands the server's connection on to whoever needs one next, if anybody may.
func (x *exchange) spareServer() {
	if x.server == nil || x.Spare == nil || x.bound || x.back.pending() {
		return
	}
	x.server.served = true
	x.Spare(x.server)
	x.server = nil
	x.Disconnected()
}

// finish settles both connections after an exchange and reports whether the client's goes on.
func (x *exchange) finish() bool {
	serverStays := x.resp.KeepAlive && !x.resp.Body.UntilClose() && !x.back.pending()
	if x.req.Expect && !x.asked && !x.keep {
		serverStays = false // nobody wants the body, and a client that knows what it is told does not send it
	}
	if !serverStays {
		x.endUpload() //nolint:errcheck // the response is there: what became of the request does not matter any more
	} else if x.awaitUpload() != nil {
		serverStays, x.keep = false, false
	}
	x.served++
	x.settled = serverStays
	if !x.keep && serverStays {
		x.spareServer()
	}
	if !serverStays || !x.keep { // what a server says after its answer belongs to nobody
		x.back.release()
		x.dropServer()
	}
	if !x.keep {
		x.endAccount()
		x.client.linger(lingerTime)
	}
	return x.keep
}

// tunnel relays what follows an upgrade, beginning with what either side has sent already.
func (x *exchange) tunnel() {
	x.client.sock.expectRead(time.Time{}, 0)
	x.server.sock.expectRead(time.Time{}, 0)
	x.client.sock.expectWrite(time.Time{}, 0)
	x.server.sock.expectWrite(time.Time{}, 0)
	if x.in.pending() {
		if x.server.write(x.in.b) != nil {
			return
		}
		x.Meter.Up(int64(len(x.in.b)))
		x.In += int64(len(x.in.b))
	}
	x.release()
	if x.Tunnel == nil {
		Raw(x.client, x.server, 0, x.Meter)
		return
	}
	x.Tunnel(x.client, x.server)
}
