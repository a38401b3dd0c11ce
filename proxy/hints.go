package proxy

import (
	"errors"

	"edgepen/proxy/relay"
	"edgepen/tls"
)

// hint says what to do about a client that speaks another protocol than its listener; empty: nothing is known.
func hint(err error) string {
	if s, ok := errors.AsType[*relay.Stranger](err); ok {
		return hints[s.Speaks]
	}
	if h, ok := errors.AsType[*tls.HandshakeError](err); ok && h.Instead() == "\r\n\r\n\x00" { // version 2 of the PROXY protocol
		return hints[relay.SpeaksProxyHeader]
	}
	return ""
}

var hints = map[relay.Tongue]string{
	relay.SpeaksTLS:         "the client speaks TLS, this listener does not: --cert FILE (-E), --acme NAME or --self-signed",
	relay.SpeaksHTTP2:       "the client speaks HTTP/2 without TLS, which no listener takes; gRPC too needs TLS here: --cert FILE (-E), --acme NAME or --self-signed",
	relay.SpeaksProxyHeader: "the client sends a PROXY header, which nobody expects of it: --proxy-protocol ADDRESS",
}
