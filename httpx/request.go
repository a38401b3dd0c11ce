package httpx

import "bytes"

// A Request is the head of a request. The zero value is ready; call Reset before each further message.
type Request struct {
	// Minor is the x of HTTP/1.x: 0 or 1. A higher one counts as 1 (RFC 9110 section 2.5).
	Minor int
	// Body is how the request's body is delimited, ready to be fed.
	Body Body
	// KeepAlive: the client wishes to send another request on the connection (RFC 9112 section 9.3).
	KeepAlive bool
	// Upgrade: the request asks for another protocol and is forwarded so (RFC 9110 section 7.8): HTTP/1.1, no body, one
	// well-formed Upgrade field named in Connection, and the protocol is not HTTP or TLS itself.
	Upgrade bool
	// Expect: the client waits for 100 (Continue) before it sends the body (RFC 9110 section 10.1.1).
	Expect bool
	// IsHead: the method is HEAD, so the response has no body.
	IsHead bool

	head
	idempotent       bool
	verbatim         bool // the request line is forwarded as it came
	absolute         bool // the target is in absolute-form
	methodEnd        int
	target           int
	path, targetEnd  int // the target from its path on
	hostAt, hostEnd  int // host and port
	authority, authE int // of an absolute target
}

// Reset prepares r for the next message.
func (r *Request) Reset() {
	*r = Request{head: head{fields: r.fields[:0]}}
}

// Parse looks at b, which begins with the request, and returns the length of its head with the empty line once that is complete; 0 while
// more is needed. It is to be called again with the same bytes and more behind them, and goes on where it stopped; b may have
// moved meanwhile. Up to four empty lines before the request are skipped (RFC 9112 section 2.2) and count as part of the head.
//
// limit is the largest head in bytes: beyond it the error's status is 414 if the request line alone is longer, else 431. Errors are of
// type [*Error], and final.
func (r *Request) Parse(b []byte, limit int) (n int, err error) {
	if r.err == nil && r.length == 0 {
		limit = bound(limit)
		r.err = r.parse(view(b, limit), limit)
	}
	if r.err != nil {
		return 0, r.err
	}
	return r.length, nil
}

func (r *Request) parse(b []byte, limit int) *Error {
	if r.lineEnd == 0 {
		if err := r.parseStart(b); err != nil {
			return err
		}
	}
	for r.lineEnd != 0 {
		start, end, err := r.nextLine(b)
		switch {
		case err != nil:
			return err
		case end < 0:
			return r.incomplete(b, limit)
		case start == end:
			r.length = r.next
			return r.finish(b, limit)
		}
		f, err := r.addField(b, start, end)
		if err == nil && f.kind != other {
			err = r.known(b, f)
		}
		if err != nil {
			return err
		}
	}
	return r.incomplete(b, limit)
}

// incomplete decides whether a head that is not complete yet can still become one.
func (r *Request) incomplete(b []byte, limit int) *Error {
	switch {
	case len(b) < limit:
		return nil
	case r.lineEnd == 0:
		return &Error{Status: 414, Reason: "request line too long"}
	}
	return &Error{Status: 431, Reason: "header too large"}
}

// maxEmptyLines is how many empty lines are skipped before a request; old clients send one behind a body.
const maxEmptyLines = 4

// parseStart skips empty lines and parses the request line, if it is complete.
func (r *Request) parseStart(b []byte) *Error {
	for {
		start, end, err := r.nextLine(b)
		switch {
		case err != nil:
			return err
		case end < 0:
			// What is no HTTP at all may have no line end for long.
			if start < len(b) && classes[b[start]]&tokenChar == 0 && b[start] != '\r' {
				return bad("method is not a token")
			}
			return nil
		case start < end:
			return r.parseLine(b, start, end)
		case start >= 2*(maxEmptyLines):
			return bad("too many empty lines before the request")
		}
	}
}

// parseLine takes the request line (RFC 9112 section 3): single blanks, nothing around them.
func (r *Request) parseLine(b []byte, start, end int) *Error {
	line := b[start:end]
	sp := bytes.IndexByte(line, ' ')
	if sp < 0 {
		sp = len(line)
	}
	if !isToken(line[:sp]) {
		return bad("method is not a token")
	}
	r.setMethod(line[:sp])
	last := bytes.LastIndexByte(line, ' ')
	if last <= sp {
		return bad("request line without a version")
	}
	minor, err := parseVersion(line[last+1:])
	if err != nil {
		return err
	}
	if r.Minor = minor; minor > 1 {
		r.Minor = 1
	}
	r.line, r.lineEnd = start, end
	r.methodEnd, r.target, r.targetEnd = start+sp, start+sp+1, start+last
	r.verbatim = minor <= 1
	return r.parseTarget(b)
}

func (r *Request) setMethod(method []byte) {
	switch string(method) {
	case "GET", "OPTIONS", "TRACE", "PUT", "DELETE":
		r.idempotent = true
	case "HEAD":
		r.idempotent, r.IsHead = true, true
	}
}

// parseVersion takes HTTP/1.x and returns x (RFC 9112 section 2.3).
func parseVersion(p []byte) (minor int, err *Error) {
	if len(p) != 8 || string(p[:5]) != "HTTP/" || p[5]-'0' > 9 || p[6] != '.' || p[7]-'0' > 9 {
		return 0, bad("malformed HTTP version")
	}
	if p[5] != '1' {
		return 0, &Error{Status: 505, Reason: "HTTP version is not 1.x"}
	}
	return int(p[7] - '0'), nil
}

// parseTarget takes the target in the forms of RFC 9112 section 3.2.
func (r *Request) parseTarget(b []byte) *Error {
	method, target := r.Method(b), r.Target(b)
	r.path = r.target
	switch {
	case string(method) == "CONNECT":
		return &Error{Status: 501, Reason: "CONNECT is not implemented"}
	case len(target) > 0 && target[0] == '/':
	case string(target) == "*":
		if string(method) != "OPTIONS" {
			return bad("target * is for OPTIONS only")
		}
		return nil
	default:
		if err := r.parseAbsolute(target); err != nil {
			return err
		}
	}
	if !validPathQuery(b[r.path:r.targetEnd]) {
		return bad("invalid request target")
	}
	return nil
}

// parseAbsolute takes the scheme and the authority of a target in absolute-form.
func (r *Request) parseAbsolute(target []byte) *Error {
	var authority int
	switch {
	case len(target) > 7 && equalFold(target[:7], "http://"):
		authority = 7
	case len(target) > 8 && equalFold(target[:8], "https://"):
		authority = 8
	default:
		return bad("invalid request target")
	}
	end := authority
	for end < len(target) && target[end] != '/' && target[end] != '?' {
		end++
	}
	if !validAuthority(target[authority:end]) {
		return bad("invalid host in the request target")
	}
	r.absolute, r.verbatim = true, false
	r.authority, r.authE, r.path = r.target+authority, r.target+end, r.target+end
	return nil
}

// known takes a field that has a meaning for us.
func (r *Request) known(b []byte, f *field) *Error {
	switch f.kind {
	case host:
		return r.addHost(b, f)
	case contentLength:
		return r.addLength(b, f)
	case transferEncoding:
		return r.addCoding(b, f)
	case expect:
		if r.Minor > 0 && !equalFold(f.valueOf(b), "100-continue") {
			return &Error{Status: 417, Reason: "unknown expectation"}
		}
		f.fate = drop
	case provenance, identity, place, denial:
		f.fate = keepIfTrusted
	case trailer, via:
	default:
		f.fate = drop
	}
	r.has |= 1 << f.kind
	return nil
}

func (r *Request) addHost(b []byte, f *field) *Error {
	if r.hasKind(host) {
		return bad("repeated Host")
	}
	if !validAuthority(f.valueOf(b)) {
		return bad("invalid Host")
	}
	r.has |= 1 << host
	r.hostAt, r.hostEnd = int(f.value), int(f.valueEnd)
	return nil
}

// finish draws the conclusions of a complete head.
func (r *Request) finish(b []byte, limit int) *Error {
	if r.Minor > 0 && !r.hasKind(host) {
		return bad("no Host")
	}
	if r.absolute {
		if err := r.useAuthority(b); err != nil {
			return err
		}
	}
	if err := r.checkFraming(r.Minor); err != nil {
		return err
	}
	if err := r.applyOptions(b); err != nil {
		return err
	}
	switch {
	case r.hasKind(transferEncoding):
		r.Body = chunkedBody(limit)
	case r.hasKind(contentLength):
		r.Body = lengthBody(r.bodyLength)
	}
	r.KeepAlive = r.wantsKeepAlive(r.Minor)
	r.Expect = r.Minor > 0 && r.hasKind(expect) && !r.Body.Done()
	if r.Expect {
		r.keepFirst(expect)
	}
	r.finishUpgrade(b)
	return nil
}

// useAuthority makes the authority of an absolute target the host. A Host field must say the same: RFC 9112 section 3.2.2 lets
// the target win, but who compares them only behind us would be deceived.
func (r *Request) useAuthority(b []byte) *Error {
	if r.hasKind(host) && !equalFoldBytes(b[r.hostAt:r.hostEnd], b[r.authority:r.authE]) {
		return bad("Host differs from the host in the request target")
	}
	r.hostAt, r.hostEnd = r.authority, r.authE
	for i := range r.fields {
		if r.fields[i].kind == host {
			r.fields[i].fate = drop
		}
	}
	return nil
}

// keepFirst lets the first field of a kind be forwarded.
func (r *Request) keepFirst(k kind) *field {
	for i := range r.fields {
		if f := &r.fields[i]; f.kind == k {
			f.fate = keep
			return f
		}
	}
	return nil
}

func (r *Request) finishUpgrade(b []byte) {
	if !r.upgradeOption || !r.hasKind(upgrade) || r.Minor == 0 || !r.Body.Done() {
		return
	}
	if f := r.keepFirst(upgrade); !r.soleUpgrade() || !upgradable(f.valueOf(b)) {
		f.fate = drop
		return
	}
	r.Upgrade = true
}

func (r *Request) soleUpgrade() bool {
	n := 0
	for i := range r.fields {
		if r.fields[i].kind == upgrade {
			n++
		}
	}
	return n == 1
}

// upgradable tells whether p is a list of protocols (RFC 9110 section 7.8) that may be spoken past us. HTTP/2 may not: its
// requests would reach a server unread. Nor may TLS (RFC 2817): it ends here.
func upgradable(p []byte) bool {
	for more := true; more; {
		var protocol []byte
		protocol, p, more = cutComma(p)
		name, version, slash := bytes.Cut(protocol, []byte("/"))
		if !isToken(name) || slash && !isToken(version) {
			return false
		}
		if equalFold(name, "h2c") || equalFold(name, "h2") || equalFold(name, "http") || equalFold(name, "tls") {
			return false
		}
	}
	return true
}

// Method returns the method, a part of b, which is what Parse was last shown.
func (r *Request) Method(b []byte) []byte { return b[r.line:r.methodEnd] }

// Target returns the request target as it was received.
func (r *Request) Target(b []byte) []byte { return b[r.target:r.targetEnd] }

// Host returns host and port from the target or the Host field. Empty for an HTTP/1.0 request without either.
func (r *Request) Host(b []byte) []byte { return b[r.hostAt:r.hostEnd] }

// Field returns the value of the first field of a name, which is given in lower case; empty if there is none.
func (r *Request) Field(b []byte, name string) []byte {
	for i := range r.fields {
		if f := &r.fields[i]; equalFold(f.nameOf(b), name) {
			return f.valueOf(b)
		}
	}
	return nil
}

// Line returns the request line without its CRLF.
func (r *Request) Line(b []byte) []byte { return b[r.line:r.lineEnd] }

// Idempotent tells whether the request may be sent a second time when nobody knows what became of the first: GET, HEAD,
// OPTIONS, TRACE, PUT and DELETE (RFC 9110 section 9.2.2).
func (r *Request) Idempotent() bool { return r.idempotent }
