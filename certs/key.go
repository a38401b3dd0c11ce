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

// privateKey finds the first private key of the file, as OpenSSL does: PKCS#1,
// SEC1 or PKCS#8, in the clear. inCert says that the file is the certificate's.
func (p *pemFile) privateKey(inCert bool) (crypto.Signer, []string, error) {
	var keys []*pem.Block
	for _, block := range p.blocks {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			keys = append(keys, block)
		}
	}
	if len(keys) == 0 {
		return nil, nil, p.noKey(inCert)
	}
	key, err := p.parseKey(keys[0])
	if err != nil {
		return nil, nil, err
	}
	var warnings []string
	if len(keys) > 1 {
		warnings = append(warnings, fmt.Sprintf("%s holds %d private keys; using the first", p.path, len(keys)))
	}
	if open := p.mode.Perm() & 0o077; open != 0 {
		warnings = append(warnings, fmt.Sprintf("key file %s is open to others than its owner (mode %04o); chmod 600 %s", p.path, p.mode.Perm(), p.path))
	}
	return key, warnings, nil
}

// noKey says what the file holds instead of a key.
func (p *pemFile) noKey(inCert bool) error {
	if inCert {
		return p.errorf("holds no private key; give it with -K file, or append it")
	}
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

// leafOf finds the certificate that belongs to key. OpenSSL takes the first
// in the file; a chain that somebody put together backwards works here too.
func leafOf(certs []*x509.Certificate, key crypto.Signer, certPath, keyPath string) (*x509.Certificate, error) {
	for _, c := range certs {
		if public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && public.Equal(key.Public()) {
			return c, nil
		}
	}
	if flaw := keyFlaw(certs[0].PublicKey); flaw != "" {
		return nil, fmt.Errorf("certificate %s is for %s; expected %s", certPath, flaw, keyKinds)
	}
	return nil, fmt.Errorf("key %s does not belong to certificate %s (subject %s)", keyPath, certPath, subject(certs[0]))
}
