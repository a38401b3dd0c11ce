package relay

import "bytes"

// A Stranger is a client whose connection begins with another protocol than HTTP/1.1. The error is why that is no request.
type Stranger struct {
	Speaks Tongue
	error
}

// Unwrap returns why it is no request.
func (s *Stranger) Unwrap() error { return s.error }

// Tongue is a protocol that clients speak where they are not understood.
type Tongue int

// What is told apart.
const (
	SpeaksTLS         Tongue = iota + 1
	SpeaksHTTP2              // without TLS
	SpeaksProxyHeader        // of either version of the PROXY protocol
)

// tongues are how each begins.
var tongues = []struct {
	begins string
	speaks Tongue
}{{"\x16\x03", SpeaksTLS}, {"PRI * HTTP/2.0\r\n", SpeaksHTTP2}, {"PROXY ", SpeaksProxyHeader}, {"\r\n\r\n\x00\r\nQUIT\n", SpeaksProxyHeader}}

// Recognize makes err that of a Stranger where the beginning of a connection is one's.
func Recognize(beginning []byte, err error) error {
	for _, t := range tongues {
		if bytes.HasPrefix(beginning, []byte(t.begins)) {
			return &Stranger{t.speaks, err}
		}
	}
	return err
}
