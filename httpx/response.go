package httpx

// A Response is the head of a response. The zero value is ready; call Reset before each further message, and after an interim one.
type Response struct {
	// Status is the status code, 100 to 599.
	Status int
	// Minor is the x of HTTP/1.x: 0 or 1.
	Minor int
	// KeepAlive: the server's connection can take another request once the body is done.
	KeepAlive bool
	// Body is how the response's body is delimited, ready to be fed.
	Body Body
	// Extra is field lines, each with its CRLF, that AppendForward puts last.
	Extra []byte

	head
	verbatim bool   // the status line is forwarded as it came
	last     string // field lines that come last
	via      string // our name in Via
}

// Reset prepares r for the next message.
func (r *Response) Reset() {
	*r = Response{head: head{fields: r.fields[:0]}}
}

// Parse works as [Request.Parse] does. isHead says that the request was HEAD, whose response has the fields of a body but none
// (RFC 9112 section 6.3). A missing reason phrase is accepted, with or without the blank before it (section 4).
func (r *Response) Parse(b []byte, limit int, isHead bool) (n int, err error) {
	if r.err == nil && r.length == 0 {
		limit = bound(limit)
		r.err = r.parse(view(b, limit), limit, isHead)
	}
	if r.err != nil {
		return 0, r.err
	}
	return r.length, nil
}

func (r *Response) parse(b []byte, limit int, isHead bool) *Error {
	for {
		start, end, err := r.nextLine(b)
		switch {
		case err != nil:
			return err
		case end < 0 && len(b) >= limit:
			return &Error{Status: 431, Reason: "header too large"}
		case end < 0:
			return nil
		case r.lineEnd == 0:
			err = r.parseLine(b[start:end])
			r.line, r.lineEnd = start, end
		case start == end:
			r.length = r.next
			return r.finish(b, limit, isHead)
		default:
			err = r.parseField(b, start, end)
		}
		if err != nil {
			return err
		}
	}
}

// parseLine takes the status line.
func (r *Response) parseLine(line []byte) *Error {
	if len(line) < len("HTTP/1.1 200") {
		return bad("malformed status line")
	}
	minor, err := parseVersion(line[:8])
	if err != nil {
		return err
	}
	code := line[9:12]
	for _, c := range code {
		if c < '0' || c > '9' {
			return bad("malformed status code")
		}
	}
	r.Status = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	if line[8] != ' ' || len(line) > 12 && line[12] != ' ' || r.Status < 100 || r.Status > 599 {
		return bad("malformed status line")
	}
	if !validValue(line[12:]) {
		return bad("control character in the reason phrase")
	}
	r.Minor = min(minor, 1)
	r.verbatim = minor == 1 && len(line) > 12
	return nil
}

// parseField takes a field line. Names in other punctuation and fields about provenance mean nothing in a response.
func (r *Response) parseField(b []byte, start, end int) *Error {
	f, err := r.addField(b, start, end)
	if err != nil {
		return err
	}
	switch f.kind {
	case other, trailer:
		return nil
	case contentLength:
		return r.addLength(b, f)
	case transferEncoding:
		return r.addCoding(b, f)
	case connection, hopByHop, upgrade:
		f.fate = drop
		r.has |= 1 << f.kind
		return nil
	}
	f.kind = other
	return nil
}

// finish draws the conclusions of a complete head.
func (r *Response) finish(b []byte, limit int, isHead bool) *Error {
	if err := r.checkFraming(r.Minor); err != nil {
		return err
	}
	if err := r.applyOptions(b); err != nil {
		return err
	}
	r.KeepAlive = r.wantsKeepAlive(r.Minor)
	switch {
	case r.Status == 101:
		if !r.hasKind(upgrade) || !r.upgradeOption {
			return bad("status 101 without Upgrade")
		}
		r.setFate(upgrade, keep)
		r.KeepAlive = false
		r.dropFraming()
	case r.Status < 200 || r.Status == 204:
		r.dropFraming()
	case isHead || r.Status == 304:
	case r.hasKind(transferEncoding):
		r.Body = chunkedBody(limit)
	case r.hasKind(contentLength):
		r.Body = lengthBody(r.bodyLength)
	default:
		r.Body = Body{mode: untilClose}
		r.KeepAlive = false
	}
	return nil
}

// dropFraming removes what RFC 9112 section 6.1 and RFC 9110 section 8.6 forbid in a 1xx or 204. A server that announces a body there may well
// send it, so that its connection is not used again.
func (r *Response) dropFraming() {
	if r.hasKind(transferEncoding) || r.hasKind(contentLength) && r.bodyLength > 0 {
		r.KeepAlive = false
	}
	r.setFate(transferEncoding, drop)
	r.setFate(contentLength, drop)
}

// Interim tells whether another response to the same request follows: 1xx but for 101 (RFC 9110 section 15.2).
func (r *Response) Interim() bool { return r.Status < 200 && r.Status != 101 }

// AppendForward appends the head that is to be sent to the client to dst; b is what Parse was last shown. The version is ours, 1.1
// (RFC 9110 section 2.5). Fields of the connection are removed; keepAlive says whether the client's connection is kept, for which
// clients of HTTP/1.0 and 1.1 (clientMinor) look for different words. A body that ends with the connection always closes it.
//
// Two answers are for the caller to refuse, who knows the request: a chunked one to HTTP/1.0, which stays chunked here, and
// a 101 to what was no upgrade.
func (r *Response) AppendForward(dst, b []byte, keepAlive bool, clientMinor int) []byte {
	from := r.line
	if !r.verbatim {
		dst = append(dst, "HTTP/1.1"...)
		dst = append(dst, b[r.line+8:r.lineEnd]...)
		if r.lineEnd-r.line == len("HTTP/1.1 200") {
			dst = append(dst, ' ')
		}
		dst = append(dst, "\r\n"...)
		from = r.lineEnd + 2
	}
	dst = append(append(r.appendKept(dst, b, from, true), r.last...), r.Extra...)
	if r.via != "" {
		dst = appendVia(dst, versions[r.Minor], r.via)
	}
	switch {
	case r.Status == 101:
		dst = append(dst, "Connection: Upgrade\r\n"...)
	case r.Interim():
	case !keepAlive || r.Body.UntilClose():
		dst = append(dst, "Connection: close\r\n"...)
	case clientMinor == 0:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return append(dst, "\r\n"...)
}
