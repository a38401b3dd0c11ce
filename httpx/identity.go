package httpx

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"
)

// IdentityFields is the field lines for [Forward].Identity. chain is what the client has shown and we have verified, its own certificate
// first, without the anchor; empty: it has shown none. standard asks for Client-Cert and, where there are intermediates,
// Client-Cert-Chain (RFC 9440), which are sent only with a certificate; classic for X-SSL-Client-Verify (SUCCESS or NONE) and, with a
// certificate, X-SSL-Client-S-DN, -I-DN, -CN, -Serial, -SHA256, -NotBefore and -NotAfter. Names are RFC 2253's, with what is not visible
// ASCII percent-encoded, so that no certificate can add a line.
func IdentityFields(chain []*x509.Certificate, standard, classic bool) string {
	var b strings.Builder
	if standard && len(chain) > 0 {
		line(&b, "Client-Cert", byteSequence(chain[0]))
		if len(chain) > 1 {
			all := make([]string, 0, len(chain)-1)
			for _, c := range chain[1:] {
				all = append(all, byteSequence(c))
			}
			line(&b, "Client-Cert-Chain", strings.Join(all, ", "))
		}
	}
	if !classic {
		return b.String()
	}
	if len(chain) == 0 {
		line(&b, "X-SSL-Client-Verify", "NONE")
		return b.String()
	}
	leaf := chain[0]
	sum := sha256.Sum256(leaf.Raw)
	line(&b, "X-SSL-Client-Verify", "SUCCESS")
	line(&b, "X-SSL-Client-S-DN", visible(leaf.Subject.String()))
	line(&b, "X-SSL-Client-I-DN", visible(leaf.Issuer.String()))
	line(&b, "X-SSL-Client-CN", visible(leaf.Subject.CommonName))
	line(&b, "X-SSL-Client-Serial", strings.ToUpper(hex.EncodeToString(leaf.SerialNumber.Bytes())))
	line(&b, "X-SSL-Client-SHA256", hex.EncodeToString(sum[:]))
	line(&b, "X-SSL-Client-NotBefore", leaf.NotBefore.UTC().Format(time.RFC3339))
	line(&b, "X-SSL-Client-NotAfter", leaf.NotAfter.UTC().Format(time.RFC3339))
	return b.String()
}

func line(b *strings.Builder, name, value string) {
	b.WriteString(name)
	b.WriteString(": ")
	b.WriteString(value)
	b.WriteString("\r\n")
}

// byteSequence is a certificate as a byte sequence of RFC 8941 section 3.3.5.
func byteSequence(c *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":"
}

// visible percent-encodes what is no visible ASCII or blank, and the percent sign itself.
func visible(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '%' {
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
