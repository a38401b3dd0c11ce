package acl

import (
	"crypto/sha256"
	"crypto/x509"
	encasn1 "encoding/asn1"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// certRules are the entries about the client's certificate, by what they look
// at, so that each thing is looked up once however many entries ask for it.
type certRules struct {
	first            int // none if there are none
	ifNone, ifAny    int // the first client_cert none, the first client_cert any
	firstSPKI        int
	spki             map[[sha256.Size]byte]int // the first entry that asks for a key
	subject, issuer  textRules
	commonName       textRules
	alternative, dns textRules // dns, in lower case, for DNS names; alternative for the other kinds
}

// newCertRules are no rules.
func newCertRules() certRules {
	empty := textRules{first: none}
	return certRules{
		first: none, ifNone: none, ifAny: none, firstSPKI: none,
		subject: empty, issuer: empty, commonName: empty, alternative: empty, dns: empty,
	}
}

// textRules are the entries that compare one kind of text.
type textRules struct {
	first int            // none if there are none
	exact map[string]int // patterns without stars
	globs []textRule     // the others, in order
}

type textRule struct {
	index int
	pattern
}

func (r *textRules) add(p pattern, index int) {
	r.first = min(r.first, index)
	if len(p.parts) == 1 {
		keepFirst(&r.exact, p.parts[0], index)
		return
	}
	r.globs = append(r.globs, textRule{index, p})
}

// earlier finds the first of these entries that matches text, if it stands
// before entry match; otherwise it is match.
func (r *textRules) earlier(text []byte, match int) int {
	if i, ok := r.exact[string(text)]; ok {
		match = min(match, i)
	}
	for i := range r.globs {
		g := &r.globs[i]
		if g.index >= match {
			break
		}
		if g.match(text) {
			return g.index
		}
	}
	return match
}

// add adds an entry, which it checks.
func (r *certRules) add(e Entry, index int) error {
	r.first = min(r.first, index)
	switch e.Cert {
	case CertNone:
		r.ifNone = min(r.ifNone, index)
	case CertAny:
		r.ifAny = min(r.ifAny, index)
	case CertSPKI:
		sum, err := parseSum(e.Pattern)
		if err != nil {
			return err
		}
		r.firstSPKI = min(r.firstSPKI, index)
		keepFirst(&r.spki, sum, index)
	case CertSubject, CertIssuer:
		p, err := parseName(e.Pattern)
		if err != nil {
			return err
		}
		rules := &r.subject
		if e.Cert == CertIssuer {
			rules = &r.issuer
		}
		rules.add(p, index)
	case CertCN:
		r.commonName.add(newPattern(e.Pattern), index)
	case CertSAN:
		r.addAlternative(e.Pattern, index)
	default:
		return fmt.Errorf("%q is not a field of a certificate", e.Cert)
	}
	return nil
}

func (r *certRules) addAlternative(text string, index int) {
	r.dns.add(newPattern(strings.ToLower(text)), index)
	if addr, err := netip.ParseAddr(text); err == nil {
		text = addr.String()
	}
	r.alternative.add(newPattern(text), index)
}

// earlier finds the first of these entries that matches, if it stands before
// entry match; otherwise it is match. cert is nil if none was shown.
func (r *certRules) earlier(cert *x509.Certificate, match int) int {
	if cert == nil {
		return min(match, r.ifNone)
	}
	match = min(match, r.ifAny)
	if r.firstSPKI < match {
		if i, ok := r.spki[sha256.Sum256(cert.RawSubjectPublicKeyInfo)]; ok {
			match = min(match, i)
		}
	}
	if min(r.subject.first, r.commonName.first) < match {
		match = r.earlierSubject(cert.RawSubject, match)
	}
	if r.issuer.first < match {
		var few [16]attribute
		var space [512]byte
		match = r.issuer.earlier(appendName(space[:0], attributes(few[:0], cert.RawIssuer)), match)
	}
	if r.alternative.first < match {
		for i := range cert.Extensions {
			if cert.Extensions[i].Id.Equal(encasn1.ObjectIdentifier{2, 5, 29, 17}) {
				match = r.earlierAlternative(cert.Extensions[i].Value, match)
			}
		}
	}
	return match
}

func (r *certRules) earlierSubject(subject []byte, match int) int {
	var few [16]attribute
	var space [512]byte
	list := attributes(few[:0], subject)
	if r.subject.first < match {
		match = r.subject.earlier(appendName(space[:0], list), match)
	}
	if r.commonName.first >= match {
		return match
	}
	for i := range list {
		if string(list[i].oid) != commonName {
			continue
		}
		if text, isText := list[i].appendText(space[:0]); isText {
			match = r.commonName.earlier(text, match)
		}
	}
	return match
}

// The kinds of names that entries know (RFC 5280, section 4.2.1.6): tags of
// class context-specific.
const (
	mailName asn1.Tag = 0x80 | 1
	dnsName  asn1.Tag = 0x80 | 2
	uriName  asn1.Tag = 0x80 | 6
	ipName   asn1.Tag = 0x80 | 7
)

// earlierAlternative goes through a SubjectAltName extension.
func (r *certRules) earlierAlternative(extension cryptobyte.String, match int) int {
	var names, name cryptobyte.String
	var tag asn1.Tag
	var small [256]byte
	extension.ReadASN1(&names, asn1.SEQUENCE)
	for names.ReadAnyASN1(&name, &tag) {
		switch tag {
		case dnsName:
			match = r.dns.earlier(appendLower(small[:0], name), match)
		case mailName, uriName:
			match = r.alternative.earlier(name, match)
		case ipName:
			if addr, ok := netip.AddrFromSlice(name); ok {
				match = r.alternative.earlier(addr.AppendTo(small[:0]), match)
			}
		}
	}
	return match
}

// appendLower appends a name with its ASCII letters in lower case.
func appendLower(dst, name []byte) []byte {
	for _, b := range name {
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		dst = append(dst, b)
	}
	return dst
}
