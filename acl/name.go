package acl

import (
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// attribute is one TYPE=VALUE of a distinguished name, as encoded.
type attribute struct {
	oid, value cryptobyte.String // contents
	tag        asn1.Tag          // of value
	encoded    cryptobyte.String // value with its tag
	set        int               // which relative name it belongs to
}

// attributes appends the attributes of a distinguished name (RFC 5280, section
// 4.1.2.4), and nothing after an error; crypto/x509 has refused such names.
func attributes(list []attribute, raw cryptobyte.String) []attribute {
	var sets, set cryptobyte.String
	if !raw.ReadASN1(&sets, asn1.SEQUENCE) {
		return list
	}
	for n := 0; sets.ReadASN1(&set, asn1.SET); n++ {
		var a attribute
		var pair cryptobyte.String
		for set.ReadASN1(&pair, asn1.SEQUENCE) {
			a.set = n
			if !pair.ReadASN1(&a.oid, asn1.OBJECT_IDENTIFIER) {
				return list
			}
			a.encoded = pair
			if !pair.ReadAnyASN1(&a.value, &a.tag) {
				return list
			}
			list = append(list, a)
		}
	}
	return list
}

// appendName appends the distinguished name of these attributes in the form in which patterns are
// compared with it: as RFC 2253 has it, last part first, UTF-8, but with a
// backslash before nothing but ",", "+", "#" and itself, so that there is one
// way to write each name.
func appendName(dst []byte, list []attribute) []byte {
	var small [256]byte
	for i := len(list) - 1; i >= 0; i-- {
		if i+1 < len(list) {
			separator := byte(',')
			if list[i+1].set == list[i].set {
				separator = '+'
			}
			dst = append(dst, separator)
		}
		a := &list[i]
		name := typeName(a.oid)
		text, isText := a.appendText(small[:0])
		if name == "" || !isText { // RFC 2253, section 2.4
			dst = appendOID(dst, name, a.oid)
			dst = append(dst, "=#"...)
			dst = appendUpperHex(dst, a.encoded)
			continue
		}
		dst = append(dst, name...)
		dst = append(dst, '=')
		for _, b := range text {
			dst = appendEscaped(dst, b)
		}
	}
	return dst
}

// appendEscaped appends one byte of a value.
func appendEscaped(dst []byte, b byte) []byte {
	switch b {
	case ',', '+', '#', '\\':
		dst = append(dst, '\\')
	}
	return append(dst, b)
}

func appendUpperHex(dst, raw []byte) []byte {
	start := len(dst)
	dst = hex.AppendEncode(dst, raw)
	for i := start; i < len(dst); i++ {
		if dst[i] >= 'a' {
			dst[i] -= 'a' - 'A'
		}
	}
	return dst
}

// The string types of names that package cryptobyte/asn1 does not have.
const (
	numericString asn1.Tag = 18
	bmpString     asn1.Tag = 30
)

// appendText appends the value in UTF-8; isText is false for what is no string.
func (a *attribute) appendText(dst []byte) (text []byte, isText bool) {
	switch a.tag {
	case asn1.UTF8String, asn1.PrintableString, asn1.IA5String, numericString:
		return append(dst, a.value...), true
	case asn1.T61String: // in practice Latin 1
		for _, b := range a.value {
			dst = utf8.AppendRune(dst, rune(b))
		}
		return dst, true
	case bmpString: // two bytes a character, and no surrogates
		for v := a.value; len(v) >= 2; v = v[2:] {
			dst = utf8.AppendRune(dst, rune(v[0])<<8|rune(v[1]))
		}
		return dst, true
	}
	return dst, false
}

// attributeTypes are the types that have a name: RFC 2253, section 2.3, and
// those that certificates have beside them, named as OpenSSL does. The object
// identifiers are as encoded.
var attributeTypes = [...]struct{ oid, name string }{
	{"\x55\x04\x03", "CN"}, {"\x55\x04\x0a", "O"}, {"\x55\x04\x0b", "OU"}, {"\x55\x04\x06", "C"},
	{"\x55\x04\x08", "ST"}, {"\x55\x04\x07", "L"}, {"\x55\x04\x05", "serialNumber"},
	{"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", "emailAddress"},
	{"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", "DC"}, {"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", "UID"},
	{"\x55\x04\x04", "SN"}, {"\x55\x04\x09", "street"}, {"\x55\x04\x0c", "title"}, {"\x55\x04\x0d", "description"},
	{"\x55\x04\x0f", "businessCategory"}, {"\x55\x04\x11", "postalCode"}, {"\x55\x04\x14", "telephoneNumber"},
	{"\x55\x04\x29", "name"}, {"\x55\x04\x2a", "GN"}, {"\x55\x04\x2b", "initials"},
	{"\x55\x04\x2c", "generationQualifier"}, {"\x55\x04\x2e", "dnQualifier"}, {"\x55\x04\x41", "pseudonym"},
	{"\x55\x04\x61", "organizationIdentifier"}, {"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02", "unstructuredName"},
	{"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x01", "jurisdictionL"},
	{"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x02", "jurisdictionST"},
	{"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x03", "jurisdictionC"},
}

const commonName = "\x55\x04\x03"

// typeName is the name of a type, "" if it has none.
func typeName(oid []byte) string {
	for i := range attributeTypes {
		if t := &attributeTypes[i]; t.oid == string(oid) {
			return t.name
		}
	}
	return ""
}

// knownType is the spelling that appendName has for a type, which is an object
// identifier in decimal if it is no name.
func knownType(word string) (string, bool) {
	for _, t := range attributeTypes {
		if strings.EqualFold(t.name, word) {
			return t.name, true
		}
	}
	return word, strings.Contains(word, ".") && strings.Trim(word, "0123456789.") == ""
}

// appendOID appends name or, if there is none, the object identifier in decimal
// (ITU-T X.690, section 8.19).
func appendOID(dst []byte, name string, oid []byte) []byte {
	dst = append(dst, name...)
	if name != "" {
		return dst
	}
	var n uint64
	start := len(dst)
	for _, b := range oid {
		n = n<<7 | uint64(b&0x7f)
		if b&0x80 != 0 {
			continue
		}
		if len(dst) == start {
			root := min(n/40, 2)
			dst = strconv.AppendUint(dst, root, 10)
			n -= root * 40
		}
		dst = append(dst, '.')
		dst = strconv.AppendUint(dst, n, 10)
		n = 0
	}
	return dst
}
