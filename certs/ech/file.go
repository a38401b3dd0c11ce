package ech

import (
	"bytes"
	"crypto/ecdh"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// The labels of a key file's blocks (RFC 9934 section 3).
const (
	keyBlock    = "PRIVATE KEY"
	configBlock = "ECHCONFIG"
	begin       = "-----BEGIN "
)

// Parse reads the content of the key file name, in the PEM form of RFC 9934
// that OpenSSL, nginx and HAProxy use: a PRIVATE KEY (PKCS#8, X25519), and the
// ECHCONFIG that belongs to it, which may list other servers' configs as well;
// and any number of such pairs more, up to 16 keys. Clients are told of the
// first pair (Retry); the later ones only accept.
//
// Errors name the file and the line, never a key: a file of another form, a key
// of another kind, configs that none of the key belongs to or that clients or
// crypto/tls could not use, and a config that appears twice.
func Parse(name string, content []byte) ([]Key, error) {
	p := parser{rest: content, line: 1}
	for {
		block, err := p.next()
		if err == nil && block == nil {
			err = p.end()
		} else if err == nil {
			err = p.take(block)
		}
		if err != nil {
			return nil, fmt.Errorf("ECH key file %s%v", name, err)
		}
		if block == nil {
			return p.keys, nil
		}
	}
}

// parser is the state of Parse. The errors of its methods follow the file's
// name: most begin with ", line".
type parser struct {
	rest []byte
	line int // of what rest begins with
	at   int // the line of the block in hand

	private     *ecdh.PrivateKey // waits for its ECHCONFIG; nil: none does
	privateLine int

	pairs int
	keys  []Key
}

// next cuts off one block; nil at the end. pem.Decode passes over what it does
// not understand, which in a key file is a mistake to be told.
func (p *parser) next() (*pem.Block, error) {
	start := bytes.Index(p.rest, []byte(begin))
	if start < 0 {
		return nil, nil
	}
	p.at = p.line + bytes.Count(p.rest[:start], []byte("\n"))
	block, rest := pem.Decode(p.rest[start:])
	if block == nil {
		return nil, p.errorf("a block that is no PEM, or has no end")
	}
	used := p.rest[:len(p.rest)-len(rest)]
	if bytes.Count(used, []byte(begin)) != 1 {
		return nil, p.errorf("a block that is no PEM, or has no end")
	}
	p.line += bytes.Count(used, []byte("\n"))
	p.rest = rest
	return block, nil
}

func (p *parser) errorf(format string, args ...any) error {
	return fmt.Errorf(", line %d: "+format, append([]any{p.at}, args...)...)
}

func (p *parser) take(block *pem.Block) error {
	switch {
	case block.Type == keyBlock && p.private != nil:
		return p.errorf("another private key; expected the ECHCONFIG of the one in line %d", p.privateLine)
	case block.Type == keyBlock:
		private, err := parsePrivate(block.Bytes)
		if err != nil {
			return p.errorf("%v", err)
		}
		p.private, p.privateLine = private, p.at
		return nil
	case block.Type == configBlock && p.private == nil:
		return p.errorf("an ECHCONFIG without its PRIVATE KEY before it")
	case block.Type == configBlock:
		return p.pair(block.Bytes)
	}
	return p.errorf("a block of %.64q; expected PRIVATE KEY (X25519) and ECHCONFIG", block.Type)
}

// pair puts the private key in hand and its configs together.
func (p *parser) pair(list []byte) error {
	configs, err := parseList(list)
	if err != nil {
		return p.errorf("%v", err)
	}
	public := p.private.PublicKey().Bytes()
	found := false
	for _, c := range configs {
		if c.kem != kemX25519 || !bytes.Equal(c.public, public) {
			continue
		}
		found = true
		if err := c.check(); err != nil {
			return p.errorf("%v", err)
		}
		key := Key{Config: c.raw, Private: p.private.Bytes(), PublicName: c.publicName, ID: c.id, Retry: p.pairs == 0}
		if slices.ContainsFunc(p.keys, func(k Key) bool { return bytes.Equal(k.Config, key.Config) }) {
			return p.errorf("an ECHConfig (id %d) that the file has already", c.id)
		}
		if p.keys = append(p.keys, key); len(p.keys) > maxKeys {
			return p.errorf("more than %d keys; remove the oldest, at the end", maxKeys)
		}
	}
	if !found {
		return p.errorf("none of the ECHCONFIG's configs (%d of a known version) belongs to the private key of line %d", len(configs), p.privateLine)
	}
	p.private = nil
	p.pairs++
	return nil
}

// end checks that nothing is missing.
func (p *parser) end() error {
	switch {
	case p.private != nil:
		p.at = p.privateLine
		return p.errorf("a private key without its ECHCONFIG after it")
	case p.pairs == 0:
		return errors.New(" holds no key; expected -----BEGIN PRIVATE KEY----- and -----BEGIN ECHCONFIG-----")
	}
	return nil
}

// parsePrivate reads a PKCS#8 key. Its errors must not quote the key.
func parsePrivate(der []byte) (*ecdh.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("a private key that is no PKCS#8; expected an X25519 key, as openssl genpkey -algorithm X25519 makes it")
	}
	private, ok := key.(*ecdh.PrivateKey)
	if !ok || private.Curve() != ecdh.X25519() {
		return nil, errors.New("a private key of another kind; expected X25519, as openssl genpkey -algorithm X25519 makes it")
	}
	return private, nil
}

// Format is the inverse of Parse: a file that holds keys, in their order. What
// the file cannot say is lost: it publishes (Retry) the first key, with those
// right after it that are marked and share its private key, and no other.
func Format(keys []Key) []byte {
	var b bytes.Buffer
	for first := true; len(keys) > 0; first = false {
		n := 1
		for first && n < len(keys) && keys[n].Retry && bytes.Equal(keys[n].Private, keys[0].Private) {
			n++
		}
		var configs [][]byte
		for _, k := range keys[:n] {
			configs = append(configs, k.Config)
		}
		writeBlock(&b, keyBlock, marshalPrivate(keys[0].Private))
		writeBlock(&b, configBlock, marshalList(configs))
		keys = keys[n:]
	}
	return b.Bytes()
}

func writeBlock(b *bytes.Buffer, kind string, content []byte) {
	b.Write(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
}

// marshalPrivate encodes an X25519 key as PKCS#8; nil if it is none.
func marshalPrivate(raw []byte) []byte {
	private, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		return nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil
	}
	return der
}
