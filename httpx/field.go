package httpx

// kind is what a field means to the edge.
type kind uint8

const (
	other kind = iota
	host
	contentLength
	transferEncoding
	connection
	trailer
	expect
	upgrade
	hopByHop // of one connection, whatever Connection says
	forwardedFor
	forwardedProto
	forwardedHost
	forwardedPort
	forwarded  // RFC 7239
	realIP     // X-Real-IP
	via        // RFC 9110 section 7.6.3
	provenance // other fields that say where a request came from
	identity   // fields that say whose certificate the client has shown
	place      // fields that say where on earth the client is
	denial     // the field that says why a client is denied
	disguised  // a name of the above in other punctuation
)

// fate is what becomes of a field when its message is forwarded.
type fate uint8

const (
	keep fate = iota
	drop
	keepIfTrusted
)

// A field is one field line, as offsets into the head: start:nameEnd is its name, value:valueEnd its value without the blanks
// around it, end is where the next line starts.
type field struct {
	start, nameEnd, value, valueEnd, end int32
	kind                                 kind
	fate                                 fate
	tidy                                 bool // one blank or none before the value, none after it
}

func (f *field) nameOf(b []byte) []byte  { return b[f.start:f.nameEnd] }
func (f *field) valueOf(b []byte) []byte { return b[f.value:f.valueEnd] }

// parse takes the line b[start:end], which is followed by CRLF.
func (f *field) parse(b []byte, start, end int) *Error {
	n := tokenLength(b[start:end])
	i := start + n
	if n == 0 || b[i] != ':' { // at the latest the CR stops a token
		return badName(b[start:end], n)
	}
	value, valueEnd := i+1, end
	for value < end && isBlank(b[value]) {
		value++
	}
	for valueEnd > value && isBlank(b[valueEnd-1]) {
		valueEnd--
	}
	if !validValue(b[value:valueEnd]) {
		return bad("control character in a field value")
	}
	// One by one: a composite literal is built elsewhere and copied, which took a tenth of a request's time.
	f.start, f.nameEnd, f.end = int32(start), int32(i), int32(end+2)
	f.value, f.valueEnd = int32(value), int32(valueEnd)
	f.kind, f.fate = classify(b[start:i]), keep
	f.tidy = valueEnd == end && (value == i+1 || value == i+2 && b[i+1] == ' ')
	return nil
}

// badName says what is wrong with the name of a field line, of which the first n bytes are token characters.
func badName(line []byte, n int) *Error {
	switch {
	case n == 0 && isBlank(line[0]):
		return bad("a header line begins with a blank (line folding)")
	case n == 0 && line[0] == ':':
		return bad("empty field name")
	case n == len(line):
		return bad("header line without a colon")
	case isBlank(line[n]):
		return bad("blank before the colon of a header line")
	}
	return bad("field name is not a token")
}

// classify finds the kind of a field name.
func classify(name []byte) kind {
	k, canonical := other, ""
	switch len(name) {
	case 2:
		k, canonical = hopByHop, "te"
	case 3:
		k, canonical = via, "via"
	case 4:
		k, canonical = host, "host"
	case 5:
		// No field of HTTP, but CGI servers hand it to programs as HTTP_PROXY, which many take for their proxy (httpoxy).
		k, canonical = hopByHop, "proxy"
	case 6:
		k, canonical = expect, "expect"
	case 7:
		k, canonical = upgrade, "upgrade"
		if name[0]|0x20 == 't' {
			k, canonical = trailer, "trailer"
		}
	case 9:
		k, canonical = forwarded, "forwarded"
		if name[0]|0x20 == 'x' {
			k, canonical = realIP, "x-real-ip"
		}
	case 10:
		k, canonical = connection, "connection"
		if name[0]|0x20 == 'k' {
			k, canonical = hopByHop, "keep-alive"
		}
	case 14:
		k, canonical = contentLength, "content-length"
		if name[0]|0x20 == 'h' {
			k, canonical = hopByHop, "http2-settings"
		}
	case 17:
		k, canonical = transferEncoding, "transfer-encoding"
	}
	if k == other || !matches(name, canonical) {
		return classifyLong(name)
	}
	if isDisguised(name) {
		return disguised
	}
	return k
}

// classifyLong finds the kinds whose names have a common beginning.
func classifyLong(name []byte) kind {
	if len(name) < len("x-geo") {
		return other
	}
	k := other
	switch name[0] | 0x20 {
	case 'c':
		k = classifyOurs(name, "client-cert", identity)
	case 'p':
		k = classifyProxy(name)
	case 'x':
		switch name[2] | 0x20 {
		case 's':
			k = classifyOurs(name, "x-ssl-client", identity)
		case 'g':
			k = classifyOurs(name, "x-geo", place)
		case 'd':
			k = classifyOurs(name, "x-denied-reason", denial)
		default:
			k = classifyForwarded(name)
		}
	}
	if k != other && isDisguised(name) {
		return disguised
	}
	return k
}

// classifyProxy finds the fields between a client and its proxy. RFC 9110 sections 11.7.1 to 11.7.3 make the
// Proxy-Auth fields a matter of the next hop, and no server is authenticated to through us.
func classifyProxy(name []byte) kind {
	if len(name) == len("proxy-connection") && matches(name, "proxy-connection") ||
		len(name) == len("proxy-authenticate") && matches(name, "proxy-authenticate") ||
		len(name) == len("proxy-authorization") && matches(name, "proxy-authorization") ||
		len(name) == len("proxy-authentication-info") && matches(name, "proxy-authentication-info") {
		return hopByHop
	}
	return other
}

// classifyOurs finds the fields with a name, or with a hyphen and more behind it, that only the edge may set: Client-Cert and
// Client-Cert-Chain (RFC 9440), X-SSL-Client-Verify and X-Geo-Country and their like.
func classifyOurs(name []byte, prefix string, k kind) kind {
	if len(name) < len(prefix) || !matches(name[:len(prefix)], prefix) {
		return other
	}
	if len(name) > len(prefix) && folded[name[len(prefix)]] != '-' {
		return other
	}
	return k
}

func classifyForwarded(name []byte) kind {
	const prefix = "x-forwarded"
	if len(name) < len(prefix) || !matches(name[:len(prefix)], prefix) {
		return other
	}
	switch rest := name[len(prefix):]; {
	case len(rest) == len("-for") && matches(rest, "-for"):
		return forwardedFor
	case len(rest) == len("-proto") && matches(rest, "-proto"):
		return forwardedProto
	case len(rest) == len("-host") && matches(rest, "-host"):
		return forwardedHost
	case len(rest) == len("-port") && matches(rest, "-port"):
		return forwardedPort
	}
	return provenance
}

// matches compares a name with a canonical one of the same length, in any case and any punctuation.
func matches(name []byte, canonical string) bool {
	for i, c := range name {
		if folded[c] != canonical[i] {
			return false
		}
	}
	return true
}

// isDisguised tells whether a name has punctuation other than the hyphen.
func isDisguised(name []byte) bool {
	for _, c := range name {
		if c != '-' && folded[c] == '-' {
			return true
		}
	}
	return false
}
