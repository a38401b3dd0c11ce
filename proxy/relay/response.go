package relay

import (
	"errors"
	"fmt"
	"io"
	"time"

	"edgepen/httpx"
)

// readResponse passes on the interim responses and then the final one, whole.
func (x *exchange) readResponse() bool {
	for {
		if !x.responseHead() {
			return false
		}
		if !x.resp.Interim() {
			break
		}
		if !x.forwardInterim() {
			return false
		}
	}
	switch {
	case x.resp.Status == 101 && (!x.req.Upgrade || x.upload != nil):
		x.badGateway(&httpx.Error{Status: 502, Reason: "the server changed protocols without being asked"})
		return false
	case x.resp.Body.Chunked() && x.req.Minor == 0: // which HTTP/1.0 cannot read (RFC 9112 6.1)
		x.badGateway(&httpx.Error{Status: 502, Reason: "the server answered an HTTP/1.0 request in chunks"})
		return false
	}
	return x.forwardHead() && x.forwardBody()
}

// responseHead reads the head of the next response. A connection that dies before the first byte of it may be replaced.
func (x *exchange) responseHead() bool {
	x.resp.Reset()
	if x.upload == nil && !x.in.pending() {
		x.in.release() // the server may think for long
	}
	if !x.reused {
		x.out.release() // no need to send the request again
	}
	for {
		if x.back.pending() {
			n, err := x.resp.Parse(x.back.b, x.HeadLimit, x.req.IsHead)
			if err != nil {
				x.badGateway(&httpx.Error{Status: 502, Reason: "the server's answer cannot be used: " + err.Error()})
				return false
			}
			if n > 0 {
				x.back.head = n
				x.stopClock()
				return true
			}
		}
		err := x.fetch()
		if err == nil {
			continue
		}
		if err == errStale { // nothing has been sent
			if !x.elsewhere() {
				return false
			}
			continue
		}
		if x.back.pending() {
			x.badGateway(err)
			return false
		}
		if !x.again(err) {
			return false
		}
	}
}

// fetch reads more from the server, holding a buffer only behind bytes that are held already. A server may be silent for Idle,
// counted from the end of the request.
func (x *exchange) fetch() error {
	for wait := x.Idle; ; {
		now := time.Now()
		x.server.sock.expectRead(now, within(now, x.by, wait))
		var err error
		if x.back.pending() {
			err = x.back.more(x.server)
		} else {
			err = x.back.next(x.server)
		}
		if !isTimeout(err) {
			return err
		}
		if wait = x.uploadGrace(); wait <= 0 || !x.by.IsZero() && !time.Now().Before(x.by) {
			return err
		}
	}
}

// uploadGrace is how much longer a silent server may be waited for because of the request's body.
func (x *exchange) uploadGrace() time.Duration {
	if x.upload == nil {
		return 0
	}
	select {
	case <-x.upload.done:
		return x.Idle - time.Since(x.upload.ended)
	default:
	}
	if x.upload.patient.Load() {
		return x.Idle - time.Since(time.Unix(0, x.upload.moved.Load()))
	}
	return x.Idle // it has time-outs of its own, and ends our wait where they pass
}

// forwardInterim passes a 1xx response on; HTTP/1.0 knows none (RFC 9110 15.2).
func (x *exchange) forwardInterim() bool {
	x.reused = false // the server lives: what it has begun to answer is not sent again
	x.asked = x.asked || x.resp.Status == 100
	x.out.reset()
	if x.req.Minor > 0 {
		x.out.b = x.resp.AppendForward(x.out.b, x.back.b, true, x.req.Minor)
	}
	x.back.drop(x.back.head)
	return x.reply(0, len(x.out.b))
}

// forwardHead passes on the final response's head and what came of the body along with it.
func (x *exchange) forwardHead() bool {
	x.keep = x.req.KeepAlive && !x.resp.Body.UntilClose() && (x.upload == nil || x.upload.complete.Load())
	x.keep = x.keep && !x.last()
	if x.Spare != nil && x.resp.Binds(x.back.b) {
		x.bound = true
	}
	x.resp.Apply(x.back.b, x.Policy)
	x.resp.Extra = x.tag
	x.out.reset()
	x.out.b = x.resp.AppendForward(x.out.b, x.back.b, x.keep || x.resp.Status == 101, x.req.Minor)
	head := len(x.out.b)
	x.back.drop(x.back.head)
	var err error
	if x.resp.Status == 101 {
		x.out.b = append(x.out.b, x.back.b...)
		x.back.release()
	} else {
		err = x.out.fill(&x.back, &x.resp.Body)
	}
	x.replying = true
	x.bePatient()
	return x.reply(x.resp.Status, head) && x.intact(err)
}

// forwardBody passes on the rest of the body.
func (x *exchange) forwardBody() bool {
	for !x.resp.Body.Done() {
		taken, out := 0, 0
		var err error
		if x.back.pending() {
			if taken, out, err = x.resp.Body.Feed(x.back.b); err != nil {
				return x.intact(err)
			}
		}
		if taken > 0 {
			x.out.b = x.back.b[:out]
			if !x.reply(0, 0) {
				return false
			}
			x.back.drop(taken)
			continue
		}
		if err := x.fetch(); err == io.EOF {
			return x.intact(x.resp.Body.Close())
		} else if err != nil {
			return x.intact(err)
		}
	}
	return true
}

var errClientLeft = errors.New("the client did not take all of the response")

// reply writes what is in out to the client. It begins with so many bytes of a head, a final response's if there is a status.
func (x *exchange) reply(status, head int) bool {
	if len(x.out.b) == 0 {
		return true
	}
	now := time.Now()
	x.client.sock.expectWrite(now, within(now, x.by, x.download.patience(len(x.out.b), x.Idle)))
	if x.SeenDown != nil {
		x.SeenDown(x.out.b)
	}
	n, err := x.client.give(x.out.b)
	x.gave(status, head, n)
	if err != nil {
		x.blame(errClientLeft)
		x.abandon()
		return false
	}
	if x.download.Rate > 0 {
		x.download.waited(time.Since(now), len(x.out.b))
	}
	x.Meter.Down(int64(len(x.out.b)))
	return true
}

// intact reports whether a response went through whole. One that did not ends the client's connection with nothing said,
// which is how the client learns of it.
func (x *exchange) intact(err error) bool {
	if err == nil {
		return true
	}
	if x.over() {
		x.blame(errClientLeft)
	} else {
		x.blame(fmt.Errorf("the response is not whole: %w", err))
		x.resetAlike(err)
	}
	x.abandon()
	return false
}

// abandon ends both connections at once.
func (x *exchange) abandon() {
	x.client.reset()
	x.endUpload()
	x.dropServer()
}
