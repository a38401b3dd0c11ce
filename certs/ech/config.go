package ech

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

// Numbers of RFC 9849 section 4 and RFC 9180 section 7.
const (
	version    = 0xfe0d // of ECHConfig, also the extension's number
	kemX25519  = 0x0020 // DHKEM(X25519, HKDF-SHA256)
	kdfSHA256  = 0x0001
	lastSuite  = 0x0003 // KDFs: HKDF with SHA-256, 384, 512; AEADs: AES-128-GCM, AES-256-GCM, ChaCha20Poly1305
	mandatory  = 0x8000 // of an extension: who does not know it must not use the config
	maxNameLen = 64     // clients pad shorter host names to it, so that the length tells little
)

// config is an ECHConfig of the version that we know.
type config struct {
	raw        []byte // all of it, as it was read
	id         uint8
	kem        uint16
	public     []byte
	suites     [][2]uint16 // KDF, AEAD
	publicName string
	extensions []uint16 // their types
}

// marshal encodes what Generate makes: an X25519 key and every suite that
// crypto/tls opens, the one that is fast everywhere first.
func (c *config) marshal() []byte {
	var b cryptobyte.Builder
	b.AddUint16(version)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(c.id)
		b.AddUint16(kemX25519)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(c.public) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for aead := uint16(1); aead <= lastSuite; aead++ {
				b.AddUint16(kdfSHA256)
				b.AddUint16(aead)
			}
		})
		b.AddUint8(maxNameLen)
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(c.publicName)) })
		b.AddUint16(0) // no extensions
	})
	return b.BytesOrPanic() // the name has been checked, so nothing is too long
}

// marshalList encodes an ECHConfigList.
func marshalList(configs [][]byte) []byte {
	var b cryptobyte.Builder
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, c := range configs {
			b.AddBytes(c)
		}
	})
	list, err := b.Bytes()
	if err != nil {
		return nil // 64 KiB of configs, which no pair of a file can hold
	}
	return list
}

var errCut = errors.New("cut short, or with bytes left over")

// parseList reads an ECHConfigList. Configs of other versions are left out, as
// RFC 9849 section 4 asks of everybody.
func parseList(list []byte) ([]config, error) {
	s := cryptobyte.String(list)
	var all cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&all) || !s.Empty() || all.Empty() {
		return nil, fmt.Errorf("an ECHConfigList %w", errCut)
	}
	var configs []config
	for n := 1; !all.Empty(); n++ {
		start := all
		var v uint16
		var content cryptobyte.String
		if !all.ReadUint16(&v) || !all.ReadUint16LengthPrefixed(&content) {
			return nil, fmt.Errorf("ECHConfig %d %w", n, errCut)
		}
		if v != version {
			continue
		}
		c, err := parseConfig(content)
		if err != nil {
			return nil, fmt.Errorf("ECHConfig %d %w", n, err)
		}
		c.raw = start[:len(start)-len(all)]
		configs = append(configs, c)
	}
	return configs, nil
}

// parseConfig reads ECHConfigContents.
func parseConfig(s cryptobyte.String) (config, error) {
	var c config
	var public, suites, name, extensions cryptobyte.String
	var nameLen uint8
	if !s.ReadUint8(&c.id) || !s.ReadUint16(&c.kem) ||
		!s.ReadUint16LengthPrefixed(&public) ||
		!s.ReadUint16LengthPrefixed(&suites) ||
		!s.ReadUint8(&nameLen) ||
		!s.ReadUint8LengthPrefixed(&name) ||
		!s.ReadUint16LengthPrefixed(&extensions) || !s.Empty() {
		return config{}, errCut
	}
	c.public, c.publicName = public, string(name)
	for !suites.Empty() {
		var suite [2]uint16
		if !suites.ReadUint16(&suite[0]) || !suites.ReadUint16(&suite[1]) {
			return config{}, errCut
		}
		c.suites = append(c.suites, suite)
	}
	for !extensions.Empty() {
		var kind uint16
		var data cryptobyte.String
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&data) {
			return config{}, errCut
		}
		c.extensions = append(c.extensions, kind)
	}
	return c, nil
}

// check says why crypto/tls, or a client, could not do with c: such a config
// would fail the handshakes of the very clients that use it.
func (c *config) check() error {
	if len(c.suites) == 0 {
		return errors.New("no cipher suite")
	}
	for _, suite := range c.suites {
		if kdf, aead := suite[0], suite[1]; kdf < 1 || kdf > lastSuite || aead < 1 || aead > lastSuite {
			return fmt.Errorf("cipher suite KDF 0x%04x, AEAD 0x%04x not known; expected HKDF (1 to 3) with AES-GCM (1, 2) or ChaCha20Poly1305 (3)", kdf, aead)
		}
	}
	for _, kind := range c.extensions {
		if kind&mandatory != 0 {
			return fmt.Errorf("mandatory extension 0x%04x not known; expected none", kind)
		}
	}
	return checkPublicName(c.publicName)
}

// checkPublicName applies RFC 9849 section 4: a DNS name of letters, digits and
// hyphens that cannot be taken for an IPv4 address. Clients of crypto/tls ask
// for two labels at least, and the DNS for 253 bytes at most.
func checkPublicName(name string) error {
	wrong := func(why string) error {
		return fmt.Errorf("ECH public name %.255q %s; expected a host name such as cover.example.com", name, why)
	}
	if len(name) > 253 {
		return wrong("is longer than 253 bytes")
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 {
			return wrong("has a part that is empty or longer than 63 bytes")
		}
		if label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notLDH) {
			return wrong("is not made of letters, digits and inner hyphens")
		}
	}
	if len(labels) < 2 {
		return wrong("has a single part")
	}
	if isNumber(labels[len(labels)-1]) {
		return wrong("could be taken for an IP address")
	}
	return nil
}

func notLDH(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
}

// isNumber reports whether URL parsers take a name that ends in label for an
// IPv4 address: a decimal number, or a hexadecimal one with 0x.
func isNumber(label string) bool {
	if hex, ok := strings.CutPrefix(strings.ToLower(label), "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}
