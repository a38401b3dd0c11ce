package h2

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"

	_ "edgepen/proxy/h2/connect" // so that clients are told that they may ask
)

// protocolField is where net/http puts the pseudo-header of an extended CONNECT (RFC 8441 section 4).
const protocolField = ":protocol"

// What stands in a head that is to be followed by no other, and what in one that asks for an upgrade.
var (
	ofClose   = []byte("\r\nConnection: close\r\n")
	ofUpgrade = []byte("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ")
)

var (
	errProtocol = errors.New("the stream was asked to be of a protocol that is not known")
	errAccept   = errors.New("the server did not accept the WebSocket as RFC 6455 has it")
)

// headOf writes a request's head as HTTP/1.1. accept is not empty where it asks for a WebSocket.
func headOf(r *http.Request) (head []byte, accept string, err error) {
	if r.Method == http.MethodConnect && r.Header[protocolField] != nil {
		return appendUpgrade(r)
	}
	head, err = appendHead(nil, r)
	return head, "", err
}

// statusOf is the answer to what is no good request; a protocol that nobody knows has its own (RFC 9220 section 3).
func statusOf(err error) int {
	if err == errProtocol {
		return http.StatusNotImplemented
	}
	return http.StatusBadRequest
}

// appendUpgrade writes the head of a CONNECT for a WebSocket as HTTP/1.1 has it (RFC 6455 section 4.1), and returns what the server is to accept it by.
// The key is no secret: it keeps a server from taking for a WebSocket what is none.
func appendUpgrade(r *http.Request) (head []byte, accept string, err error) {
	if p := r.Header[protocolField]; len(p) != 1 || p[0] != "websocket" {
		return nil, "", errProtocol
	}
	asked := *r
	asked.Method, asked.ContentLength, asked.Header = http.MethodGet, 0, maps.Clone(r.Header)
	for _, name := range []string{protocolField, "Sec-Websocket-Key", "Content-Length"} {
		delete(asked.Header, name)
	}
	if head, err = appendHead(nil, &asked); err != nil {
		return nil, "", err
	}
	var random [16]byte
	rand.Read(random[:]) //nolint:errcheck // it never fails
	key := base64.StdEncoding.EncodeToString(random[:])
	ours := append(append(bytes.Clone(ofUpgrade), key...), "\r\n"...)
	return bytes.Replace(head, ofClose, ours, 1), acceptOf(key), nil
}

// acceptOf is RFC 6455 section 4.2.2.
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// switched turns the server's answer to an upgrade into the one to CONNECT: 200 has opened the WebSocket, any other keeps its meaning.
func (a *answer) switched(w http.ResponseWriter) (status int, err error) {
	status = a.resp.Status
	switch {
	case status != http.StatusSwitchingProtocols && status/100 == 2: // an ordinary answer to an ordinary request: nothing has been opened
		return 0, errAccept
	case status != http.StatusSwitchingProtocols:
		return status, nil
	case w.Header().Get("Sec-Websocket-Accept") != a.accept:
		return 0, errAccept
	}
	w.Header().Del("Sec-Websocket-Accept")
	a.tunnel = true
	return http.StatusOK, nil
}
