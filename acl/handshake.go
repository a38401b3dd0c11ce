package acl

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// noName is the SNI of an entry for clients that name no host.
const noName = "none"

// CertField is what a client_cert entry looks at, in the word that the
// configuration has for it. A certificate here is the leaf that the client has
// shown and that has been verified.
type CertField string

// The fields of a certificate that entries can ask about.
const (
	// CertSubject is the subject's distinguished name as in RFC 2253, last part
	// first: "CN=Alice,OU=Sales,O=Example,C=SE". It is what
	// `openssl x509 -noout -subject -nameopt RFC2253` prints, although a pattern
	// may also have letters beyond ASCII as they are. A * stands for any text,
	// of other parts as well; \* is the character itself.
	CertSubject CertField = "subject"
	// CertIssuer is the issuer's distinguished name, like CertSubject.
	CertIssuer CertField = "issuer"
	// CertCN is any common name in the subject. Here and in CertSAN a backslash
	// is itself and * stands for any text.
	CertCN CertField = "cn"
	// CertSAN is any alternative name of the subject (RFC 5280, section 4.2.1.6):
	// DNS name, whatever the case of its letters, mail address, URI or IP address.
	CertSAN CertField = "san"
	// CertSPKI is the SHA-256 of the public key (SubjectPublicKeyInfo, as in RFC
	// 7469, section 2.4).
	CertSPKI CertField = "spki"
	// CertNone is a client that has shown no certificate.
	CertNone CertField = "none"
	// CertAny is a client that has shown one, whatever it says.
	CertAny CertField = "any"
)

// parseSNI reads a host's name, with or without "*.", or none.
func parseSNI(word string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(word, "."))
	if !isHost(strings.TrimPrefix(name, "*.")) {
		return "", fmt.Errorf("sni %q is not the name of a host: expected letters, digits, - and _ between dots (an international name in its xn-- form), *.NAME or none", word)
	}
	return name, nil
}

// isHost reports whether name is made of labels of a lower-case host name, and
// so could be in a ClientHello (RFC 6066, section 3; RFC 1035, section 2.3.4).
func isHost(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

const ja4Form = "a JA4 fingerprint, as in t13d1516h2_8daaf6152771_e5627efa2ab1"

// parseJA4 reads a fingerprint of FoxIO's form a_b_c: a says protocol, version,
// SNI, how many ciphers and extensions, and ALPN; b and c are the beginnings of
// SHA-256 sums.
func parseJA4(word string) (string, error) {
	parts := strings.Split(word, "_")
	if len(parts) != 3 || !isJA4Head(parts[0]) || !isJA4Hash(parts[1]) || !isJA4Hash(parts[2]) {
		return "", fmt.Errorf("%q is not %s", word, ja4Form)
	}
	return parts[0] + "_" + strings.ToLower(parts[1]) + "_" + strings.ToLower(parts[2]), nil
}

func isJA4Head(head string) bool {
	const digits, lower = "0123456789", "abcdefghijklmnopqrstuvwxyz"
	allowed := []string{"tqd", digits + "sd", digits, "di", digits, digits, digits, digits}
	const alpn = digits + lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	allowed = append(allowed, alpn, alpn)
	if len(head) != len(allowed) {
		return false
	}
	for i := range allowed {
		if strings.IndexByte(allowed[i], head[i]) < 0 {
			return false
		}
	}
	return true
}

func isJA4Hash(hash string) bool {
	_, err := hex.DecodeString(hash)
	return err == nil && len(hash) == 12
}

// parseCert reads the words after client_cert; it returns those it has no use for.
func (e *Entry) parseCert(words []string) (left []string, err error) {
	fields := []CertField{CertSubject, CertCN, CertSAN, CertIssuer, CertSPKI, CertNone, CertAny}
	if len(words) == 0 || !slices.Contains(fields, CertField(words[0])) {
		given := "nothing"
		if len(words) > 0 {
			given = fmt.Sprintf("%q", words[0])
		}
		return nil, fmt.Errorf("client_cert with %s: expected subject, cn, san or issuer with a PATTERN, spki with a SHA-256, none or any", given)
	}
	field, rest := CertField(words[0]), words[1:]
	if field == CertNone || field == CertAny {
		e.Cert = field
		return rest, nil
	}
	if len(rest) == 0 {
		return nil, fmt.Errorf("client_cert %s without a pattern", field)
	}
	pattern := rest[0]
	if field == CertSPKI {
		sum, err := parseSum(pattern)
		if err != nil {
			return nil, err
		}
		pattern = hex.EncodeToString(sum[:])
	} else if err := checkPattern(field, pattern); err != nil {
		return nil, fmt.Errorf("client_cert %s %q: %v", field, pattern, err)
	}
	e.Cert, e.Pattern = field, pattern
	return rest[1:], nil
}

// checkPattern refuses what no configuration file could hold and what could
// never match.
func checkPattern(field CertField, pattern string) error {
	if pattern == "" {
		return errors.New("the pattern is empty: expected a text, in which * stands for any")
	}
	for _, b := range []byte(pattern) {
		if b < ' ' || b == 0x7f {
			return fmt.Errorf("the pattern has a control character (%#02x)", b)
		}
	}
	if strings.Contains(pattern, `"`) {
		return errors.New(`the pattern has a double quote, which no command can hold: put * there, or \22 in a subject or issuer`)
	}
	rules := newCertRules()
	return rules.add(Entry{Cert: field, Pattern: pattern}, 0)
}

// parseSum reads a SHA-256 sum in hexadecimal digits, with or without colons, or
// in base64.
func parseSum(word string) (sum [sha256.Size]byte, err error) {
	raw, err := hex.DecodeString(strings.ReplaceAll(word, ":", ""))
	if err != nil || len(raw) != len(sum) {
		raw, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(word, "="))
	}
	if err != nil || len(raw) != len(sum) {
		return sum, fmt.Errorf("client_cert spki %q is not a SHA-256: expected 64 hexadecimal digits or 44 characters of base64", word)
	}
	return [sha256.Size]byte(raw), nil
}
