package relay

import (
	"bytes"
	"time"

	"edgepen/httpx"
)

// Witness is told what becomes of the requests on a client's connection, one after the other.
type Witness interface {
	// Begins is told that a request's first bytes have come, and reports whether anybody wants to hear more of it.
	Begins() bool
	// Asked is shown the head of a good request, Malformed what came in the place of one. Neither may keep it.
	Asked(r *httpx.Request, head []byte)
	Malformed(b []byte)
	// Ends is told how it ended.
	Ends(o Outcome)
}

// Outcome is what became of a request.
type Outcome struct {
	Status   int           // as the client was told; 0: it was told nothing, or was gone when it was to be told
	In, Out  int64         // bytes from and to the client, but for those of a tunnel
	OutHead  int64         // of Out: heads of responses
	Server   bool          // a server was connected to
	Upstream time.Duration // from when it was looked for until it began to answer; 0: it did not
	Retries  int           // how often the request was sent once more
	Why      error         // there is no answer of the server's, or not all of it
	ID       []byte        // the request's, if it has one; not to be kept
}

// account is what the Witness is to be told.
type account struct {
	Outcome
	watched bool
	sent    time.Time // when a server was looked for
}

// beginAccount is called when a request's first bytes have come.
func (x *exchange) beginAccount() {
	x.account = account{watched: x.Witness != nil && x.Witness.Begins()}
}

// introduceRequest shows the Witness a request's head.
func (x *exchange) introduceRequest() {
	if x.watched {
		x.In = int64(x.in.head)
		x.Witness.Asked(&x.req, x.in.b[:x.in.head])
	}
}

// notARequest shows it what came in the place of one, whole or not.
func (x *exchange) notARequest(why error) {
	if x.watched {
		x.In, x.Why = int64(len(x.in.b)), why
		x.Witness.Malformed(x.in.b)
	}
}

// startClock is called before a server is looked for, and stopClock when it has begun to answer.
func (x *exchange) startClock() {
	if x.watched {
		x.sent = time.Now()
	}
}

func (x *exchange) stopClock() {
	if x.watched && x.Upstream == 0 {
		x.Upstream = time.Since(x.sent)
	}
}

// gave counts what was written of a response, or of a part of one: n bytes, at most head of which are a head. The client has been told its status,
// unless that is 0, when anything was.
func (x *exchange) gave(status, head, n int) {
	if n == 0 {
		return
	}
	if status != 0 {
		x.Status = status
	}
	x.Out += int64(n)
	x.OutHead += int64(min(head, n))
}

// headOf is how many bytes the head of an answer of ours has.
func headOf(page []byte) int { return bytes.Index(page, []byte("\r\n\r\n")) + len("\r\n\r\n") }

// blame says why an exchange fails; the first reason is it.
func (x *exchange) blame(why error) {
	if x.Why == nil {
		x.Why = why
	}
}

// endAccount tells the Witness how the request ended, once. Nothing of it is under way any more.
func (x *exchange) endAccount() {
	if !x.watched {
		return
	}
	x.watched = false
	if x.upload != nil {
		x.In += x.upload.taken
	}
	if len(x.tag) > 0 {
		x.ID = x.Forward.ID
	}
	x.Witness.Ends(x.Outcome)
}
