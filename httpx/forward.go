package httpx

// Forward is what we know about the connection a request came over. It is constant while the connection lasts.
//
// From a peer that is not trusted, Forwarded, X-Real-IP and every field that begins with X-Forwarded are removed. From a trusted
// proxy they stay, but for X-Forwarded-For, -Proto, -Host and -Port, whose lines are merged into one each: to the first the peer's
// address is appended, the others are left as they are. What is missing is set from what follows.
type Forward struct {
	// Client is the peer's address without port, IPv6 without brackets. Empty for a peer on a Unix socket, for which no address is
	// told: servers expect addresses in X-Forwarded-For, and take any word as one that they cannot read.
	Client string
	// Proto is "http" or "https".
	Proto string
	// Port is the port that the peer connected to, in decimal; empty if there is none.
	Port string
	// Trusted: the peer is a proxy whose word about its client is taken.
	Trusted bool
	// Identity is whole field lines, each with its CRLF, that tell whose certificate the client has shown us: [IdentityFields]. It is
	// the last word: where it is not empty nobody else's is passed on, be the peer trusted or not.
	Identity string
	// Asked: clients are asked for certificates here, so that nobody else's word about them is passed on even where Identity, by what
	// servers are to be told, is empty.
	Asked bool
	// Place is whole field lines that tell where on earth the client is, and Denied why a client is denied all the same that an abuse
	// server is to see: [PlaceFields], [DeniedField]. Where they are not empty nobody else's is passed on.
	Place, Denied string
}

// AppendForward appends the head that is to be sent to a server to dst; b is what Parse was last shown. Fields of the connection
// are removed. An absolute target becomes a path and a Host. The version is the client's, 1.0 or 1.1, so that
// the server frames its response for the client. No Connection is sent but for an upgrade, or where a client of HTTP/1.0 keeps
// its connection. The fields of [Forward] come last: X-Forwarded-Proto, -For, -Host, -Port,
// and the Identity, the Place and Denied.
func (r *Request) AppendForward(dst, b []byte, f *Forward) []byte {
	from := r.line
	if !r.verbatim {
		dst = r.appendLine(dst, b)
		from = r.lineEnd + 2
	}
	if (f.Asked || f.Identity != "") && r.hasKind(identity) {
		r.dropKind(identity)
	}
	if f.Place != "" && r.hasKind(place) {
		r.dropKind(place)
	}
	if r.hasKind(denial) {
		r.dropKind(denial)
	}
	dst = r.appendKept(dst, b, from, f.Trusted)
	switch {
	case r.Upgrade:
		dst = append(dst, "Connection: Upgrade\r\n"...)
	case r.Minor == 0 && r.KeepAlive:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	dst = r.appendProvenance(dst, b, f)
	dst = append(append(append(dst, f.Identity...), f.Place...), f.Denied...)
	return append(dst, "\r\n"...)
}

// dropKind leaves out the fields of a kind.
func (r *Request) dropKind(k kind) {
	for i := range r.fields {
		if r.fields[i].kind == k {
			r.fields[i].fate = drop
		}
	}
}

// appendLine writes the request line, and the Host of an absolute target, anew.
func (r *Request) appendLine(dst, b []byte) []byte {
	dst = append(dst, r.Method(b)...)
	dst = append(dst, ' ')
	path := b[r.path:r.targetEnd]
	switch {
	case len(path) == 0 && string(r.Method(b)) == "OPTIONS":
		dst = append(dst, '*') // RFC 9112 section 3.2.4
	case len(path) == 0 || path[0] == '?':
		dst = append(dst, '/')
		fallthrough
	default:
		dst = append(dst, path...)
	}
	if r.Minor == 0 {
		dst = append(dst, " HTTP/1.0\r\n"...)
	} else {
		dst = append(dst, " HTTP/1.1\r\n"...)
	}
	if r.absolute {
		dst = append(dst, "Host: "...)
		dst = append(dst, r.Host(b)...)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

func (r *Request) appendProvenance(dst, b []byte, f *Forward) []byte {
	if f.Trusted {
		dst = r.appendMerged(dst, b, "X-Forwarded-Proto: ", forwardedProto, f.Proto)
		dst = r.appendMerged(dst, b, "X-Forwarded-For: ", forwardedFor, f.Client)
		if r.hasValue(forwardedHost) {
			dst = r.appendMerged(dst, b, "X-Forwarded-Host: ", forwardedHost, "")
		} else {
			dst = r.appendHost(dst, b)
		}
		return r.appendMerged(dst, b, "X-Forwarded-Port: ", forwardedPort, f.Port)
	}
	if f.Proto != "" {
		dst = append(append(append(dst, "X-Forwarded-Proto: "...), f.Proto...), "\r\n"...)
	}
	if f.Client != "" {
		dst = append(append(append(dst, "X-Forwarded-For: "...), f.Client...), "\r\n"...)
	}
	dst = r.appendHost(dst, b)
	if f.Port != "" {
		dst = append(append(append(dst, "X-Forwarded-Port: "...), f.Port...), "\r\n"...)
	}
	return dst
}

func (r *Request) appendHost(dst, b []byte) []byte {
	if r.hostAt == r.hostEnd {
		return dst
	}
	return append(append(append(dst, "X-Forwarded-Host: "...), r.Host(b)...), "\r\n"...)
}

// hasValue tells whether a field of a kind is there and not empty.
func (r *Request) hasValue(k kind) bool {
	for i := range r.fields {
		if f := &r.fields[i]; f.kind == k && f.value < f.valueEnd {
			return true
		}
	}
	return false
}

// appendMerged writes what a trusted proxy said in fields of a kind as one line. Our own word is appended to X-Forwarded-For,
// and stands for the others where the proxy said nothing.
func (r *Request) appendMerged(dst, b []byte, name string, k kind, own string) []byte {
	start := len(dst)
	dst = append(dst, name...)
	value := len(dst)
	for i := range r.fields {
		if f := &r.fields[i]; f.kind == k && f.value < f.valueEnd {
			dst = append(appendComma(dst, value), f.valueOf(b)...)
		}
	}
	if own != "" && (k == forwardedFor || len(dst) == value) {
		dst = append(appendComma(dst, value), own...)
	}
	if len(dst) == value {
		return dst[:start]
	}
	return append(dst, "\r\n"...)
}

// appendComma separates what is to come from what is there since value.
func appendComma(dst []byte, value int) []byte {
	if len(dst) == value {
		return dst
	}
	return append(dst, ", "...)
}
