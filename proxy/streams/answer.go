package streams

import (
	"bytes"
	"errors"
	"net/http"

	"edgepen/httpx"
)

// answerHeadMax bounds a response's head: whoever writes it has bounded it already.
const answerHeadMax = 32 << 20

var (
	errAfterEnd  = errors.New("more was written than the response has")
	errNotOpened = errors.New("the server has not opened the WebSocket, and says that all is well")
)

// answer turns an HTTP/1.1 response that is written piece by piece into calls of a ResponseWriter.
type answer struct {
	resp   httpx.Response
	held   []byte // the beginning of a head or of a line in a chunked body
	begun  bool   // the final response's head has been passed on
	closed bool   // a body until the end of the connection has come to it
	// continues: 100 (Continue) is passed on; otherwise the library says so by itself when the body is read.
	continues bool
	opens     bool // it is about a WebSocket that a client of HTTP/3 opens by CONNECT
	through   bool // which the server has opened: what comes now is its bytes
	failed    error
}

// complete tells whether the response is whole.
func (a *answer) complete() bool {
	return a.begun && (a.through || a.resp.Body.Done() || a.closed && a.resp.Body.UntilClose())
}

// close is the end of a body that ends with its connection.
func (a *answer) close() { a.closed = true }

// take takes what comes next of the response.
func (a *answer) take(w http.ResponseWriter, p []byte, isHead bool) error {
	for len(p) > 0 && a.failed == nil {
		if a.begun {
			p, a.failed = a.takeBody(w, p)
		} else {
			p, a.failed = a.takeHead(w, p, isHead)
		}
	}
	return a.failed
}

// takeHead takes a head, of an interim response or of the final one, and returns what follows it.
func (a *answer) takeHead(w http.ResponseWriter, p []byte, isHead bool) (rest []byte, err error) {
	b := p
	if len(a.held) > 0 {
		a.held = append(a.held, p...)
		b = a.held
	}
	n, err := a.resp.Parse(b, answerHeadMax, isHead)
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
	status := a.resp.Status
	if a.opens {
		if status, err = a.opened(); err != nil {
			return nil, err
		}
	}
	a.resp.EachField(b, func(name, value []byte) {
		if !ofConnection(name) && !(a.through && bytes.EqualFold(name, []byte("Sec-WebSocket-Accept"))) {
			w.Header().Add(string(name), string(value))
		}
	})
	for _, name := range []string{"Date", "Content-Type"} { // which the library would make up
		if _, ok := w.Header()[name]; !ok {
			w.Header()[name] = nil
		}
	}
	a.held = nil
	a.begun = !a.resp.Interim()
	if a.begun || a.continues || status != http.StatusContinue {
		w.WriteHeader(status)
	}
	if !a.begun {
		clear(w.Header())
		a.resp.Reset()
	}
	return rest, nil
}

// opened turns the status by which a server of HTTP/1.1 opens a WebSocket into that of HTTP/3, where any that tells of success does so.
func (a *answer) opened() (status int, err error) {
	status = a.resp.Status
	switch {
	case status == http.StatusSwitchingProtocols:
		a.through = true
		return http.StatusOK, nil
	case status >= 200 && status < 300:
		return 0, errNotOpened
	}
	return status, nil
}

// ofConnection tells whether a field is about an HTTP/1.1 connection (RFC 9113 section 8.2.2). The fields that Connection names are gone by now.
func ofConnection(name []byte) bool {
	for _, other := range []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "trailer"} {
		if bytes.EqualFold(name, []byte(other)) {
			return true
		}
	}
	return false
}

// takeBody passes the data on that is at the beginning of p, or takes a line of the chunks around it, and returns the rest.
func (a *answer) takeBody(w http.ResponseWriter, p []byte) (rest []byte, err error) {
	body := &a.resp.Body
	if a.through {
		_, err := w.Write(p)
		return nil, err
	}
	if body.Done() {
		return nil, errAfterEnd
	}
	if n := min(body.Opaque(), int64(len(p))); n > 0 && len(a.held) == 0 {
		body.Skip(n)
		_, err := w.Write(p[:n])
		return p[n:], err
	}
	line, rest, whole := bytes.Cut(p, []byte("\n"))
	a.held = append(a.held, line...)
	if !whole {
		return nil, nil
	}
	a.held = append(a.held, '\n')
	if name, value, ok := bytes.Cut(a.held, []byte(":")); ok { // a chunk's size has no colon: its extensions have been removed
		w.Header().Add(http.TrailerPrefix+string(name), string(bytes.TrimSpace(value)))
	}
	_, _, err = body.Feed(a.held)
	a.held = a.held[:0]
	return rest, err
}
