// Package tls terminates TLS on an accepted connection under one immutable
// Profile. It and package certs are the only ones that know crypto/tls.
//
// The policy is TLS 1.3, and TLS 1.2 with ephemeral ECDH and AEAD suites only
// (RFC 9325 sections 3.1.1 and 4.2); older things need Options.Compat.
package tls

import (
	stdtls "crypto/tls"
	"errors"
	"fmt"
	"strings"

	"edgepen/certs"
)

// Options is how TLS is spoken. It is plain data and comparable; the zero
// value is the default policy.
type Options struct {
	// RequireClientCert turns away clients without a certificate that one of
	// the CAs vouches for (pen's -R).
	RequireClientCert bool
	// MinVersion is the lowest protocol version (-L): tls1.2 or tls1.3. pen's
	// words ssl23 (or "") and, with a warning, ssl2, ssl3 and tls1 mean the
	// default.
	MinVersion string
	// Compat allows TLS 1.0 and 1.1 and CBC suites as well (-Z). Suites
	// without forward secrecy stay off.
	Compat bool
	// ALPN lists the protocols to agree on (RFC 7301), separated by commas.
	// "" ignores what clients offer; otherwise a client that offers none of
	// them is refused.
	ALPN string
}

// Profile is how handshakes are done from one configuration on. It is
// immutable; any number of handshakes share it.
type Profile struct {
	config   *stdtls.Config
	warnings []string
}

// Warnings are remarks for the operator about the certificates and the
// options, one a line.
func (p *Profile) Warnings() []string { return append([]string(nil), p.warnings...) }

// modernSuites are the TLS 1.2 suites of RFC 9325 section 4.2 that crypto/tls
// has. Those of TLS 1.3 are not settable.
var modernSuites = []uint16{
	stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	stdtls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	stdtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	stdtls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	stdtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	stdtls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// cbcSuites are what TLS 1.0 and 1.1 can use, with ephemeral ECDH.
var cbcSuites = []uint16{
	stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	stdtls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	stdtls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	stdtls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
}

// NewProfile checks o against set and prepares everything that a handshake
// needs, so that none has to.
//
// CAs without RequireClientCert ask clients for nothing, as in pen 0.34.1:
// there they only complete the server's own chain.
func NewProfile(set *certs.Set, o Options) (*Profile, error) {
	if set == nil {
		return nil, errors.New("no certificate to speak TLS with")
	}
	floor, warnings, err := minVersion(o)
	if err != nil {
		return nil, err
	}
	protocols, err := alpn(o.ALPN)
	if err != nil {
		return nil, err
	}
	config := &stdtls.Config{
		Certificates: []stdtls.Certificate{set.Certificate},
		MinVersion:   floor,
		CipherSuites: modernSuites,
		CurvePreferences: []stdtls.CurveID{
			stdtls.X25519MLKEM768, stdtls.X25519, stdtls.CurveP256, stdtls.CurveP384,
		},
		NextProtos: protocols,
		// Small first records let a browser begin to read a little sooner,
		// but each costs a system call and an AEAD operation of its own.
		DynamicRecordSizingDisabled: true,
	}
	if o.Compat {
		config.CipherSuites = append(append([]uint16(nil), modernSuites...), cbcSuites...)
	}
	if o.RequireClientCert {
		if set.CAs == nil {
			return nil, errors.New("-R needs the CAs to trust: give -G file or -A dir, or -G system for the system's roots")
		}
		config.ClientAuth, config.ClientCAs = stdtls.RequireAndVerifyClientCert, set.CAs
	}
	return &Profile{config, append(append([]string(nil), set.Warnings...), warnings...)}, nil
}

// minVersion turns -L and -Z into the lowest version spoken.
func minVersion(o Options) (floor uint16, warnings []string, err error) {
	floor, spoken := stdtls.VersionTLS12, "TLS 1.2 and 1.3"
	if o.Compat {
		floor, spoken = stdtls.VersionTLS10, "TLS 1.0 to 1.3"
	}
	switch o.MinVersion {
	case "", "ssl23":
	case "ssl2", "ssl3", "tls1":
		warnings = append(warnings, fmt.Sprintf("protocol version %s is accepted for old command lines only; speaking %s", o.MinVersion, spoken))
	case "tls1.2":
		floor = stdtls.VersionTLS12
	case "tls1.3":
		floor = stdtls.VersionTLS13
	default:
		return 0, nil, fmt.Errorf("protocol version %s not known; expected ssl23, ssl2, ssl3, tls1, tls1.2 or tls1.3", o.MinVersion)
	}
	if o.Compat && floor < stdtls.VersionTLS12 {
		warnings = append(warnings, "compatibility mode (-Z) allows TLS 1.0 and 1.1 (deprecated by RFC 8996) and CBC suites")
	}
	return floor, warnings, nil
}

// alpn takes the list apart; RFC 7301 section 3.1 gives names 1 to 255 bytes.
func alpn(list string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	protocols := strings.Split(list, ",")
	for i, name := range protocols {
		name = strings.TrimSpace(name)
		if name == "" || len(name) > 255 {
			return nil, fmt.Errorf("ALPN list %q: expected names of 1 to 255 bytes, separated by commas", list)
		}
		protocols[i] = name
	}
	return protocols, nil
}
