//go:build !nohttp3

package h3

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"edgepen/proxy/streams"
)

// What a pseudo-header may not hold, since it would end the part of a request line or field that it stands in (RFC 9113 section 8.3.1). The rest is
// for the parser of HTTP/1.1 to refuse.
func ends(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// webSocket reports whether a request opens a WebSocket by CONNECT (RFC 9220), which the library always offers.
func webSocket(r *http.Request) bool {
	return r.Method == http.MethodConnect && r.ProtoMajor == 3 && r.Proto == "websocket"
}

var (
	errPseudo  = errors.New("a pseudo-header holds a blank or a control character")
	errConnect = errors.New("CONNECT is not for this server")
	errField   = errors.New("a field holds a control character")
)

// appendHead writes a request's head as HTTP/1.1, with Connection: close, since no other follows, or with an upgrade, to which accept is the answer.
func appendHead(dst []byte, r *http.Request) (_ []byte, accept string, err error) {
	method, opens := r.Method, webSocket(r)
	switch {
	case opens:
		method = http.MethodGet
	case method == http.MethodConnect:
		return dst, "", errConnect
	}
	if ends(r.Method) || ends(r.RequestURI) || ends(r.Host) {
		return dst, "", errPseudo
	}
	dst = append(append(append(append(dst, method...), ' '), r.RequestURI...), " HTTP/1.1\r\nHost: "...)
	dst = append(append(dst, r.Host...), "\r\n"...)
	if opens {
		dst, accept = streams.AppendUpgrade(dst)
	} else {
		dst = append(dst, "Connection: close\r\n"...)
	}
	for name, values := range r.Header {
		if ofHTTP1(name) || opens && name == "Sec-Websocket-Key" {
			continue
		}
		for _, value := range values {
			if strings.ContainsAny(value, "\r\n\x00") || strings.ContainsAny(name, "\r\n\x00: ") {
				return dst, "", errField
			}
			dst = append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
		}
	}
	switch {
	case opens: // what follows is the WebSocket's
	case r.ContentLength < 0:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
		dst = appendTrailerNames(dst, r.Trailer)
	case r.ContentLength > 0 || r.Header.Get("Content-Length") != "":
		dst = append(strconv.AppendInt(append(dst, "Content-Length: "...), r.ContentLength, 10), "\r\n"...)
	}
	return append(dst, "\r\n"...), accept, nil
}

// ofHTTP1 tells whether a field is one that we write ourselves, or that HTTP/3 has other means for.
func ofHTTP1(name string) bool {
	switch name {
	case "Host", "Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive", "Proxy-Connection", "Upgrade", "Trailer":
		return true
	}
	return false
}

func appendTrailerNames(dst []byte, trailer http.Header) []byte {
	if len(trailer) == 0 {
		return dst
	}
	dst = append(dst, "Trailer: "...)
	first := true
	for name := range trailer {
		if !first {
			dst = append(dst, ", "...)
		}
		dst, first = append(dst, name...), false
	}
	return append(dst, "\r\n"...)
}

// appendTrailer writes the end of a chunked body.
func appendTrailer(dst []byte, trailer http.Header) []byte {
	dst = append(dst, "0\r\n"...)
	for name, values := range trailer {
		for _, value := range values {
			if !strings.ContainsAny(value, "\r\n\x00") {
				dst = append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
			}
		}
	}
	return append(dst, "\r\n"...)
}
