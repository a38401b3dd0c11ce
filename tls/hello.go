package tls

import (
	stdtls "crypto/tls"
	"strings"
)

// Hello is what a client says about itself before anything is answered. Its
// slices are crypto/tls's and must not be changed.
type Hello struct {
	ServerName string   // the host name the client asks for (SNI), in lower case; "" if none, or no plain host name
	ALPN       []string // the protocols it offers (RFC 7301), in its order
	Versions   []uint16 // the protocol versions it offers, in its order, GREASE (RFC 8701) included
	Encrypted  bool     // ServerName and ALPN came encrypted (ECH), and we could read them

	quic bool                    // it came over QUIC
	wire *stdtls.ClientHelloInfo // as anybody can read it; nil: not kept
	ja4  string
}

// JA4 is the client's fingerprint, FoxIO's JA4, such as
// t13d1516h2_8daaf6152771_e5627efa2ab1, with a q in front over QUIC. It is of what can be seen on the
// wire, so of the outer ClientHello under ECH, and of the first one if the
// server asked for another. It is computed when it is first asked for.
func (h *Hello) JA4() string {
	if h.ja4 == "" && h.wire != nil {
		h.ja4 = ja4(h.wire, h.quic)
	}
	return h.ja4
}

// Offered names the versions that the client offers, for logs: "TLS 1.3, TLS
// 1.2". GREASE is left out, and what comes after the eighth.
func (h *Hello) Offered() string {
	var names []string
	for _, v := range h.Versions {
		if !grease(v) && len(names) < 8 {
			names = append(names, stdtls.VersionName(v))
		}
	}
	return strings.Join(names, ", ")
}

// hear fills h from the ClientHello that counts, which is the inner one where
// ECH was accepted; h.wire may hold the outer one.
func (h *Hello) hear(chi *stdtls.ClientHelloInfo) {
	h.ServerName, h.ALPN, h.Versions = hostName(chi.ServerName), chi.SupportedProtos, chi.SupportedVersions
	if h.wire == nil {
		h.wire = chi
	} else {
		h.Encrypted = !sameHello(h.wire, chi)
	}
}

// sameHello reports whether a and b are made from one message: crypto/tls lets
// them share its slices, and of an inner ClientHello it makes new ones.
func sameHello(a, b *stdtls.ClientHelloInfo) bool {
	return len(a.Extensions) > 0 && len(b.Extensions) > 0 && &a.Extensions[0] == &b.Extensions[0]
}

// hostName returns name in lower case if it is made of dot-separated labels
// of letters, digits, '-' and '_', and "" otherwise: what a stranger sends as
// SNI may go into logs and comparisons, so it must be nothing but that.
func hostName(name string) string {
	if len(name) > 253 {
		return ""
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return ""
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return ""
			}
		}
	}
	return strings.ToLower(name)
}
