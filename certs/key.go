package certs

import (
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 only to name such a key in an error
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

// keyKinds is what crypto/tls can sign with.
const keyKinds = "RSA of 1024 bits or more, ECDSA on P-256, P-384 or P-521, or Ed25519"

// privateKey is one key of a file.
type privateKey struct {
	crypto.Signer
	path   string
	number int // among the keys of the file, from 1
	of     int // how many there are
}

// material is what a file of certificates or keys holds.
type material struct {
	path     string
	certs    []*x509.Certificate // of a key file: none
	keys     []*privateKey
	flaw     error // why the first key that cannot be used cannot
	warnings []string
}

// certificateFile reads a file with a certificate, its chain, and perhaps its
// key. Keys that cannot be used matter only if no other is found.
func (l *loading) certificateFile(path string) (*material, error) {
	return recall(l, roleCert, path, func(f file) (*material, error) {
		p, err := parsePEM(roleCert, path, f)
		if err != nil {
			return nil, err
		}
		certs, err := p.certificates(l.interns)
		if err != nil {
			return nil, err
		}
		m := p.privateKeys()
		m.certs = certs
		return m, nil
	})
}

// keyFile reads a file of private keys, which must all be good.
func (l *loading) keyFile(path string) (*material, error) {
	return recall(l, roleKey, path, func(f file) (*material, error) {
		p, err := parsePEM(roleKey, path, f)
		if err != nil {
			return nil, err
		}
		m := p.privateKeys()
		switch {
		case m.flaw != nil:
			return nil, m.flaw
		case len(m.keys) == 0:
			return nil, p.noKey()
		}
		return m, nil
	})
}

// privateKeys parses the keys of the file: PKCS#1, SEC1 or PKCS#8, in the
// clear.
func (p *pemFile) privateKeys() *material {
	m := &material{path: p.path}
	n := 0
	for _, block := range p.blocks {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		n++
		signer, err := p.parseKey(block)
		switch {
		case err == nil:
			m.keys = append(m.keys, &privateKey{Signer: signer, path: p.path, number: n})
		case m.flaw == nil:
			m.flaw = err
		}
	}
	for _, k := range m.keys {
		k.of = n
	}
	if remark := openToOthers(p.path, p.mode); n > 0 && remark != "" {
		m.warnings = append(m.warnings, remark)
	}
	return m
}

// noKey says what the file holds instead of a key.
func (p *pemFile) noKey() error {
	if strings.HasSuffix(p.blocks[0].Type, "CERTIFICATE") {
		return p.errorf("holds a certificate, but no private key; expected -----BEGIN PRIVATE KEY-----")
	}
	return p.errorf("holds %q, but no private key; expected -----BEGIN PRIVATE KEY-----", p.blocks[0].Type)
}

// parseKey reads one block, whatever its label says, and refuses keys that
// could not sign a handshake.
func (p *pemFile) parseKey(block *pem.Block) (crypto.Signer, error) {
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY", strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		return nil, fmt.Errorf("%s is encrypted (pass phrase); edgepen needs a plain key: openssl pkey -in %s -out plain.pem", p.path, p.path)
	case block.Type == "OPENSSH PRIVATE KEY":
		return nil, p.errorf("is in OpenSSH's own form; convert a copy: ssh-keygen -p -m PKCS8 -f copy")
	case block.Type == "DSA PRIVATE KEY":
		return nil, p.errorf("is a DSA key; expected %s", keyKinds)
	}
	key, err := parseDER(block)
	if err != nil {
		return nil, p.errorf("has a private key that cannot be used: %v; expected %s", err, keyKinds)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, p.errorf("has a private key that cannot sign (%T); expected %s", key, keyKinds)
	}
	if flaw := keyFlaw(signer.Public()); flaw != "" {
		return nil, p.errorf("is %s; expected %s", flaw, keyKinds)
	}
	return signer, nil
}

// parseDER tries the form that the label names and then the other two, for
// mislabelled keys are common and harmless. The error is the first one's.
func parseDER(block *pem.Block) (any, error) {
	pkcs8 := func(der []byte) (any, error) { return x509.ParsePKCS8PrivateKey(der) }
	pkcs1 := func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) }
	sec1 := func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) }

	forms := []func([]byte) (any, error){pkcs8, pkcs1, sec1}
	switch block.Type {
	case "RSA PRIVATE KEY":
		forms = []func([]byte) (any, error){pkcs1, pkcs8, sec1}
	case "EC PRIVATE KEY":
		forms = []func([]byte) (any, error){sec1, pkcs8, pkcs1}
	}
	key, err := forms[0](block.Bytes)
	for _, parse := range forms[1:] {
		if err == nil {
			break
		}
		if other, otherErr := parse(block.Bytes); otherErr == nil {
			return other, nil
		}
	}
	return key, err
}

// keyFlaw says why crypto/tls cannot serve with a key of this kind, "" if it can.
func keyFlaw(public crypto.PublicKey) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 1024 {
			return fmt.Sprintf("an RSA key of %d bits", k.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			return "an ECDSA key on P-224"
		}
	case ed25519.PublicKey:
	case *dsa.PublicKey:
		return "a DSA key"
	case nil:
		return "a key of an unknown kind"
	default:
		return fmt.Sprintf("a key of an unsupported kind (%T)", public)
	}
	return ""
}
