package httpx

import "bytes"

// IsPseudonym tells whether a word can stand for us in Via: a pseudonym, or a host with an optional port (RFC 9110 section 7.6.3).
func IsPseudonym(word string) bool { return isToken([]byte(word)) || validAuthority([]byte(word)) }

// Passed tells whether a request has passed somebody of a name before, by its Via; b is what Parse was last shown.
func (r *Request) Passed(b []byte, name string) bool {
	for i := range r.fields {
		if r.fields[i].kind == via && viaNames(r.fields[i].valueOf(b), name) {
			return true
		}
	}
	return false
}

// viaNames looks for a name in a list of Via. Comments, which may hold commas, are passed over.
func viaNames(list []byte, name string) bool {
	for len(list) > 0 {
		list = bytes.TrimLeft(list, " \t,")
		rest := bytes.TrimLeft(list[until(list, " \t,"):], " \t") // behind the protocol
		by := rest[:until(rest, " \t,(")]
		if len(by) > 0 && bytes.EqualFold(by, []byte(name)) {
			return true
		}
		list = behindComma(rest[len(by):])
	}
	return false
}

// until is how much of p stands before any of some characters.
func until(p []byte, chars string) int {
	if n := bytes.IndexAny(p, chars); n >= 0 {
		return n
	}
	return len(p)
}

// behindComma is what follows the next comma that is in no comment.
func behindComma(p []byte) []byte {
	depth := 0
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '\\':
			if depth > 0 {
				i++
			}
		case '(':
			depth++
		case ')':
			depth = max(depth-1, 0)
		case ',':
			if depth == 0 {
				return p[i+1:]
			}
		}
	}
	return nil
}

// appendVia writes our own line of Via: the version of the message as we received it, and who we are.
func appendVia(dst []byte, version, name string) []byte {
	return append(append(append(append(append(dst, "Via: "...), version...), ' '), name...), "\r\n"...)
}
