package httpx

import "bytes"

// ResponsePolicy is what is changed in the fields of servers' final responses.
type ResponsePolicy struct {
	// Remove names fields that are left out, in any case.
	Remove []string
	// Append is whole field lines, each with its CRLF, that come last. Their names are to be in Remove as well, or there may be two.
	Append string
	// Via is our name in Via, empty: none is added.
	Via string
}

// IsFieldName tells whether a word can be the name of a field (RFC 9110 section 5.1).
func IsFieldName(word string) bool { return isToken([]byte(word)) }

// Apply makes AppendForward follow a policy, which may be nil; b is what Parse was last shown.
func (r *Response) Apply(b []byte, p *ResponsePolicy) {
	if p == nil {
		return
	}
	r.last, r.via = p.Append, p.Via
	for i := range r.fields {
		f := &r.fields[i]
		for _, name := range p.Remove {
			if int(f.nameEnd-f.start) == len(name) && f.kind == other && bytes.EqualFold(f.nameOf(b), []byte(name)) {
				f.fate = drop
			}
		}
	}
}
