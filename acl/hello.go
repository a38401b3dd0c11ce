package acl

import "strings"

// helloRules are the entries about the ClientHello: by name and by fingerprint,
// the index of the first entry that asks for it.
type helloRules struct {
	first, firstJA4 int // none if there are none
	// names has a name as it is, "*.rest" as ".rest", and the lack of one as "".
	names map[string]int
	ja4   map[string]int
}

func (r *helloRules) add(e Entry, index int) {
	r.first = min(r.first, index)
	if e.JA4 != "" {
		r.firstJA4 = min(r.firstJA4, index)
		keepFirst(&r.ja4, e.JA4, index)
		return
	}
	name := strings.TrimPrefix(e.SNI, "*")
	if name == noName {
		name = ""
	}
	keepFirst(&r.names, name, index)
}

// keepFirst sets m[key], unless an entry further up has.
func keepFirst[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = map[K]V{}
	}
	if _, ok := (*m)[key]; !ok {
		(*m)[key] = value
	}
}

// earlier finds the first of these entries that matches, if it stands before
// entry match; otherwise it is match.
func (r *helloRules) earlier(c *Client, match int) int {
	if i, ok := r.names[c.Name]; ok {
		match = min(match, i)
	}
	if dot := strings.IndexByte(c.Name, '.'); dot > 0 {
		if i, ok := r.names[c.Name[dot:]]; ok {
			match = min(match, i)
		}
	}
	if r.firstJA4 >= match || c.JA4 == nil {
		return match
	}
	if i, ok := r.ja4[c.JA4()]; ok {
		match = min(match, i)
	}
	return match
}
