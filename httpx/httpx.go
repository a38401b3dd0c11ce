// Package httpx speaks HTTP/1.1 at the edge: a strict push parser for the heads and bodies of requests and responses (RFC 9112),
// and the policy that decides which header fields go on and which are set by us.
//
// The package is pure. It knows no sockets and never reads: a caller shows what has come so far, and is told how much of it is a
// message and what is to be forwarded. Everything works on the caller's byte slices; parsed parts are offsets into them. [Request],
// [Response] and [Body] are reused and allocate nothing once their field tables have grown.
//
// # What is refused
//
// A message that two recipients could understand differently is refused with an [Error], never repaired: the connection is then to be
// closed, because its next message cannot be found with certainty. This includes what RFC 9112 merely allows a recipient to
// tolerate: a line that ends in LF alone (2.2), line folding (5.2), Content-Length beside Transfer-Encoding (6.1), a Content-Length list (6.3).
//
// # What is forwarded
//
// The body's framing goes on as it came. Fields that concern one connection (RFC 9110 section 7.6.1) are removed, and so are, of
// requests, the ways of writing a known name with other punctuation (Content_Length): a server that turns names into CGI variables
// could not tell them from the real ones. Fields about where a request came from are believed only when the peer is a trusted proxy; see [Forward].
package httpx

// An Error says why a message is refused.
type Error struct {
	// Status is the HTTP status that a client is to be told: 400, 414, 417, 431, 501 or 505. It means nothing where a server's
	// response is refused, which a client sees as 502.
	Status int
	// Reason is for the log and the error page, lower case, without any of the message's own bytes.
	Reason string
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }

// bad is the refusal of a malformed message.
func bad(reason string) *Error { return &Error{Status: 400, Reason: reason} }

// MaxFields is the largest number of field lines in a head; more are refused with 431.
const MaxFields = 256

// Answers tells whether the edge answers with a status by itself, and with a page.
func Answers(status int) bool { return status >= 400 && StatusText(status) != "Error" }

// StatusText returns the reason phrase of a status that the edge itself answers with, "Error" for any other.
func StatusText(status int) string {
	switch status {
	case 200:
		return "OK"
	case 308:
		return "Permanent Redirect"
	case 400:
		return "Bad Request"
	case 403:
		return "Forbidden"
	case 408:
		return "Request Timeout"
	case 413:
		return "Content Too Large"
	case 414:
		return "URI Too Long"
	case 417:
		return "Expectation Failed"
	case 421:
		return "Misdirected Request"
	case 429:
		return "Too Many Requests"
	case 431:
		return "Request Header Fields Too Large"
	case 500:
		return "Internal Server Error"
	case 501:
		return "Not Implemented"
	case 502:
		return "Bad Gateway"
	case 503:
		return "Service Unavailable"
	case 504:
		return "Gateway Timeout"
	case 505:
		return "HTTP Version Not Supported"
	case 508:
		return "Loop Detected"
	}
	return "Error"
}
