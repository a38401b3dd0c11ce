// Package streams is what HTTP/2 and HTTP/3 have in common: each request becomes a connection, from which it is read as HTTP/1.1, and to which the response
// is written as HTTP/1.1. So whoever checks, forwards and answers requests of HTTP/1.1 does so for these as well, by the same rules and nothing
// beside them.
package streams

import (
	"bytes"
	"errors"
	"sync"

	"edgepen/httpx"
)

// answerHeadMax bounds a response's head: whoever writes it has bounded it already.
const answerHeadMax = 32 << 20

var (
	errAfterEnd = errors.New("more was written than the response has")
	errUpgrade  = errors.New("the server has not answered the upgrade that it was asked for")
)

// A Recipient is told what an answer is made of. ended: nothing follows.
type Recipient interface {
	// Head is of an interim response, or of the final one: see Status and EachField of a, which text is for.
	Head(a *Answer, text []byte, ended bool) error
	Data(p []byte, ended bool) error
	Trailer(fields []byte) error // lines; it is the end
}

// Answer takes an HTTP/1.1 response apart that is written piece by piece.
type Answer struct {
	IsHead bool   // the request was HEAD
	Accept string // what an upgrade has to be answered with; "": there is none
	Begun  bool   // the final response's head has been passed on
	Raw    bool   // the response is an upgrade: what follows is no message
	Ended  bool   // all of the response has been passed on

	resp   *httpx.Response
	held   []byte // the beginning of a head or of a line in a chunked body
	fields []byte // of the trailer
	failed error
}

// responses lends out heads, for the tables of fields in them.
var responses = sync.Pool{New: func() any { return new(httpx.Response) }}

// NewAnswer is an answer of which nothing has been written.
func NewAnswer() Answer { return Answer{resp: responses.Get().(*httpx.Response)} }

// Recycle is for when nobody writes any more.
func (a *Answer) Recycle() {
	a.resp.Reset()
	responses.Put(a.resp)
	a.resp = nil
}

// Take takes what comes next of the response.
func (a *Answer) Take(to Recipient, p []byte) error {
	for len(p) > 0 && a.failed == nil {
		switch {
		case a.Raw:
			return to.Data(p, false)
		case a.Begun:
			p, a.failed = a.takeBody(to, p)
		default:
			p, a.failed = a.takeHead(to, p)
		}
	}
	return a.failed
}

// Close is the end of what is written, which for some bodies is their end.
func (a *Answer) Close(to Recipient) error {
	if a.Ended || a.failed != nil || !a.Raw && !(a.Begun && a.resp.Body.UntilClose()) {
		return nil
	}
	a.Ended = true
	return to.Data(nil, true)
}

// takeHead takes a head, of an interim response or of the final one, and returns what follows it.
func (a *Answer) takeHead(to Recipient, p []byte) (rest []byte, err error) {
	b := p
	if len(a.held) > 0 {
		a.held = append(a.held, p...)
		b = a.held
	}
	n, err := a.resp.Parse(b, answerHeadMax, a.IsHead)
	switch {
	case err != nil:
		return nil, err
	case n == 0:
		if len(a.held) == 0 {
			a.held = append(a.held, p...)
		}
		return nil, nil
	}
	rest = p[len(p)-(len(b)-n):]
	switch {
	case a.resp.Status == 101:
		if a.Accept == "" || !accepts(a.resp, b, a.Accept) {
			return nil, errUpgrade
		}
		a.Begun, a.Raw = true, true
	case a.Accept != "" && a.resp.Status/100 == 2: // which would say that the tunnel is there (RFC 8441 section 4)
		return nil, errUpgrade
	case !a.resp.Interim():
		a.Begun, a.Ended = true, a.resp.Body.Done()
	}
	err = to.Head(a, b, a.Ended)
	a.held = a.held[:0]
	if !a.Begun {
		a.resp.Reset()
	}
	return rest, err
}

// Status is what the client is told: an upgrade that is carried out is success there (RFC 8441 section 5, RFC 9220 section 3).
func (a *Answer) Status() int {
	if a.resp.Status == 101 {
		return 200
	}
	return a.resp.Status
}

// EachField calls f with each field for the client: those about a connection of HTTP/1.1 (RFC 9113 section 8.2.2), and what proves an upgrade, are none.
// The fields that Connection names are gone by now.
func (a *Answer) EachField(text []byte, f func(name, value []byte)) {
	a.resp.EachField(text, func(name, value []byte) {
		if !ofConnection(name) && !(a.Raw && bytes.EqualFold(name, acceptField)) {
			f(name, value)
		}
	})
}

var (
	acceptField      = []byte("Sec-WebSocket-Accept")
	connectionFields = [][]byte{[]byte("connection"), []byte("keep-alive"), []byte("proxy-connection"), []byte("transfer-encoding"), []byte("upgrade")}
)

func ofConnection(name []byte) bool {
	for _, other := range connectionFields {
		if len(name) == len(other) && bytes.EqualFold(name, other) {
			return true
		}
	}
	return false
}

// accepts tells whether a server has answered the key that it was given (RFC 6455 section 4.1).
func accepts(resp *httpx.Response, text []byte, accept string) (found bool) {
	resp.EachField(text, func(name, value []byte) {
		found = found || bytes.EqualFold(name, acceptField) && string(value) == accept
	})
	return found
}

// takeBody passes the data on that is at the beginning of p, or takes a line of the chunks around it, and returns the rest.
func (a *Answer) takeBody(to Recipient, p []byte) (rest []byte, err error) {
	body := &a.resp.Body
	if a.Ended {
		return nil, errAfterEnd
	}
	if n := min(body.Opaque(), int64(len(p))); n > 0 && len(a.held) == 0 {
		body.Skip(n)
		a.Ended = body.Done()
		return p[n:], to.Data(p[:n], a.Ended)
	}
	line, rest, whole := bytes.Cut(p, []byte("\n"))
	a.held = append(a.held, line...)
	if !whole {
		return nil, nil
	}
	a.held = append(a.held, '\n')
	if name, _, ok := bytes.Cut(a.held, []byte(":")); ok && !ofConnection(name) { // a chunk's size has no colon: its extensions have been removed
		a.fields = append(a.fields, a.held...)
	}
	_, _, err = body.Feed(a.held)
	a.held = a.held[:0]
	switch {
	case err != nil || !body.Done():
		return rest, err
	case len(a.fields) > 0:
		err = to.Trailer(a.fields)
	default:
		err = to.Data(nil, true)
	}
	a.Ended = true
	return rest, err
}
