package tls

import (
	"context"
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// Why a handshake failed: the words of HandshakeError.Reason. Besides there is
// "refused by client: ALERT" for each alert of the RFCs, as in "refused by
// client: unknown_ca", with ALERT "other" for what they do not name.
const (
	ReasonTimeout          = "timeout"
	ReasonClosed           = "closed by client"
	ReasonPlainHTTP        = "plain HTTP"
	ReasonNotTLS           = "not TLS"
	ReasonVersion          = "no shared version"
	ReasonCipher           = "no shared cipher or group"
	ReasonName             = "unknown name"
	ReasonALPN             = "no shared protocol"
	ReasonNoClientCert     = "client certificate missing"
	ReasonClientCertCA     = "client certificate unknown authority"
	ReasonClientCertTime   = "client certificate expired"
	ReasonClientCertDenied = "client certificate revoked or denied"
	ReasonDenied           = "refused by access list"
	ReasonBusy             = "too many handshakes"
	ReasonCertificate      = "certificate" // the client's is bad in another way, or the client cannot use ours
	ReasonOther            = "other"

	reasonAlert = "refused by client: "
)

// reasons are all but those of alerts, in the order of the statistics.
func reasons() []string {
	return []string{
		ReasonTimeout, ReasonClosed, ReasonPlainHTTP, ReasonNotTLS, ReasonVersion, ReasonCipher, ReasonName, ReasonALPN,
		ReasonNoClientCert, ReasonClientCertCA, ReasonClientCertTime, ReasonClientCertDenied, ReasonDenied, ReasonBusy,
		ReasonCertificate, ReasonOther,
	}
}

// HandshakeError says why there is no connection.
type HandshakeError struct {
	Err    error  // crypto/tls's own, or that of a check
	Reason string // one of the words above
	Hello  *Hello // nil if none came

	serverName string // as the client sent it
}

// Error names the host the client asked for, if it got that far.
func (e *HandshakeError) Error() string {
	if e.serverName != "" {
		return fmt.Sprintf("TLS handshake for %.255q: %v", e.serverName, e.Err)
	}
	return fmt.Sprintf("TLS handshake: %v", e.Err)
}

// Unwrap returns Err.
func (e *HandshakeError) Unwrap() error { return e.Err }

// Instead is what came in the place of the first TLS record, the first bytes of it; empty: that was one.
func (e *HandshakeError) Instead() string {
	if r, ok := errors.AsType[stdtls.RecordHeaderError](e.Err); ok {
		return string(r.RecordHeader[:])
	}
	return ""
}

// failed makes the error of a handshake, and counts it.
func (h *handshake) failed(err error) *HandshakeError {
	if h.tap != nil && strings.HasSuffix(err.Error(), "bad record MAC") {
		if code, ok := h.tap.plainAlert(); ok {
			err = &net.OpError{Op: "remote error", Err: stdtls.AlertError(code)}
		}
	}
	if h.reason == "" {
		h.reason = h.t.reason(err)
	}
	h.t.counts.failure(h.reason)
	e := &HandshakeError{Err: err, Reason: h.reason, serverName: h.serverName}
	if h.heard {
		e.Hello = &h.hello
	}
	return e
}

// reason finds the word for an error of crypto/tls or the network. Most of
// crypto/tls's have no type, only a text.
func (t *Terminator) reason(err error) string {
	if record, ok := errors.AsType[stdtls.RecordHeaderError](err); ok {
		if isHTTP(record) {
			return ReasonPlainHTTP
		}
		return ReasonNotTLS
	}
	if invalid, ok := errors.AsType[*stdtls.CertificateVerificationError](err); ok {
		return clientCertReason(invalid)
	}
	if remote, ok := errors.AsType[*net.OpError](err); ok && remote.Op == "remote error" {
		if reason, ok := t.alerts[remote.Err.Error()]; ok {
			return reason
		}
		return reasonAlert + "other"
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return ReasonTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
		return ReasonClosed
	}
	return textReason(err.Error())
}

// clientCertReason is why a client's certificate did not verify.
func clientCertReason(err *stdtls.CertificateVerificationError) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return ReasonClientCertCA
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return ReasonClientCertTime
	}
	return ReasonCertificate
}

// textReason goes by how crypto/tls words it in Go 1.26.
func textReason(text string) string {
	for _, known := range []struct{ begins, reason string }{
		{"tls: client offered only unsupported versions", ReasonVersion},
		{"tls: client using inappropriate protocol fallback", ReasonVersion},
		{"tls: no cipher suite supported by both", ReasonCipher},
		{"tls: no key exchanges supported by both", ReasonCipher},
		{"tls: client requested unsupported application protocols", ReasonALPN},
		{"tls: client didn't provide a certificate", ReasonNoClientCert},
		{"tls: peer doesn't support any of the certificate's", ReasonCertificate},
		{"tls: missing signature_algorithms from TLS 1.2 peer", ReasonCipher},
		{"tls: failed to parse client certificate", ReasonCertificate},
		{"tls: client sent certificate containing", ReasonCertificate},
		{"tls: invalid signature by the client certificate", ReasonCertificate},
	} {
		if strings.HasPrefix(text, known.begins) {
			return known.reason
		}
	}
	return ReasonOther
}

// IsPlainHTTP reports whether err, from Handshake, means that the client
// spoke HTTP without TLS: its first five bytes begin a request.
func IsPlainHTTP(err error) bool {
	record, ok := errors.AsType[stdtls.RecordHeaderError](err)
	return ok && isHTTP(record)
}

func isHTTP(record stdtls.RecordHeaderError) bool {
	head := string(record.RecordHeader[:])
	for _, method := range []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PRI "} {
		if strings.HasPrefix(head, method[:min(len(method), len(head))]) {
			return true
		}
	}
	return false
}

// alertReasons maps crypto/tls's text of each alert that a client may send to
// the reason. The names are those of RFC 8446 section 6, and of the RFCs
// before it for what it dropped.
func alertReasons() map[string]string {
	byText := make(map[string]string)
	for code, name := range map[stdtls.AlertError]string{
		10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed", 22: "record_overflow",
		30: "decompression_failure", 40: "handshake_failure", 42: "bad_certificate", 43: "unsupported_certificate",
		44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown", 47: "illegal_parameter",
		48: "unknown_ca", 49: "access_denied", 50: "decode_error", 51: "decrypt_error", 60: "export_restriction",
		70: "protocol_version", 71: "insufficient_security", 80: "internal_error", 86: "inappropriate_fallback",
		90: "user_canceled", 100: "no_renegotiation", 109: "missing_extension", 110: "unsupported_extension",
		111: "certificate_unobtainable", 112: "unrecognized_name", 113: "bad_certificate_status_response",
		114: "bad_certificate_hash_value", 115: "unknown_psk_identity", 116: "certificate_required",
		120: "no_application_protocol", 121: "ech_required",
	} {
		byText[code.Error()] = reasonAlert + name
	}
	return byText
}
