package revoke

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// maxSerial bounds the hexadecimal digits of a denied serial number; RFC 5280
// section 4.1.2.2 allows 40.
const maxSerial = 128

// Denial names certificates that an administrator refuses: by the serial
// number of the client's own certificate, whoever issued it, or by a key
// (SHA-256 of the SubjectPublicKeyInfo) anywhere in the chain. One of the two
// is set. Equal denials are equal values.
type Denial struct {
	Serial string // hexadecimal, lower case, no leading zeros
	SPKI   [32]byte
}

// String writes the denial as ParseDenial reads it.
func (d Denial) String() string {
	if d.Serial != "" {
		return "serial " + d.Serial
	}
	return "spki " + hex.EncodeToString(d.SPKI[:])
}

// ParseDenial reads `serial HEX` (colons, leading zeros and 0x are forgiven)
// or `spki SHA256` (64 hexadecimal digits, colons forgiven, or base64).
func ParseDenial(words []string) (Denial, error) {
	if len(words) != 2 {
		return Denial{}, errors.New("expected serial HEX or spki SHA256")
	}
	switch words[0] {
	case "serial":
		serial, err := parseSerial(words[1])
		return Denial{Serial: serial}, err
	case "spki":
		sum, err := parseSPKI(words[1])
		return Denial{SPKI: sum}, err
	}
	return Denial{}, fmt.Errorf("%q: expected serial HEX or spki SHA256", words[0])
}

func parseSerial(s string) (string, error) {
	digits := strings.ToLower(strings.ReplaceAll(s, ":", ""))
	digits = strings.TrimPrefix(digits, "0x")
	if digits == "" || len(digits) > maxSerial || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", fmt.Errorf("serial %q: expected 1 to %d hexadecimal digits", s, maxSerial)
	}
	if digits = strings.TrimLeft(digits, "0"); digits == "" {
		digits = "0"
	}
	return digits, nil
}

func parseSPKI(s string) (sum [32]byte, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil {
		b, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	}
	if err != nil || len(b) != len(sum) {
		return sum, fmt.Errorf("spki %q: expected a SHA-256 of the public key, 64 hexadecimal digits or 44 of base64", s)
	}
	copy(sum[:], b)
	if sum == [32]byte{} {
		return sum, fmt.Errorf("spki %q: no key has this sum", s)
	}
	return sum, nil
}

// denials finds what an administrator denied.
type denials struct {
	serials map[string]bool // as serialBuffer encodes them
	keys    map[[32]byte]bool
}

func newDenials(denied []Denial) denials {
	d := denials{serials: map[string]bool{}, keys: map[[32]byte]bool{}}
	for _, one := range denied {
		if one.Serial == "" {
			d.keys[one.SPKI] = true
		} else if n, ok := new(big.Int).SetString(one.Serial, 16); ok {
			d.serials[string(new(serialBuffer).put(n))] = true
		}
	}
	return d
}

// serial reports whether the certificate's serial number is denied.
func (d *denials) serial(c *x509.Certificate) bool {
	if len(d.serials) == 0 || c.SerialNumber == nil {
		return false
	}
	var buf serialBuffer
	return d.serials[string(buf.put(c.SerialNumber))]
}

// key reports whether the certificate's key is denied.
func (d *denials) key(c *x509.Certificate) bool {
	return len(d.keys) > 0 && d.keys[sha256.Sum256(c.RawSubjectPublicKeyInfo)]
}

// of returns what denies a verified chain, leaf first.
func (d *denials) of(chain []*x509.Certificate) error {
	if len(chain) > 0 && d.serial(chain[0]) {
		return denied(chain[0], Denial{Serial: hexSerial(chain[0].SerialNumber)})
	}
	for _, c := range chain {
		if d.key(c) {
			return denied(c, Denial{SPKI: sha256.Sum256(c.RawSubjectPublicKeyInfo)})
		}
	}
	return nil
}

func denied(c *x509.Certificate, d Denial) error {
	return &Revoked{Subject: clean(c.Subject.String()), Issuer: clean(c.Issuer.String()),
		Serial: hexSerial(c.SerialNumber), Reason: "denied", Source: d.String()}
}
