package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io/fs"
	"strings"
)

// maxChain bounds the certificates in the file of one certificate, since each
// may have to be held against each. Real chains have two to four.
const maxChain = 100

// pemFile is one file taken apart into its PEM blocks (RFC 7468).
type pemFile struct {
	role, path string // "certificate", "key" or "CA file", and its name
	mode       fs.FileMode
	blocks     []*pem.Block
}

// parsePEM takes a file apart and refuses it unless it holds PEM blocks and
// nothing that tries to be one.
func parsePEM(role, path string, f file) (*pemFile, error) {
	p := &pemFile{role: role, path: path, mode: f.mode}
	if len(bytes.TrimSpace(f.data)) == 0 {
		return nil, p.errorf("is empty; expected PEM")
	}
	if err := p.split(f.data); err != nil {
		return nil, err
	}
	if len(p.blocks) == 0 {
		return nil, p.notPEM(f.data)
	}
	return p, nil
}

// errorf makes an error that begins with the file's role and name.
func (p *pemFile) errorf(format string, args ...any) error {
	return fmt.Errorf("%s %s %s", p.role, p.path, fmt.Sprintf(format, args...))
}

// split collects the blocks. pem.Decode passes over a damaged block without a
// word, which here would drop a CA or half a chain; so what it passed over is
// searched for the beginnings of blocks.
func (p *pemFile) split(data []byte) error {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	for rest := data; ; {
		block, after := pem.Decode(rest)
		allowed := 0
		if block != nil {
			allowed = 1
		}
		passed := rest[:len(rest)-len(after)]
		if block == nil {
			passed = rest
		}
		if at, n := begins(passed); n > allowed {
			line := 1 + bytes.Count(data[:len(data)-len(rest)+at], []byte("\n"))
			return p.errorf("has a damaged PEM block that begins in line %d", line)
		}
		if block == nil {
			return nil
		}
		p.blocks = append(p.blocks, block)
		rest = after
	}
}

// begins counts the lines that begin a PEM block and says where the first is.
func begins(data []byte) (first, n int) {
	at := 0
	for line := range bytes.Lines(data) {
		if bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("-----BEGIN ")) {
			if n == 0 {
				first = at
			}
			n++
		}
		at += len(line)
	}
	return first, n
}

// notPEM says what a file without any PEM block seems to be.
func (p *pemFile) notPEM(data []byte) error {
	var seq asn1.RawValue
	if _, err := asn1.Unmarshal(data, &seq); err != nil || seq.Tag != asn1.TagSequence {
		return p.errorf("holds no PEM block; expected a line -----BEGIN %s-----", p.wanted())
	}
	var version int
	if _, err := asn1.Unmarshal(seq.Bytes, &version); err == nil && version == 3 {
		return p.errorf("is PKCS#12, not PEM; convert it: openssl pkcs12 -in %s -nodes -out new.pem", p.path)
	}
	command := "x509"
	if _, err := x509.ParseCertificate(data); err != nil && p.role == roleKey {
		command = "pkey"
	}
	return p.errorf("is DER, not PEM; convert it: openssl %s -inform DER -in %s -out new.pem", command, p.path)
}

// wanted is the PEM type that a file of p's role must hold.
func (p *pemFile) wanted() string {
	if p.role == roleKey {
		return "PRIVATE KEY"
	}
	return "CERTIFICATE"
}

// certificates parses every certificate of the file, in its order. Those after
// the first come from in, for most are in other files too. Blocks of other
// kinds (keys, DH parameters) are left alone.
func (p *pemFile) certificates(in *interns) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for _, block := range p.blocks {
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE":
		case "TRUSTED CERTIFICATE":
			// OpenSSL's own form may carry a rejection, so it cannot be
			// taken for the plain certificate inside it.
			return nil, p.errorf("holds OpenSSL's TRUSTED CERTIFICATE; convert it: openssl x509 -in %s -out new.pem", p.path)
		default:
			continue
		}
		parse := x509.ParseCertificate
		if len(certs) > 0 || p.role == roleCA {
			parse = in.certificate
		}
		c, err := parse(block.Bytes)
		if err != nil {
			return nil, p.errorf("has a certificate (number %d) that cannot be used: %v", len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	switch {
	case len(certs) == 0:
		return nil, p.noCertificate()
	case p.role == roleCert && len(certs) > maxChain:
		return nil, p.errorf("holds %d certificates; expected one chain of at most %d", len(certs), maxChain)
	}
	return certs, nil
}

// noCertificate says what the file holds instead.
func (p *pemFile) noCertificate() error {
	for _, block := range p.blocks {
		switch {
		case strings.HasSuffix(block.Type, "CERTIFICATE REQUEST"):
			return p.errorf("is a certificate request (CSR); expected the certificate that the CA made of it")
		case block.Type == "PKCS7":
			return p.errorf("is PKCS#7; convert it: openssl pkcs7 -print_certs -in %s -out new.pem", p.path)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return p.errorf("holds a private key, but no certificate; expected -----BEGIN CERTIFICATE-----")
		}
	}
	return p.errorf("holds %q, but no certificate; expected -----BEGIN CERTIFICATE-----", p.blocks[0].Type)
}
