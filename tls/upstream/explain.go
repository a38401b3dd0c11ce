package upstream

import (
	"bytes"
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
	"time"
)

// Alerts of RFC 8446 section 6 with which servers answer to who we are or what
// we speak.
const (
	alertHandshakeFailure    stdtls.AlertError = 40
	alertBadCertificate      stdtls.AlertError = 42
	alertUnsupportedCert     stdtls.AlertError = 43
	alertCertRevoked         stdtls.AlertError = 44
	alertCertExpired         stdtls.AlertError = 45
	alertCertUnknown         stdtls.AlertError = 46
	alertUnknownCA           stdtls.AlertError = 48
	alertAccessDenied        stdtls.AlertError = 49
	alertProtocolVersion     stdtls.AlertError = 70
	alertInsufficient        stdtls.AlertError = 71
	alertUnrecognizedName    stdtls.AlertError = 112
	alertCertificateRequired stdtls.AlertError = 116
	alertNoApplicationProto  stdtls.AlertError = 120
)

// explain turns crypto/tls's error into what the operator needs. name is what
// the server was verified by, and version what had been agreed on, 0 if nothing.
func (c *Client) explain(err error, name string, version uint16) error {
	if refused, ok := errors.AsType[*stdtls.CertificateVerificationError](err); ok {
		return errors.New(c.explainCertificate(refused, name))
	}
	if record, ok := errors.AsType[stdtls.RecordHeaderError](err); ok && !isRecord(record.RecordHeader) {
		return fmt.Errorf("it speaks no TLS: its answer begins with %q", record.RecordHeader[:])
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return fmt.Errorf("%w%s", err, c.hint(op.Err))
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it took too long; does it speak TLS there? %w", err)
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("it closed the connection within the handshake; does it speak TLS there? %w", err)
	case version == 0:
		return fmt.Errorf("%w (%s)", err, c.offered())
	}
	return err
}

// isRecord reports whether h begins a TLS record (RFC 8446 section 5.1).
func isRecord(h [5]byte) bool { return h[0] >= 20 && h[0] <= 24 && h[1] == 3 }

// offered says what we speak.
func (c *Client) offered() string {
	if c.config.MinVersion == stdtls.VersionTLS13 {
		return "offered: TLS 1.3 only"
	}
	return "offered: TLS 1.2 and 1.3, with ECDHE and AEAD"
}

// hint adds to an alert of the server what may be the matter.
func (c *Client) hint(alert error) string {
	// The alert's type is crypto/tls's own; AlertError prints the same text.
	is := func(all ...stdtls.AlertError) bool {
		for _, a := range all {
			if alert.Error() == a.Error() {
				return true
			}
		}
		return false
	}
	switch {
	case is(alertProtocolVersion, alertInsufficient):
		return " (" + c.offered() + ")"
	case is(alertHandshakeFailure):
		return " (" + c.offered() + "; " + c.shown() + ")"
	case is(alertCertificateRequired, alertBadCertificate, alertUnsupportedCert, alertCertRevoked, alertCertExpired, alertCertUnknown, alertUnknownCA, alertAccessDenied):
		return " (" + c.shown() + ")"
	case is(alertUnrecognizedName):
		return " (it does not know the name it was asked for; give a server name)"
	case is(alertNoApplicationProto):
		return " (offered ALPN: " + strings.Join(c.config.NextProtos, ", ") + ")"
	}
	return ""
}

// shown says what a server that asks for a certificate gets.
func (c *Client) shown() string {
	if c.config.GetClientCertificate == nil {
		return "no client certificate is configured, if it asks for one"
	}
	return "is our client certificate one that it accepts?"
}

// explainCertificate says why a server's certificate was refused.
func (c *Client) explainCertificate(refused *stdtls.CertificateVerificationError, name string) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](refused.Err); ok {
		return c.explainIssuer(refused.UnverifiedCertificates)
	}
	if _, ok := errors.AsType[x509.HostnameError](refused.Err); ok {
		return fmt.Sprintf("its certificate is for %s; expected %s", names(refused.UnverifiedCertificates[0]), name)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](refused.Err); ok {
		switch {
		case invalid.Reason == x509.Expired && invalid.Cert != nil:
			return explainDates(invalid.Cert, invalid.Cert == refused.UnverifiedCertificates[0])
		case invalid.Reason == x509.IncompatibleUsage:
			return "its certificate is not meant for servers (its extended key usage lacks serverAuth)"
		}
	}
	return clean("its certificate is not good: " + refused.Err.Error())
}

// explainIssuer says who signed a chain that leads to no CA we trust.
func (c *Client) explainIssuer(chain []*x509.Certificate) string {
	leaf := chain[0]
	trusted := "a CA of this system"
	if c.ownRoots {
		trusted = "a CA of --backend-ca"
	}
	if bytes.Equal(leaf.RawSubject, leaf.RawIssuer) {
		return fmt.Sprintf("its certificate (%s) is self-signed, and not by %s; give --backend-ca FILE with that certificate", title(leaf.Subject.String()), trusted)
	}
	top := chain[len(chain)-1] // servers send the leaf first and the highest CA last
	why := fmt.Sprintf("its certificate is signed by an unknown authority (%s), and not by %s; give --backend-ca FILE with the CA that issued it", title(top.Issuer.String()), trusted)
	if len(chain) == 1 {
		why += ", or have the server send its intermediate certificates"
	}
	return why
}

// explainDates speaks of the certificate that is out of date, the server's own
// or one above it.
func explainDates(cert *x509.Certificate, own bool) string {
	which := "its certificate"
	if !own {
		which = fmt.Sprintf("a certificate in its chain (%s)", title(cert.Subject.String()))
	}
	if time.Now().Before(cert.NotBefore) {
		return fmt.Sprintf("%s is not valid before %s", which, stamp(cert.NotBefore))
	}
	return fmt.Sprintf("%s expired on %s", which, stamp(cert.NotAfter))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// names lists what a certificate is good for, as far as a log line goes.
func names(cert *x509.Certificate) string {
	all := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no name (no subject alternative name)"
	}
	const most = 5
	if extra := len(all) - most; extra > 0 {
		all = append(all[:most], fmt.Sprintf("%d more", extra))
	}
	return clean(strings.Join(all, ", "))
}

// title is a subject or issuer, which may be empty.
func title(name string) string {
	if name == "" {
		return "without a name"
	}
	return clean(name)
}

// clean keeps what a certificate says from steering a terminal or faking a log
// line, and from filling it.
func clean(s string) string {
	const most = 400
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
