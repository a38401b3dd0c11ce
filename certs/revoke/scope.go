package revoke

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The object identifiers below 2.5.29 (id-ce) that lists and entries use, as
// the content of their encoding.
const (
	oidCRLNumber          = "\x55\x1d\x14"
	oidReasonCode         = "\x55\x1d\x15"
	oidInvalidityDate     = "\x55\x1d\x18"
	oidDelta              = "\x55\x1d\x1b"
	oidIssuingPoint       = "\x55\x1d\x1c"
	oidCertificateIssuer  = "\x55\x1d\x1d"
	oidDistributionPoints = "\x55\x1d\x1f"
	oidAuthorityKey       = "\x55\x1d\x23"
)

var errIndirect = errors.New("indirect lists (with entries of other issuers) are not supported")

// scope is what the issuingDistributionPoint extension (RFC 5280 section
// 5.2.5) restricts a list to. The zero value is a list of everything.
type scope struct {
	users, cas bool
	parted     bool              // names is what it is distributed under
	names      cryptobyte.String // GeneralNames, one after the other
}

// parseScope reads a list's extensions, and refuses those that change what the
// list means in a way that is not supported.
func parseScope(extensions []pkix.Extension) (scope, error) {
	var s scope
	for _, x := range extensions {
		var err error
		switch content(x) {
		case oidDelta:
			err = errors.New("this is a delta list; only complete lists are supported")
		case oidIssuingPoint:
			err = s.parse(x.Value)
		case oidCRLNumber, oidAuthorityKey:
		default:
			if x.Critical {
				err = fmt.Errorf("critical extension %s is not known", x.Id)
			}
		}
		if err != nil {
			return scope{}, err
		}
	}
	return s, nil
}

// content is the identifier's encoding for the ones of id-ce, "" for others.
func content(x pkix.Extension) string {
	if len(x.Id) != 4 || x.Id[0] != 2 || x.Id[1] != 5 || x.Id[2] != 29 || x.Id[3] > 127 {
		return ""
	}
	return string([]byte{0x55, 0x1d, byte(x.Id[3])})
}

// The fields of an issuingDistributionPoint.
const (
	pointName = iota
	onlyUsers
	onlyCAs
	onlySomeReasons
	indirect
	onlyAttributes
)

// parse reads an issuingDistributionPoint.
func (s *scope) parse(der []byte) error {
	var fields, value cryptobyte.String
	input := cryptobyte.String(der)
	malformed := errors.New("malformed issuing distribution point")
	if !input.ReadASN1(&fields, asn1.SEQUENCE) || !input.Empty() {
		return malformed
	}
	for last := -1; !fields.Empty(); {
		var tag asn1.Tag
		if !fields.ReadAnyASN1(&value, &tag) {
			return malformed
		}
		field := int(tag & 0x1f)
		if tag&0xc0 != 0x80 || field <= last {
			return malformed
		}
		last = field
		if field == pointName {
			s.parted, s.names = true, fullName(value)
			continue
		}
		if field == onlySomeReasons {
			return errors.New("lists for some reasons only (onlySomeReasons) are not supported")
		}
		if err := s.set(field, value); err != nil {
			return err
		}
	}
	if s.users && s.cas {
		return errors.New("the list is for user certificates only and for CA certificates only")
	}
	return nil
}

// set takes one of the boolean fields.
func (s *scope) set(field int, value []byte) error {
	if len(value) != 1 {
		return errors.New("malformed issuing distribution point")
	}
	if value[0] == 0 {
		return nil
	}
	switch field {
	case onlyUsers:
		s.users = true
	case onlyCAs:
		s.cas = true
	case indirect:
		return errIndirect
	case onlyAttributes:
		return errors.New("the list is for attribute certificates, not for those of clients")
	default:
		return fmt.Errorf("field %d of the issuing distribution point is not known", field)
	}
	return nil
}

// fullName is what a DistributionPointName holds if it is a fullName; a
// nameRelativeToCRLIssuer yields no names and so matches nothing.
func fullName(point cryptobyte.String) cryptobyte.String {
	var names cryptobyte.String
	point.ReadOptionalASN1(&names, nil, asn1.Tag(0).Constructed().ContextSpecific())
	return names
}

// covers reports whether a certificate that is not on the list is thereby
// known not to be revoked (RFC 5280 section 6.3.3 (b) (2)).
func (s *scope) covers(c *x509.Certificate) bool {
	ca := c.BasicConstraintsValid && c.IsCA
	if s.users && ca || s.cas && !ca {
		return false
	}
	return !s.parted || s.distributes(c)
}

// distributes reports whether the list is distributed under a name that the
// certificate gives as distribution point, or, if it gives none, under its
// issuer's name.
func (s *scope) distributes(c *x509.Certificate) bool {
	points, ok := distributionPoints(c)
	if !ok {
		return s.hasIssuer(c.RawIssuer)
	}
	for !points.Empty() {
		var point, name cryptobyte.String
		var named bool
		if !points.ReadASN1(&point, asn1.SEQUENCE) ||
			!point.ReadOptionalASN1(&name, &named, asn1.Tag(0).Constructed().ContextSpecific()) {
			return false
		}
		if named && s.shares(fullName(name)) {
			return true
		}
	}
	return false
}

// distributionPoints is the content of the cRLDistributionPoints extension.
func distributionPoints(c *x509.Certificate) (points cryptobyte.String, ok bool) {
	for i := range c.Extensions {
		id := c.Extensions[i].Id
		if len(id) == 4 && id[0] == 2 && id[1] == 5 && id[2] == 29 && id[3] == int(oidDistributionPoints[2]) {
			value := cryptobyte.String(c.Extensions[i].Value)
			return points, value.ReadASN1(&points, asn1.SEQUENCE)
		}
	}
	return nil, false
}

// shares reports whether any of other is among the list's own names.
func (s *scope) shares(other cryptobyte.String) bool {
	for !other.Empty() {
		var theirs, ours cryptobyte.String
		var tag asn1.Tag
		if !other.ReadAnyASN1Element(&theirs, &tag) {
			return false
		}
		for rest := s.names; !rest.Empty() && rest.ReadAnyASN1Element(&ours, &tag); {
			if bytes.Equal(theirs, ours) {
				return true
			}
		}
	}
	return false
}

// hasIssuer reports whether the directory name issuer is among the names.
func (s *scope) hasIssuer(issuer []byte) bool {
	for rest := s.names; !rest.Empty(); {
		var name cryptobyte.String
		var tag asn1.Tag
		if !rest.ReadAnyASN1(&name, &tag) {
			return false
		}
		if tag == asn1.Tag(4).Constructed().ContextSpecific() && bytes.Equal(name, issuer) {
			return true
		}
	}
	return false
}
