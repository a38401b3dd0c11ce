// Package geo finds the country, the continent and the autonomous system of an
// address in databases of MaxMind's format (.mmdb), and has a country database
// of its own built in.
//
// What a database can answer is told by its records, not by its name. Read are
//
//   - MaxMind's GeoLite2 and GeoIP2 Country, City, Enterprise, ASN and ISP, and
//     what is laid out like them, as DB-IP's are: {"country": {"iso_code": …}},
//     {"continent": {"code": …}}, {"autonomous_system_number": …} at the top or
//     in "traits";
//   - the flat records of IPinfo and ip-location-db: "country_code" or "country",
//     "continent_code" or "continent", "asn": "AS64496".
//
// The country is the one where the address is thought to be, not the one that
// it is registered in or that an embassy represents.
//
// A DB reads each record once, when it is opened, so that a damaged file is an
// error then. The format has no checksum: damage that leaves the search tree
// and all records well-formed cannot be told from another database. It gives
// wrong answers or none, as the file says, but nothing here panics, and what
// cannot be found is unknown, which is never a country.
package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Place is what databases say of an address.
type Place struct {
	// Country is an ISO 3166 alpha-2 code in upper case, or another code of two
	// characters that a database has, such as XK; "" is unknown.
	Country string
	// Continent is AF, AN, AS, EU, NA, OC or SA; "" is unknown. Of a database that
	// has countries alone it is ContinentOf's.
	Continent string
	// ASN is the number of the autonomous system; 0 is unknown.
	ASN uint32
	// Org is what the database that has the ASN calls its operator: UTF-8, at most
	// 256 bytes, nothing unprintable; "" is unknown.
	Org string
}

// Needs is a set of questions that databases may be able to answer.
type Needs uint8

// The questions.
const (
	Country Needs = 1 << iota
	Continent
	ASN
)

// DB is one or more databases, which never change. It may be asked by many
// goroutines at the same time. A nil DB knows nothing.
type DB struct {
	files     []*database
	has       Needs
	countries map[string]struct{} // that occur in any of files
}

// Open reads databases, at least one. They are read into memory as a whole, not
// mapped: a file that is overwritten in place afterwards, as downloads do, would
// end the process. Errors name the file and what was expected of it.
func Open(path ...string) (*DB, error) {
	if len(path) == 0 {
		return nil, errors.New("no database to open: expected the path of an .mmdb file")
	}
	return new(Store).Open(path, false)
}

func newDB(files []*database) *DB {
	d := &DB{files: files, countries: map[string]struct{}{}}
	for _, f := range files {
		d.has |= f.has
		for i := range f.places {
			d.countries[f.places[i].Country] = struct{}{}
		}
	}
	delete(d.countries, "")
	return d
}

// Lookup returns all that the databases know of an address. Of each field that
// is what the first database says that knows it; Org goes with ASN. An
// IPv4-mapped address counts as IPv4. Of the zero Addr, which is no address,
// nothing is known.
func (d *DB) Lookup(addr netip.Addr) Place {
	var all Place
	for _, f := range d.each() {
		p := f.find(addr)
		if p == nil {
			continue
		}
		if all.Country == "" {
			all.Country = p.Country
		}
		if all.Continent == "" {
			all.Continent = p.Continent
		}
		if all.ASN == 0 {
			all.ASN, all.Org = p.ASN, p.Org
		}
	}
	return all
}

// Country is Lookup's Country; not ok is an address of which no database knows
// it. It does not allocate, nor do Continent and ASN.
func (d *DB) Country(addr netip.Addr) (code string, ok bool) {
	for _, f := range d.each() {
		if f.has&Country == 0 {
			continue
		}
		if p := f.find(addr); p != nil && p.Country != "" {
			return p.Country, true
		}
	}
	return "", false
}

// Continent is Lookup's Continent; not ok is an address of which no database
// knows it.
func (d *DB) Continent(addr netip.Addr) (code string, ok bool) {
	for _, f := range d.each() {
		if f.has&Continent == 0 {
			continue
		}
		if p := f.find(addr); p != nil && p.Continent != "" {
			return p.Continent, true
		}
	}
	return "", false
}

// ASN is Lookup's ASN; not ok is an address of which no database knows it.
func (d *DB) ASN(addr netip.Addr) (number uint32, ok bool) {
	for _, f := range d.each() {
		if f.has&ASN == 0 {
			continue
		}
		if p := f.find(addr); p != nil && p.ASN != 0 {
			return p.ASN, true
		}
	}
	return 0, false
}

// Has reports whether the databases can answer all of n: whether there is at
// least one record with it, for each.
func (d *DB) Has(n Needs) bool {
	if d == nil {
		return n == 0
	}
	return d.has&n == n
}

// KnowsCountry reports whether a code, in upper case, is a country's: one of
// ValidCountry's, or one that occurs in a database.
func (d *DB) KnowsCountry(code string) bool {
	if ValidCountry(code) {
		return true
	}
	if d == nil {
		return false
	}
	_, ok := d.countries[code]
	return ok
}

// Describe names each database with its type and the day it was built, UTC.
func (d *DB) Describe() string {
	var words []string
	for _, f := range d.each() {
		built := f.built.UTC().Format(time.DateOnly)
		words = append(words, fmt.Sprintf("%s (%s, built %s)", f.name, f.kind, built))
	}
	return strings.Join(words, ", ")
}

// Close does nothing: a DB is memory alone, some of which other DBs may share.
func (d *DB) Close() {}

func (d *DB) each() []*database {
	if d == nil {
		return nil
	}
	return d.files
}
