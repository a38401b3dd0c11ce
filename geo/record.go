package geo

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oschwald/maxminddb-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2/mmdbdata"
)

// record has the fields of all layouts that the package knows. A field that is
// of another type than expected counts as one that is not there.
type record struct {
	Country   code   `maxminddb:"country"` // MaxMind, DB-IP: a map; IPinfo: the code; IPinfo Lite: the name
	Continent code   `maxminddb:"continent"`
	Number    number `maxminddb:"autonomous_system_number"`
	Org       word   `maxminddb:"autonomous_system_organization"`
	Traits    struct {
		Number number `maxminddb:"autonomous_system_number"`
		Org    word   `maxminddb:"autonomous_system_organization"`
	} `maxminddb:"traits"` // MaxMind's Enterprise

	CountryCode   word   `maxminddb:"country_code"`
	ContinentCode word   `maxminddb:"continent_code"`
	ASN           number `maxminddb:"asn"`
	ASName        word   `maxminddb:"as_name"`
	Name          word   `maxminddb:"name"` // IPinfo's ASN database
}

// decode reads the record at an offset. One that is no map knows nothing.
func decode(tree *maxminddb.Reader, offset uint32) (Place, error) {
	var r record
	err := tree.LookupOffset(uintptr(offset)).Decode(&r)
	if _, wrong := errors.AsType[maxminddb.UnmarshalTypeError](err); wrong {
		return Place{}, nil
	}
	if err != nil {
		return Place{}, err
	}
	return r.place(), nil
}

func (r *record) place() Place {
	p := Place{
		Country:   countryCode(first(string(r.CountryCode), string(r.Country))),
		Continent: continentCode(first(string(r.ContinentCode), string(r.Continent))),
	}
	if p.Continent == "" {
		p.Continent = ContinentOf(p.Country)
	}
	for _, as := range []struct {
		number number
		org    word
	}{
		{r.Number, r.Org},
		{r.Traits.Number, r.Traits.Org},
		{r.ASN, word(first(string(r.ASName), string(r.Name)))},
	} {
		if as.number != 0 {
			p.ASN, p.Org = uint32(as.number), printable(string(as.org))
			break
		}
	}
	return p
}

// first returns the first word that is not empty.
func first(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// word is a string.
type word string

// UnmarshalMaxMindDBCursor implements mmdbdata.CursorUnmarshaler.
func (w *word) UnmarshalMaxMindDBCursor(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	kind, err := c.Kind()
	if err != nil {
		return c, err
	}
	if kind != mmdbdata.KindString {
		return c.Skip()
	}
	s, next, err := c.ReadString()
	*w = word(s)
	return next, err
}

// code is a string, or the string in a map that is called "iso_code" or "code".
type code string

// UnmarshalMaxMindDBCursor implements mmdbdata.CursorUnmarshaler.
func (s *code) UnmarshalMaxMindDBCursor(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	kind, err := c.Kind()
	if err != nil {
		return c, err
	}
	if kind != mmdbdata.KindMap {
		return (*word)(s).UnmarshalMaxMindDBCursor(c)
	}
	m, err := c.Map()
	if err != nil {
		return c, err
	}
	var done mmdbdata.Cursor
	for {
		key, value, ok := m.Next(done)
		if !ok {
			return m.End()
		}
		if k := string(key); k == "iso_code" || k == "code" {
			done, err = (*word)(s).UnmarshalMaxMindDBCursor(value)
		} else {
			done, err = value.Skip()
		}
		if err != nil {
			return c, err
		}
	}
}

// number is the number of an autonomous system, as an integer or as "AS64496".
type number uint32

// UnmarshalMaxMindDBCursor implements mmdbdata.CursorUnmarshaler.
func (n *number) UnmarshalMaxMindDBCursor(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	kind, err := c.Kind()
	if err != nil {
		return c, err
	}
	switch kind {
	case mmdbdata.KindString:
		s, next, err := c.ReadString()
		if v, bad := strconv.ParseUint(strings.TrimPrefix(s, "AS"), 10, 32); bad == nil {
			*n = number(v)
		}
		return next, err
	case mmdbdata.KindUint16, mmdbdata.KindUint32, mmdbdata.KindUint64:
		v, next, err := c.ReadUint()
		if v == uint64(uint32(v)) {
			*n = number(v)
		}
		return next, err
	}
	return c.Skip()
}

// countryCode returns a code of two characters in upper case, "" for what is
// none. ZZ, which databases made from CLDR's names have, says "unknown" too.
func countryCode(s string) string {
	s = strings.ToUpper(s) // first: of two bytes there may be one left, as of the old long s
	if len(s) != 2 {
		return ""
	}
	letter := func(c byte) bool { return 'A' <= c && c <= 'Z' }
	if !letter(s[0]) || !letter(s[1]) && (s[1] < '0' || s[1] > '9') || s == "ZZ" {
		return ""
	}
	return s
}

func continentCode(s string) string {
	switch s = strings.ToUpper(s); s {
	case "AF", "AN", "AS", "EU", "NA", "OC", "SA":
		return s
	}
	return ""
}

// printable returns a text of a database as it can go into a header, a log or
// a terminal: no control characters, valid UTF-8, at most 256 bytes.
func printable(s string) string {
	const most = 256
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if len(s) <= most {
		return s
	}
	for s = s[:most]; !utf8.ValidString(s); {
		s = s[:len(s)-1]
	}
	return s
}
