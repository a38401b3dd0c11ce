// Package geo finds the country of an address in MaxMind databases (.mmdb),
// those of the types that have countries: country, city and enterprise.
package geo

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/oschwald/geoip2-golang/v2"
)

// DB is one or more open databases. It may be asked by many goroutines at the
// same time.
type DB struct{ files []file }

type file struct {
	path   string
	reader *geoip2.Reader
}

// Open reads databases, at least one. They are read into memory as a whole, not
// mapped: a file that is overwritten in place afterwards, as downloads do, would
// end the process. Errors name the file and what was expected of it.
func Open(path ...string) (*DB, error) {
	if len(path) == 0 {
		return nil, errors.New("no database to open: expected the path of an .mmdb file")
	}
	db := new(DB)
	for _, p := range path {
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("country database: %v", err)
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("country database %s is not a regular file", p)
		}
		bytes, err := readBounded(p)
		if err != nil {
			return nil, fmt.Errorf("country database: %v", err)
		}
		reader, err := open(bytes)
		if err != nil {
			return nil, fmt.Errorf("country database %s: %v", p, err)
		}
		db.files = append(db.files, file{p, reader})
	}
	return db, nil
}

// maxSize is more than any database has; what is larger is something else.
const maxSize = 1 << 30

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	bytes, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err == nil && len(bytes) > maxSize {
		err = fmt.Errorf("%s has more than %d bytes", path, maxSize)
	}
	return bytes, err
}

// open checks what can be checked at once: the frame, the type, and whether
// questions get an answer or at least a clean "not found".
func open(bytes []byte) (*geoip2.Reader, error) {
	const expected = "expected a country or city database in MaxMind's .mmdb format"
	reader, err := geoip2.OpenBytes(bytes)
	var unknown geoip2.UnknownDatabaseTypeError
	if errors.As(err, &unknown) {
		return nil, fmt.Errorf("database type %q: %s", unknown.DatabaseType, expected)
	}
	if err != nil {
		return nil, fmt.Errorf("damaged, or no database at all: %v: %s", err, expected)
	}
	_, err = reader.Country(netip.IPv4Unspecified())
	var wrong geoip2.InvalidMethodError
	if errors.As(err, &wrong) {
		return nil, fmt.Errorf("database type %q has no countries: %s", wrong.DatabaseType, expected)
	}
	if err != nil {
		return nil, fmt.Errorf("damaged: %v", err)
	}
	return reader, nil
}

// Country is the ISO 3166 alpha-2 code, in upper case, of the country that an
// address is in, by the first database that knows. Not ok is an address that is
// in none of them, or in a damaged part. An IPv4-mapped address counts as IPv4.
func (d *DB) Country(addr netip.Addr) (code string, ok bool) {
	if !addr.IsValid() {
		return "", false
	}
	addr = addr.Unmap().WithZone("")
	for _, f := range d.files {
		record, err := f.reader.Country(addr)
		if err == nil && len(record.Country.ISOCode) == 2 {
			return strings.ToUpper(record.Country.ISOCode), true
		}
	}
	return "", false
}

// Describe names each database with its type and the day it was built, UTC.
func (d *DB) Describe() string {
	var words []string
	for _, f := range d.files {
		meta := f.reader.Metadata()
		built := meta.BuildTime().UTC().Format(time.DateOnly)
		words = append(words, fmt.Sprintf("%s (%s, built %s)", f.path, meta.DatabaseType, built))
	}
	return strings.Join(words, ", ")
}

// Close gives the memory back, and nobody may ask the DB any more. A DB that is
// replaced while connections are being made is better left to the garbage
// collector, which knows when the last of them is done.
func (d *DB) Close() {
	for _, f := range d.files {
		f.reader.Close() // of memory: cannot fail
	}
}
