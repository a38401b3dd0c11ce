package h2

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

// A recipient is told what an answer is made of. ended: nothing follows.
type recipient interface {
	head(resp *httpx.Response, text []byte, ended bool) error // of an interim response, or of the final one
	data(p []byte, ended bool) error
	trailer(fields []byte) error // lines; it is the end
}

// answer takes an HTTP/1.1 response apart that is written piece by piece.
type answer struct {
	resp   *httpx.Response
	isHead bool   // the request was HEAD
	accept string // what an upgrade has to be answered with; "": there is none
	held   []byte // the beginning of a head or of a line in a chunked body
	fields []byte // of the trailer
	begun  bool   // the final response's head has been passed on
	raw    bool   // the response is an upgrade: what follows is no message
	ended  bool   // and all of the response
	failed error
}

// responses lends out heads, for the tables of fields in them.
var responses = sync.Pool{New: func() any { return new(httpx.Response) }}

// newAnswer is an answer of which nothing has been written.
func newAnswer() answer { return answer{resp: responses.Get().(*httpx.Response)} }

// recycle is for when nobody writes any more.
func (a *answer) recycle() {
	a.resp.Reset()
	responses.Put(a.resp)
	a.resp = nil
}

// take takes what comes next of the response.
func (a *answer) take(to recipient, p []byte) error {
	for len(p) > 0 && a.failed == nil {
		switch {
		case a.raw:
			return to.data(p, false)
		case a.begun:
			p, a.failed = a.takeBody(to, p)
		default:
			p, a.failed = a.takeHead(to, p)
		}
	}
	return a.failed
}

// close is the end of what is written, which for some bodies is their end.
func (a *answer) close(to recipient) error {
	if a.ended || a.failed != nil || !a.raw && !(a.begun && a.resp.Body.UntilClose()) {
		return nil
	}
	a.ended = true
	return to.data(nil, true)
}

// takeHead takes a head, of an interim response or of the final one, and returns what follows it.
func (a *answer) takeHead(to recipient, p []byte) (rest []byte, err error) {
	b := p
	if len(a.held) > 0 {
		a.held = append(a.held, p...)
		b = a.held
	}
	n, err := a.resp.Parse(b, answerHeadMax, a.isHead)
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
		if a.accept == "" || !accepts(a.resp, b, a.accept) {
			return nil, errUpgrade
		}
		a.begun, a.raw = true, true
	case a.accept != "" && a.resp.Status/100 == 2: // which would say that the tunnel is there (RFC 8441 section 4)
		return nil, errUpgrade
	case !a.resp.Interim():
		a.begun, a.ended = true, a.resp.Body.Done()
	}
	err = to.head(a.resp, b, a.ended)
	a.held = a.held[:0]
	if !a.begun {
		a.resp.Reset()
	}
	return rest, err
}

// accepts tells whether a server has answered the key that it was given (RFC 6455 section 4.1).
func accepts(resp *httpx.Response, text []byte, accept string) (found bool) {
	resp.EachField(text, func(name, value []byte) {
		found = found || bytes.EqualFold(name, []byte("Sec-WebSocket-Accept")) && string(value) == accept
	})
	return found
}

// takeBody passes the data on that is at the beginning of p, or takes a line of the chunks around it, and returns the rest.
func (a *answer) takeBody(to recipient, p []byte) (rest []byte, err error) {
	body := &a.resp.Body
	if a.ended {
		return nil, errAfterEnd
	}
	if n := min(body.Opaque(), int64(len(p))); n > 0 && len(a.held) == 0 {
		body.Skip(n)
		a.ended = body.Done()
		return p[n:], to.data(p[:n], a.ended)
	}
	line, rest, whole := bytes.Cut(p, []byte("\n"))
	a.held = append(a.held, line...)
	if !whole {
		return nil, nil
	}
	a.held = append(a.held, '\n')
	if bytes.IndexByte(a.held, ':') > 0 { // a chunk's size has no colon: its extensions have been removed
		a.fields = append(a.fields, a.held...)
	}
	_, _, err = body.Feed(a.held)
	a.held = a.held[:0]
	switch {
	case err != nil || !body.Done():
		return rest, err
	case len(a.fields) > 0:
		err = to.trailer(a.fields)
	default:
		err = to.data(nil, true)
	}
	a.ended = true
	return rest, err
}
