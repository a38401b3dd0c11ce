package httpx

// Forward is what we know about the connection a request came over. It is constant while the connection lasts.
//
// From a peer that is not trusted, Forwarded, X-Real-IP and every field that begins with X-Forwarded are removed. A trusted proxy speaks
// of its client in one field ([TrustedField]); the others that could name one are removed from its requests as well, for what it does not
// write itself it passes on from whoever wrote it. X-Forwarded-For, -Proto, -Host and -Port become one line each: the first is what the
// proxy has said of its client, with the proxy's own address appended, the others are left as they are, or follow its Forwarded where
// that is the field. What is missing is set from what follows.
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
	// Field is the one that a trusted peer tells its client in, and Said what it has said there of the request in hand.
	Field TrustedField
	Said  Said
	// Forwarded: servers are told in Forwarded (RFC 7239) as well, by By, our own address, which may be empty. RealIP: and in X-Real-IP.
	Forwarded, RealIP bool
	By                string
	// Via is our name in Via, empty: none is added; Version is that of HTTP which the client spoke, empty: what the request says.
	Via, Version string
	// IDName is the name of a field in which servers are told ID, an id of the request; empty: none is told.
	IDName string
	ID     []byte
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
// its connection. The fields of [Forward] come last: X-Forwarded-Proto, -For, -Host, -Port, Forwarded, X-Real-IP,
// the Identity, the Place, Denied, the ID and Via.
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
	if f.Trusted {
		r.keepWord(f)
	}
	if f.IDName != "" {
		r.dropNamedLike(b, f.IDName)
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
	dst = f.appendOurs(dst, r.Minor)
	return append(dst, "\r\n"...)
}

// appendOurs writes what is about the way of the message itself.
func (f *Forward) appendOurs(dst []byte, minor int) []byte {
	if f.IDName != "" {
		dst = append(append(append(append(dst, f.IDName...), ": "...), f.ID...), "\r\n"...)
	}
	if f.Via == "" {
		return dst
	}
	version := f.Version
	if version == "" {
		version = versions[min(minor, 1)]
	}
	return appendVia(dst, version, f.Via)
}

// versions are those of HTTP/1, by their minor numbers.
var versions = [2]string{"1.0", "1.1"}

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

// keepWord lets the field that a trusted proxy tells its client in be forwarded, unless it is written anew. One that speaks Forwarded is not
// believed in the fields before its time.
func (r *Request) keepWord(f *Forward) {
	switch {
	case f.Field == TrustForwarded:
		r.setFate(provenance, drop)
		if !f.Forwarded {
			r.setFate(forwarded, keep)
		}
	case f.Field == TrustRealIP && !f.RealIP:
		r.setFate(realIP, keep)
	}
}

// appendProvenance writes what servers are told of where the request comes from.
func (r *Request) appendProvenance(dst, b []byte, f *Forward) []byte {
	switch {
	case !f.Trusted:
		dst = appendUnlessEmpty(dst, "X-Forwarded-Proto: ", f.Proto)
		dst = appendUnlessEmpty(dst, "X-Forwarded-For: ", f.Client)
		dst = r.appendHost(dst, b)
		dst = appendUnlessEmpty(dst, "X-Forwarded-Port: ", f.Port)
	case f.Field == TrustForwarded:
		dst = r.appendSaid(dst, b, f)
	default:
		dst = r.appendMerged(dst, b, "X-Forwarded-Proto: ", forwardedProto, f.Proto)
		if f.Field == TrustForwardedFor {
			dst = r.appendMerged(dst, b, "X-Forwarded-For: ", forwardedFor, f.Client)
		} else {
			dst = appendChain(dst, f)
		}
		if r.hasValue(forwardedHost) {
			dst = r.appendMerged(dst, b, "X-Forwarded-Host: ", forwardedHost, "")
		} else {
			dst = r.appendHost(dst, b)
		}
		dst = r.appendMerged(dst, b, "X-Forwarded-Port: ", forwardedPort, f.Port)
	}
	if f.Forwarded {
		dst = r.appendForwarded(dst, b, f)
	}
	if f.RealIP {
		dst = appendRealIP(dst, f)
	}
	return dst
}

func appendUnlessEmpty(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return append(append(append(dst, name...), value...), "\r\n"...)
}

// appendSaid writes the X-Forwarded fields by what a trusted proxy has said in Forwarded.
func (r *Request) appendSaid(dst, b []byte, f *Forward) []byte {
	proto, port := f.Proto, f.Port
	if f.Said.Proto != "" {
		proto, port = f.Said.Proto, "" // the port is of another connection
	}
	dst = appendUnlessEmpty(dst, "X-Forwarded-Proto: ", proto)
	dst = appendChain(dst, f)
	if f.Said.Host == "" {
		dst = r.appendHost(dst, b)
	} else {
		dst = appendUnlessEmpty(dst, "X-Forwarded-Host: ", f.Said.Host)
		port = portOf(f.Said.Host, proto)
	}
	return appendUnlessEmpty(dst, "X-Forwarded-Port: ", port)
}

// appendChain writes the X-Forwarded-For of a client that was told in another field, and of the proxy that told it.
func appendChain(dst []byte, f *Forward) []byte {
	if !f.Said.Client.IsValid() {
		return appendUnlessEmpty(dst, "X-Forwarded-For: ", f.Client)
	}
	dst = f.Said.Client.AppendTo(append(dst, "X-Forwarded-For: "...))
	return append(append(append(dst, ", "...), f.Client...), "\r\n"...)
}

func appendRealIP(dst []byte, f *Forward) []byte {
	if !f.Trusted || !f.Said.Client.IsValid() {
		return appendUnlessEmpty(dst, "X-Real-IP: ", f.Client)
	}
	return append(f.Said.Client.AppendTo(append(dst, "X-Real-IP: "...)), "\r\n"...)
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
