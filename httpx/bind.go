package httpx

import "bytes"

// Binds tells whether a request signs its connection in: with NTLM or Negotiate (RFC 4559 section 6) the server takes everything that
// follows on the connection for the same user's. b is what Parse was last shown.
func (r *Request) Binds(b []byte) bool { return r.binds(b, "authorization") }

// Binds tells whether a response asks for, or goes on with, a sign-in of the connection; see [Request.Binds].
func (r *Response) Binds(b []byte) bool { return r.binds(b, "www-authenticate") }

func (h *head) binds(b []byte, name string) bool {
	for i := range h.fields {
		f := &h.fields[i]
		if int(f.nameEnd-f.start) == len(name) && bytes.EqualFold(f.nameOf(b), []byte(name)) && namesBinding(f.valueOf(b)) {
			return true
		}
	}
	return false
}

// namesBinding looks for the schemes at the beginning of each part of a list: challenges are separated by commas, as their parameters are.
func namesBinding(value []byte) bool {
	for len(value) > 0 {
		part, rest, _ := bytes.Cut(value, []byte(","))
		part = bytes.TrimLeft(part, " \t")
		n := tokenLength(part)
		if bytes.EqualFold(part[:n], []byte("ntlm")) || bytes.EqualFold(part[:n], []byte("negotiate")) {
			return true
		}
		value = rest
	}
	return false
}
