// Package revoke tells whether a client's certificate has been revoked: by a
// certificate revocation list (RFC 5280 sections 5 and 6.3) that a file holds
// or a distribution point serves, or because an administrator denied it.
//
// Complete lists of a certificate's own issuer count. Delta lists, indirect
// lists and lists for some reasons only are refused, with the reason. A list
// for a part of the certificates (issuingDistributionPoint) counts for those.
package revoke

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const (
	pemType = "X509 CRL"
	maxSize = 1 << 30         // bytes of one list; offsets into it are 32 bits
	skew    = 5 * time.Minute // how far ahead an issuer's clock may be
)

// List is one revocation list, whose signature is verified when it is first
// used with an issuer. It takes its own size in memory plus 8 to 16 bytes for
// each entry, and is safe for concurrent use.
type List struct {
	source  string
	header  *x509.RevocationList // all but the entries
	entries index
	scope   scope
	signers signers
}

// Parse reads the lists of a file: one in DER, or any number in PEM, whose
// blocks of other types are passed over. path names the file in errors and
// descriptions. A list that cannot be used to the letter refuses the file.
// The lists keep content, which must not be changed afterwards.
func Parse(path string, content []byte) ([]*List, error) {
	if len(content) > maxSize {
		return nil, fmt.Errorf("revocation list %s has %d bytes; at most %d are read", path, len(content), maxSize)
	}
	if len(content) > 0 && content[0] == 0x30 {
		l, err := parseDER(path, content)
		if err != nil {
			return nil, fmt.Errorf("revocation list %s: %w", path, err)
		}
		return []*List{l}, nil
	}
	return parsePEM(path, content)
}

// parsePEM reads every list among the blocks. A block that is cut short or
// damaged would be passed over by package pem, hence the count.
func parsePEM(path string, content []byte) ([]*List, error) {
	var lists []*List
	others := ""
	begun := bytes.Count(content, []byte("-----BEGIN "+pemType+"-----"))
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != pemType {
			others = block.Type
			continue
		}
		l, err := parseDER(path, block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("revocation list %d of %s: %w", len(lists)+1, path, err)
		}
		lists = append(lists, l)
	}
	switch {
	case begun > len(lists):
		return nil, fmt.Errorf("revocation list %s: %d of %d PEM blocks are damaged or cut short", path, begun-len(lists), begun)
	case len(lists) > 0:
		return lists, nil
	case others != "":
		return nil, fmt.Errorf("revocation list %s holds no revocation list but a %s; expected PEM blocks named %s, or DER", path, clean(others), pemType)
	}
	return nil, fmt.Errorf("revocation list %s is neither PEM (a block named %s) nor DER", path, pemType)
}

// sections are the parts of a CertificateList (RFC 5280 section 5.1).
type sections struct {
	tbs       []byte // what is signed, whole
	version   cryptobyte.String
	head      []byte // signature algorithm, issuer, thisUpdate, nextUpdate
	revoked   cryptobyte.String
	tail      cryptobyte.String // extensions
	signature cryptobyte.String // algorithm and signature
}

// parseDER leaves the header to crypto/x509, which is strict, and reads the
// entries itself: x509 makes several objects of each, which for a million of
// them is half a gigabyte.
func parseDER(source string, der []byte) (*List, error) {
	parts, err := split(der)
	if err != nil {
		return nil, err
	}
	skeleton, err := parts.withoutEntries()
	if err != nil {
		return nil, err
	}
	header, err := x509.ParseRevocationList(skeleton)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "x509: "))
	}
	header.Raw, header.RawTBSRevocationList = nil, parts.tbs
	l := &List{source: source, header: header}
	if l.scope, err = parseScope(header.Extensions); err != nil {
		return nil, err
	}
	if l.entries, err = newIndex(parts.revoked); err != nil {
		return nil, err
	}
	return l, nil
}

// split cuts a list into its parts.
func split(der []byte) (sections, error) {
	var s sections
	var list, tbs cryptobyte.String
	input := cryptobyte.String(der)
	if !input.ReadASN1(&list, asn1.SEQUENCE) || !list.ReadASN1Element(&tbs, asn1.SEQUENCE) {
		return s, errors.New("not a certificate list, or cut short")
	}
	if !input.Empty() {
		return s, fmt.Errorf("%d bytes follow the list", len(input))
	}
	s.tbs, s.signature = tbs, list
	tbs.ReadASN1(&tbs, asn1.SEQUENCE)
	if tbs.PeekASN1Tag(asn1.INTEGER) && !tbs.ReadASN1Element(&s.version, asn1.INTEGER) {
		return s, errors.New("malformed version")
	}
	rest := tbs
	algorithm := rest.SkipASN1(asn1.SEQUENCE)
	issuer := rest.SkipASN1(asn1.SEQUENCE)
	if !algorithm || !issuer || !skipTime(&rest) {
		return s, errors.New("malformed header")
	}
	if isTime(rest) && !skipTime(&rest) {
		return s, errors.New("malformed next update")
	}
	s.head = tbs[:len(tbs)-len(rest)]
	if rest.PeekASN1Tag(asn1.SEQUENCE) && !rest.ReadASN1(&s.revoked, asn1.SEQUENCE) {
		return s, errors.New("malformed list of entries")
	}
	s.tail = rest
	return s, s.checkEnds()
}

// checkEnds looks at what x509 passes over: anything after the extensions or
// after the signature, and extensions in version 1.
func (s *sections) checkEnds() error {
	tail, signature := s.tail, s.signature
	if !tail.SkipOptionalASN1(asn1.Tag(0).Constructed().ContextSpecific()) || !tail.Empty() {
		return errors.New("malformed extensions")
	}
	if len(s.tail) > 0 && s.version == nil {
		return errors.New("version 1 cannot have extensions")
	}
	if !signature.SkipASN1(asn1.SEQUENCE) || !signature.SkipASN1(asn1.BIT_STRING) || !signature.Empty() {
		return errors.New("malformed signature")
	}
	return nil
}

// withoutEntries is the list as x509 is to see it. Lists of version 1 differ
// in having no extensions only (openssl ca makes them if it is not told a file
// for the number), so these pass as version 2.
func (s *sections) withoutEntries() ([]byte, error) {
	version := []byte(s.version)
	if version == nil {
		version = []byte{byte(asn1.INTEGER), 1, 1}
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(version)
			b.AddBytes(s.head)
			b.AddBytes(s.tail)
		})
		b.AddBytes(s.signature)
	})
	return b.Bytes()
}

func isTime(s cryptobyte.String) bool {
	return s.PeekASN1Tag(asn1.UTCTime) || s.PeekASN1Tag(asn1.GeneralizedTime)
}

func skipTime(s *cryptobyte.String) bool {
	return isTime(*s) && s.SkipASN1(asn1.Tag((*s)[0]))
}

// size is about what the list takes in memory, in bytes.
func (l *List) size() int { return len(l.header.RawTBSRevocationList) + 4*len(l.entries.slots) }

// begun reports whether the list is valid already at now.
func (l *List) begun(now time.Time) bool { return !l.header.ThisUpdate.After(now.Add(skew)) }

// ended reports whether a newer list should have come by now. One without a
// next update never ends, though RFC 5280 section 5.1.2.5 asks for it.
func (l *List) ended(now time.Time) bool {
	return !l.header.NextUpdate.IsZero() && !now.Before(l.header.NextUpdate)
}

func (l *List) current(now time.Time) bool { return l.begun(now) && !l.ended(now) }

func (l *List) newerThan(other *List) bool {
	return l.header.ThisUpdate.After(other.header.ThisUpdate)
}

// Warning says what is wrong with the list's dates at now; "" if nothing is.
func (l *List) Warning(now time.Time) string {
	name := fmt.Sprintf("revocation list %s of %s", l.source, l.issuer())
	switch {
	case !l.begun(now):
		return fmt.Sprintf("%s is not valid before %s", name, stamp(l.header.ThisUpdate))
	case l.ended(now):
		return fmt.Sprintf("%s expired on %s; what was revoked since is not known", name, stamp(l.header.NextUpdate))
	case l.header.NextUpdate.IsZero():
		return name + " does not say when the next one comes; it is held valid for ever"
	}
	return ""
}

// String describes the list in a line: issuer, number, entries, both dates and
// where it is from.
func (l *List) String() string {
	number, next := "none", "none"
	if l.header.Number != nil {
		number = l.header.Number.String()
	}
	if !l.header.NextUpdate.IsZero() {
		next = stamp(l.header.NextUpdate)
	}
	return fmt.Sprintf("%s: number %s, %d entries, this update %s, next update %s, from %s",
		l.issuer(), number, l.entries.count, stamp(l.header.ThisUpdate), next, l.source)
}

func (l *List) issuer() string { return clean(l.header.Issuer.String()) }

// hexSerial prints a serial number in lower case without leading zeros.
func hexSerial(n *big.Int) string { return n.Text(16) }

// stamp prints a time for people.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// clean keeps what a certificate says from steering a terminal or faking a
// log line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
