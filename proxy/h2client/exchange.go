package h2client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http2"

	"edgepen/httpx"
)

// requestHeadMax bounds a request's head: whoever writes it has bounded it already.
const requestHeadMax = 32 << 20

// bufferSize is how much is read at once.
const bufferSize = 32 << 10

// buffers lends out what responses pass through.
var buffers = sync.Pool{New: func() any { return new([frame + bufferSize]byte) }}

// interimMax is how many interim responses wait to be written. A server that sends more at once has no need of them.
const interimMax = 8

// exchange is one request and its response, on the far side of a Stream.
type exchange struct {
	conn    *Conn
	far     net.Conn
	stream  *Stream
	again   func() (*Conn, error)
	head    httpx.Request
	interim chan []byte
}

// run is the way of a request.
func (e *exchange) run(ctx context.Context) {
	defer e.far.Close()
	defer e.stream.cancel()
	req, err := e.request(ctx)
	if err != nil {
		e.conn.client.Release()
		e.cut(err)
		return
	}
	resp, err := e.send(req)
	if err != nil {
		e.cut(err)
		return
	}
	defer resp.Body.Close()
	if err := e.respond(resp); err != nil {
		e.cut(err)
	}
}

// cut says why there is no whole response, before its end is seen.
func (e *exchange) cut(err error) {
	if stream, ok := errors.AsType[http2.StreamError](err); ok { // which net/http's own turns into
		err = &resetError{err, uint32(stream.Code)}
	}
	e.stream.cut.Store(&err)
}

// resetError is that the server has reset the stream.
type resetError struct {
	error
	code uint32
}

// ResetCode is why, as RFC 9113 section 7 numbers it.
func (e *resetError) ResetCode() uint32 { return e.code }

// request reads the request's head.
func (e *exchange) request(ctx context.Context) (*http.Request, error) {
	b := make([]byte, 0, bufferSize)
	for {
		n, err := e.far.Read(b[len(b):cap(b)])
		if err != nil {
			return nil, err
		}
		b = b[:len(b)+n]
		if n, err = e.head.Parse(b, requestHeadMax); err != nil {
			return nil, err
		}
		if n > 0 {
			return e.translate(ctx, b, b[n:])
		}
		if len(b) == cap(b) {
			b = append(make([]byte, 0, 2*cap(b)), b...)
		}
	}
}

// translate makes net/http's request of one whose head is in b; rest is what has come of its body.
func (e *exchange) translate(ctx context.Context, b, rest []byte) (*http.Request, error) {
	host := string(e.head.Host(b))
	if host == "" {
		host = e.conn.conn.RemoteAddr().String() // HTTP/1.0 may do without
	}
	target := string(e.head.Target(b))
	if strings.HasPrefix(target, "//") { // of which url.URL would make a host
		target = e.conn.scheme + "://" + host + target
	}
	e.interim = make(chan []byte, interimMax)
	req := (&http.Request{
		Method: string(e.head.Method(b)), Host: host, URL: &url.URL{Scheme: e.conn.scheme, Host: host, Opaque: target},
		Header: http.Header{"User-Agent": nil}, Body: http.NoBody, ContentLength: e.head.Body.Remaining(),
	}).WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: e.gotInterim}))
	e.head.EachField(b, func(name, value []byte) { addField(req, string(name), string(value)) })
	req.Header["Te"] = []string{"trailers"} // which are passed on, whoever the client is
	if !e.head.Body.Done() {
		req.Body = &body{far: e.far, body: &e.head.Body, ahead: rest, trailer: req.Trailer}
	}
	return req, nil
}

// addField takes a field over, unless HTTP/2 has other means for it (RFC 9113 section 8.2.2).
func addField(req *http.Request, name, value string) {
	switch name = textproto.CanonicalMIMEHeaderKey(name); name {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade":
	case "Trailer":
		for name := range strings.SplitSeq(value, ",") {
			if req.Trailer == nil {
				req.Trailer = http.Header{}
			}
			req.Trailer[textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))] = nil
		}
	default:
		req.Header[name] = append(req.Header[name], value)
	}
}

// triesMax is how many connections a request is tried on.
const triesMax = 5

// send sends the request, again where the server has not looked at it and all that it was sent is still in hand.
func (e *exchange) send(req *http.Request) (*http.Response, error) {
	for tries := 1; ; tries++ {
		resp, err := e.roundTrip(req)
		if err == nil || e.again == nil || tries == triesMax || !unprocessed(err) || req.Context().Err() != nil {
			return resp, err
		}
		if b, ok := req.Body.(*body); ok && !b.rewind() {
			return nil, err
		}
		if e.conn, err = e.again(); err != nil {
			return nil, err
		}
		once := *req
		req = &once
	}
}

// unprocessed reports whether an error says that the server has not begun with a request (RFC 9113 section 8.7): it had said GOAWAY, or refused the
// stream. net/http says so only in words.
func unprocessed(err error) bool {
	switch text := err.Error(); text {
	case "http2: client conn not usable", "http2: Transport received Server's graceful shutdown GOAWAY":
		return true
	default:
		return strings.HasPrefix(text, "stream error: ") && strings.Contains(text, "; REFUSED_STREAM;")
	}
}

// roundTrip sends the request, and passes interim responses on until there is the final one.
func (e *exchange) roundTrip(req *http.Request) (resp *http.Response, err error) {
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		resp, err = e.conn.client.RoundTrip(req)
	}()
	for {
		select {
		case text := <-e.interim:
			e.far.Write(text) //nolint:errcheck // whoever is gone has cancelled the request
		case <-answered:
			for len(e.interim) > 0 {
				e.far.Write(<-e.interim) //nolint:errcheck // as above
			}
			return resp, err
		}
	}
}

// gotInterim is called where all streams are read, and so must not wait for one.
func (e *exchange) gotInterim(status int, header textproto.MIMEHeader) error {
	text := appendFields(appendStatus(nil, status), http.Header(header))
	select {
	case e.interim <- append(text, "\r\n"...):
	default:
	}
	return nil
}

// respond writes the response.
func (e *exchange) respond(resp *http.Response) error {
	chunked, none := false, e.head.IsHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified
	head := appendFields(appendStatus(nil, resp.StatusCode), resp.Header)
	length := resp.ContentLength >= 0 && len(resp.Trailer) == 0
	switch _, said := resp.Header["Content-Length"]; {
	case length && (!none || said):
		head = append(strconv.AppendInt(append(head, "Content-Length: "...), resp.ContentLength, 10), "\r\n"...)
	case !none && e.head.Minor > 0:
		chunked, head = true, append(head, "Transfer-Encoding: chunked\r\n"...)
	}
	head = append(head, "Connection: close\r\n\r\n"...)
	if _, err := e.far.Write(head); err != nil || none {
		return err
	}
	b := buffers.Get().(*[frame + bufferSize]byte)
	defer buffers.Put(b)
	if chunked {
		return e.respondChunks(resp, b[:])
	}
	_, err := io.CopyBuffer(e.far, resp.Body, b[:])
	return err
}

// The frame around a chunk: its size in at most four digits, and two line ends.
const (
	sizeLine = 4 + len("\r\n")
	frame    = sizeLine + len("\r\n")
)

// respondChunks writes a body in chunks, with the trailer behind it; b is what it passes through.
func (e *exchange) respondChunks(resp *http.Response, b []byte) error {
	for {
		n, err := resp.Body.Read(b[sizeLine : sizeLine+bufferSize])
		out := b[:0]
		if n > 0 {
			size := append(strconv.AppendInt(make([]byte, 0, sizeLine), int64(n), 16), "\r\n"...)
			from := sizeLine - len(size)
			copy(b[from:], size)
			out = append(b[from:sizeLine+n], "\r\n"...)
		}
		if err == io.EOF {
			out = append(appendFields(append(out, "0\r\n"...), resp.Trailer), "\r\n"...)
		}
		if _, werr := e.far.Write(out); werr != nil {
			return werr
		}
		switch err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}

func appendStatus(dst []byte, status int) []byte {
	dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(status), 10)
	return append(append(append(dst, ' '), http.StatusText(status)...), "\r\n"...)
}

// appendFields writes fields, but for those that are about a connection of HTTP/1.1.
func appendFields(dst []byte, fields http.Header) []byte {
	for name, values := range fields {
		switch name {
		case "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade":
			continue
		}
		for _, value := range values {
			dst = append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
		}
	}
	return dst
}

var errCutOff = errors.New("the request was cut off")
