package httpx

import "bytes"

// maxID bounds the ids of requests that others have made.
const maxID = 128

// IsFreeName tells whether a word can be the name of a field that has no meaning here.
func IsFreeName(word string) bool { return IsFieldName(word) && classify([]byte(word)) == other }

// ID is the id that a request has in a field of the given name, in any case; b is what Parse was last shown. It is nil where there is none, more
// than one, or one that is too long or has other characters than letters, digits and -._~+/=:@, with which it could be something else
// wherever it is written.
func (r *Request) ID(b []byte, name string) (id []byte) {
	for i := range r.fields {
		f := &r.fields[i]
		if int(f.nameEnd-f.start) != len(name) || !bytes.EqualFold(f.nameOf(b), []byte(name)) {
			continue
		}
		if id != nil {
			return nil
		}
		if id = f.valueOf(b); !validID(id) {
			return nil
		}
	}
	return id
}

func validID(id []byte) bool {
	if len(id) == 0 || len(id) > maxID {
		return false
	}
	for _, c := range id {
		switch {
		case folded[c] != '-':
		case c == '-', c == '.', c == '_', c == '~', c == '+', c == '/', c == '=', c == ':', c == '@':
		default:
			return false
		}
	}
	return true
}

// dropNamedLike leaves out the fields of a name, in any case and punctuation.
func (r *Request) dropNamedLike(b []byte, name string) {
	for i := range r.fields {
		if f := &r.fields[i]; int(f.nameEnd-f.start) == len(name) && f.kind == other && like(f.nameOf(b), name) {
			f.fate = drop
		}
	}
}

// like compares two names of the same length, in any case and punctuation.
func like(p []byte, name string) bool {
	for i, c := range p {
		if folded[c] != folded[name[i]] {
			return false
		}
	}
	return true
}
