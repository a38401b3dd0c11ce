package relay

import (
	"crypto/rand"
	"encoding/hex"
)

// identify gives the request in hand its id: a fresh one of 128 random bits, or what a trusted proxy has given it. Clients are told it as well.
func (x *exchange) identify() {
	f := &x.Forward
	if f.IDName == "" {
		return
	}
	x.tag = append(append(x.tag[:0], f.IDName...), ": "...)
	at := len(x.tag)
	given := []byte(nil)
	if f.Trusted {
		given = x.req.ID(x.in.b, f.IDName)
	}
	if given != nil {
		x.tag = append(x.tag, given...)
	} else {
		rand.Read(x.random[:]) //nolint:errcheck // it never fails
		x.tag = hex.AppendEncode(x.tag, x.random[:])
	}
	x.tag = append(x.tag, "\r\n"...)
	f.ID = x.tag[at : len(x.tag)-2]
}
