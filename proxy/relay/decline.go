package relay

import (
	"errors"
	"time"

	"edgepen/httpx"
)

// decline refuses one request of a connection whose others may be another client's, and reports whether they may follow.
func (x *exchange) decline(err error) bool {
	var he *httpx.Error
	if !errors.As(err, &he) || !x.req.KeepAlive || x.req.Minor == 0 || !x.req.Body.Done() || x.last() {
		x.refuse(err)
		return false
	}
	x.Refused(he.Status, err)
	x.served++
	x.in.drop(x.in.head)
	x.out.reset()
	x.out.b = x.answer(he.Status, he.Reason, true).Append(x.out.b)
	x.blame(err)
	x.client.sock.expectWrite(time.Now(), x.Idle)
	n, failed := x.client.give(x.out.b)
	x.gave(he.Status, headOf(x.out.b), n)
	return failed == nil
}

// last reports whether the connection is to end with the request in hand.
func (x *exchange) last() bool {
	return x.Leaving != nil && x.Leaving() || x.Requests > 0 && x.served+1 >= x.Requests
}

// answer is one of our own to the request in hand.
func (x *exchange) answer(status int, reason string, keep bool) *httpx.Answer {
	fields := x.tag
	if x.Policy != nil { // what clients are told with every response
		fields = append(fields[:len(fields):len(fields)], x.Policy.Append...)
	}
	return &httpx.Answer{Status: status, Detail: reason, Page: x.Pages[status], Fields: fields, Head: x.req.IsHead, Keep: keep}
}
