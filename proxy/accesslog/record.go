// Package accesslog records what became of requests and connections, one line each, in the formats of web servers, as JSON, or in one that is put
// together of fields (pen(1), ACCESS LOG). A [Format] makes a line of a [Record], whatever a stranger has put into it; a [Writer] takes lines to a
// file without anybody's having to wait for the file.
package accesslog

import (
	"bytes"
	"time"
)

// Record is one request, or one connection that carried none. What is empty or 0 is not known, unless said otherwise. Bytes are a stranger's and
// may be anything; they are looked at until the line is made, and not kept.
type Record struct {
	Event string    // what is recorded: one of the words below
	Began time.Time // the request's first bytes, or the connection
	Took  time.Duration

	Client   string // address, of the client that a trusted proxy speaks for where it does
	Port     uint16
	Peer     string // the address that the connection came from, where that is not the client's
	Listener string

	Method, Target, Host []byte
	Protocol             string             // "HTTP/1.1"
	Malformed            []byte             // the first line of what is no request
	ID                   []byte             // what request_id has servers and clients told
	Headers              [MaxHeaders][]byte // the fields that Format.Headers names
	Status               int                // as the client was told; 0: it was told nothing
	In, Out              int64              // bytes from and to the client, without TLS's own; 0 is a number
	OutHead              int64              // of Out: heads of responses

	Server     string
	ServerPort uint16
	Upstream   time.Duration // from when a server was looked for until it began to answer
	Retries    int           // servers and connections that were tried in vain; 0 is a number

	TLS         bool // the fields below are known; false and "" say something
	Handshake   time.Duration
	Version     string
	Cipher      string
	Group       string
	SNI         string
	ALPN        string
	Resumed     bool
	ECH         bool
	JA4         string
	CommonName  string // of the client's certificate
	Fingerprint string // the same: SHA-256, in hex

	Country string
	ASN     uint32

	Denied string // acl, country, rate, …: the client is denied for that
	Reason string // why there is no answer of a server's, or not all of it
}

// The words of Record.Event.
const (
	Request    = "request"
	Connection = "connection" // that was passed on as it was
	Failure    = "failure"    // a connection that came to nothing
)

// MaxHeaders is how many fields of a request a format may ask for.
const MaxHeaders = 16

// How much is kept of what a stranger sends, in bytes: a target or a field is cut there.
const (
	maxTarget = 4096
	maxValue  = 1024
)

// path is the target up to its question mark.
func (r *Record) path() []byte {
	path, _, _ := bytes.Cut(r.Target, []byte("?"))
	return path
}

// query is the target from its question mark on.
func (r *Record) query() []byte {
	if i := bytes.IndexByte(r.Target, '?'); i >= 0 {
		return r.Target[i:]
	}
	return nil
}

// Text keeps what a request says beyond its buffer's life.
type Text struct{ b []byte }

// keepText is how much memory a Text holds on to between two requests.
const keepText = 1024

// Reset forgets what is kept. What Keep has returned is no longer to be used.
func (t *Text) Reset() {
	if cap(t.b) > keepText {
		t.b = nil
	}
	t.b = t.b[:0]
}

// Target keeps a target, or as much of it as is recorded.
func (t *Text) Target(p []byte) []byte { return t.keep(p, maxTarget) }

// Value keeps another part of a request.
func (t *Text) Value(p []byte) []byte { return t.keep(p, maxValue) }

func (t *Text) keep(p []byte, limit int) []byte {
	p = p[:min(len(p), limit)]
	at := len(t.b)
	t.b = append(t.b, p...) // where it moves, what was kept before stays where it was
	return t.b[at:len(t.b):len(t.b)]
}
