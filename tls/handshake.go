package tls

import (
	"context"
	stdtls "crypto/tls"
	"errors"
	"os"
	"time"

	"edgepen/certs"
)

var (
	// ErrDenied means that only an ACME validation might have passed. A check
	// that wraps it says that an access list denies the client.
	ErrDenied = errors.New("refused by access list")
	// ErrBusy is a check's answer where there are too many handshakes: the
	// client is sent the alert internal_error.
	ErrBusy = errors.New("too many handshakes")
	// ErrValidated means that the client was a certification authority that
	// has been answered its tls-alpn-01 challenge (RFC 8737). Nothing else may
	// be sent or read on such a connection: close it.
	ErrValidated = errors.New("an ACME validation has been answered")

	errNoProfile   = errors.New("no certificate is configured")
	errUnknownName = errors.New("no certificate for this name")
	errNoName      = errors.New("the client names no host")
	errRouted      = errors.New("the connection goes on elsewhere")
	errNotPending  = errors.New("no ACME validation is pending for this name")
)

// alpnValidation is what a tls-alpn-01 validation offers, and nothing else
// (RFC 8737 section 3).
const alpnValidation = "acme-tls/1"

// The alerts that are sent from here (RFC 8446 section 6.2, RFC 6066).
const (
	alertAccessDenied     = 49
	alertInternalError    = 80
	alertUnrecognizedName = 112
	alertNoProtocol       = 120
)

// Routed says that a connection is not ours to terminate. It is an error so
// that nobody takes it for a connection.
type Routed struct {
	ServerName string // as in Hello
	Read       []byte // what the client has sent so far; nothing has been answered
}

// Error implements error.
func (r *Routed) Error() string {
	return "the connection for " + r.ServerName + " goes on without TLS being terminated"
}

// handshake is one handshake's state. It is the handshake's context, which
// takes it to crypto/tls's callbacks without an allocation of its own.
type handshake struct {
	context.Context
	t          *Terminator
	checks     Checks
	deadline   time.Time
	tap        *tap // nil under QUIC
	quic       bool
	hello      Hello
	heard      bool   // hello is filled
	serverName string // as the client sent it
	loaded     bool   // profile is the handshake's
	profile    *Profile
	candidates []*certs.Certificate
	routed     *Routed
	validated  bool
	refused    bool   // an alert has been sent, and nothing may follow
	reason     string // why it fails, where crypto/tls's error does not say
}

type handshakeKey struct{}

// Value implements context.Context.
func (h *handshake) Value(key any) any {
	if key == (handshakeKey{}) {
		return h
	}
	return h.Context.Value(key)
}

// handshakeOf returns the handshake of a callback.
func handshakeOf(chi *stdtls.ClientHelloInfo) *handshake {
	h, _ := chi.Context().Value(handshakeKey{}).(*handshake)
	return h
}

// current is the handshake's Profile, the same to the end; nil: none.
func (h *handshake) current() *Profile {
	if !h.loaded {
		if h.profile, h.loaded = h.checks.Profile, true; h.profile == nil {
			h.profile = h.t.current()
		}
	}
	return h.profile
}

// echKeys is GetEncryptedClientHelloKeys: chi is the outer ClientHello. No key
// is tried for a client that may only validate, which needs no encryption.
func (h *handshake) echKeys(chi *stdtls.ClientHelloInfo) []stdtls.EncryptedClientHelloKey {
	h.hello.wire = chi
	if p := h.current(); p != nil && !h.checks.NeedsValidation {
		return p.ech
	}
	return nil
}

// config is GetConfigForClient: everything that is decided about a client
// before any key is used.
func (h *handshake) config(chi *stdtls.ClientHelloInfo) (*stdtls.Config, error) {
	h.hello.hear(chi)
	h.heard, h.serverName = true, chi.ServerName
	p := h.current()
	if answer := p.validation(&h.hello); answer != nil && !h.quic {
		h.validated = true
		h.tap.forget()
		return answer, nil
	}
	if err := h.admit(chi); err != nil {
		return nil, err
	}
	h.tap.forget()
	if h.hello.validates() { // and gets no certificate of ours, nor has one obtained
		return nil, h.refuse(chi, alertNoProtocol, ReasonALPN, errNotPending)
	}
	if p == nil {
		return nil, errNoProfile
	}
	if h.candidates = p.find(h, h.hello.ServerName, h.deadline); len(h.candidates) == 0 {
		return nil, h.nameless(chi)
	}
	v := p.variantFor(h.candidates)
	v.seal(h.t.ring(p))
	config := h.withClientCert(v.config)
	if h.quic {
		config = forQUIC(config)
	}
	return config, nil
}

// admit asks the checks; an error means that there is nothing to serve here.
func (h *handshake) admit(chi *stdtls.ClientHelloInfo) error {
	if h.checks.NeedsValidation {
		return h.refuse(chi, alertAccessDenied, ReasonDenied, ErrDenied)
	}
	if h.checks.Hello != nil {
		if err := h.checks.Hello(&h.hello); err == ErrBusy {
			return h.refuse(chi, alertInternalError, ReasonBusy, err)
		} else if err != nil {
			return h.refuse(chi, alertAccessDenied, ReasonDenied, err)
		}
	}
	if h.checks.Route != nil && !h.hello.Encrypted && h.checks.Route(&h.hello) {
		if h.quic {
			return h.refuse(chi, alertUnrecognizedName, ReasonName, errNotPassedOn)
		}
		h.routed = &Routed{ServerName: h.hello.ServerName, Read: h.tap.read}
		h.tap.silent = true
		return errRouted
	}
	return nil
}

// nameless refuses a client for which there is no certificate.
func (h *handshake) nameless(chi *stdtls.ClientHelloInfo) error {
	switch {
	case !h.deadline.IsZero() && !time.Now().Before(h.deadline): // obtaining one took too long
		return os.ErrDeadlineExceeded
	case h.serverName == "":
		return h.refuse(chi, alertUnrecognizedName, ReasonName, errNoName)
	}
	return h.refuse(chi, alertUnrecognizedName, ReasonName, errUnknownName)
}

// release lets go of what a connection must not hold for its life: crypto/tls
// keeps its configuration, which may ask h.
func (h *handshake) release() {
	if h.tap != nil {
		h.tap.done = true
	}
	h.checks, h.hello, h.tap, h.profile, h.loaded, h.candidates = Checks{}, Hello{}, nil, nil, false, nil
}

// validates reports whether the client can only be there to validate a name by
// tls-alpn-01.
func (h *Hello) validates() bool { return len(h.ALPN) == 1 && h.ALPN[0] == alpnValidation }

// validation is the configuration that answers a pending tls-alpn-01
// challenge, nil if hello is no validation of one.
func (p *Profile) validation(hello *Hello) *stdtls.Config {
	if p == nil || p.material.Validation == nil || !hello.validates() || hello.ServerName == "" {
		return nil
	}
	cert := p.material.Validation(hello.ServerName)
	if cert == nil {
		return nil
	}
	return &stdtls.Config{
		Certificates:           []stdtls.Certificate{*cert},
		NextProtos:             []string{alpnValidation},
		MinVersion:             stdtls.VersionTLS12, // RFC 8737 section 3
		SessionTicketsDisabled: true,
	}
}

// withClientCert is shared, or where clients are to be asked about their
// certificates, a copy of it that asks for this handshake.
func (h *handshake) withClientCert(shared *stdtls.Config) *stdtls.Config {
	if h.checks.ClientCert == nil || shared.ClientAuth == stdtls.NoClientCert {
		return shared
	}
	config := shared.Clone()
	config.VerifyConnection = func(state stdtls.ConnectionState) error {
		ctx, cancel := until(h, h.deadline)
		defer cancel()
		err := h.checks.ClientCert(ctx, state.VerifiedChains)
		switch {
		case err == nil:
		case errors.Is(err, ErrDenied):
			h.reason = ReasonDenied
		case len(state.VerifiedChains) == 0:
			h.reason = ReasonNoClientCert
		default:
			h.reason = ReasonClientCertDenied
		}
		return err
	}
	return config
}

// refuse sends an alert of ours instead of the internal_error that crypto/tls
// has for every error of a callback, and returns err.
func (h *handshake) refuse(chi *stdtls.ClientHelloInfo, alert byte, reason string, err error) error {
	h.refused, h.reason = true, reason
	if h.quic {
		return withAlert(err, alert)
	}
	// A record of the type alert, of the version that crypto/tls gives to one
	// before the version is known, with the level fatal.
	chi.Conn.Write([]byte{21, 3, 1, 0, 2, 2, alert}) //nolint:errcheck // the handshake has failed
	// A deadline that has passed stops crypto/tls's own.
	chi.Conn.SetWriteDeadline(time.Unix(1, 0)) //nolint:errcheck // a second alert does no harm
	return err
}
