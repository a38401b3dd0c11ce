package acl

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// UnknownCountry is the Country of an entry for the addresses that no database
// puts in a country.
const UnknownCountry = "unknown"

// Geography is what entries about places ask. Not ok means unknown. It may be
// asked by many goroutines at the same time.
type Geography interface {
	// Country is the country that an address is in: ISO 3166 alpha-2 or another
	// code of two letters, upper case.
	Country(netip.Addr) (code string, ok bool)
	// Continent is AF, AN, AS, EU, NA, OC or SA.
	Continent(netip.Addr) (code string, ok bool)
	// ASN is the autonomous system that an address is in.
	ASN(netip.Addr) (number uint32, ok bool)
	// KnowsCountry reports whether a code, in upper case, is a country's.
	KnowsCountry(code string) bool
	// Describe names the databases, for messages.
	Describe() string
}

// Countries is a Geography of countries alone, as [Compile] takes it.
type Countries interface {
	Country(netip.Addr) (code string, ok bool)
}

// onlyCountries knows no codes from others, nor anything else.
type onlyCountries struct{ Countries }

func (onlyCountries) Continent(netip.Addr) (string, bool) { return "", false }
func (onlyCountries) ASN(netip.Addr) (uint32, bool)       { return 0, false }
func (onlyCountries) KnowsCountry(string) bool            { return true }
func (onlyCountries) Describe() string                    { return "" }

// parseCountry reads a code or unknown.
func parseCountry(word string) (string, error) {
	if strings.EqualFold(word, UnknownCountry) {
		return UnknownCountry, nil
	}
	code := strings.ToUpper(word)
	if len(code) != 2 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "", fmt.Errorf("country %q is not a code of two letters, as in SE, nor unknown", word)
	}
	return code, nil
}

const continentForm = "AF, AN, AS, EU, NA, OC or SA"

func parseContinent(word string) (string, error) {
	code := strings.ToUpper(word)
	if !slices.Contains([]string{"AF", "AN", "AS", "EU", "NA", "OC", "SA"}, code) {
		return "", fmt.Errorf("continent %q is not one of %s", word, continentForm)
	}
	return code, nil
}

// parseASN reads a number with or without AS before it. 0 is nobody's (RFC 7607).
func parseASN(word string) (uint32, error) {
	digits := word
	if len(word) > 2 && strings.EqualFold(word[:2], "AS") {
		digits = word[2:]
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("asn %q is not the number of an autonomous system, from 1 to 4294967295, as in 64500 or AS64500", word)
	}
	return uint32(n), nil
}

// placeRules are the entries about places: by what they ask for, the first.
type placeRules struct {
	geography        Geography
	country, asn     int // the first of their kind; none if there are none
	continent        int
	countries        map[string]int
	continents       map[string]int
	networks         map[uint32]int
	countryIsUnknown int
	answersCountry   bool
	answersContinent bool
	answersASN       bool
}

func newPlaceRules(o Options) placeRules {
	there := o.Geography != nil
	return placeRules{
		geography: o.Geography, country: none, asn: none, continent: none, countryIsUnknown: none,
		answersCountry: there && o.HasCountry, answersContinent: there && o.HasContinent, answersASN: there && o.HasASN,
	}
}

// add adds an entry, for which there has to be an answer.
func (r *placeRules) add(e Entry, index int) error {
	switch {
	case e.Country != "" && !r.answersCountry:
		return fmt.Errorf("needs a database: --geoip FILE")
	case e.Continent != "" && !r.answersContinent:
		return fmt.Errorf("needs a database of continents or countries: --geoip FILE")
	case e.ASN != 0 && !r.answersASN:
		return fmt.Errorf("needs a database of autonomous systems, as GeoLite2-ASN.mmdb: --geoip FILE")
	case e.Country == UnknownCountry:
		r.countryIsUnknown = min(r.countryIsUnknown, index)
		r.country = min(r.country, index)
	case e.Country != "":
		if !r.geography.KnowsCountry(e.Country) {
			return fmt.Errorf("asks for no country: %s is neither in ISO 3166 (alpha-2) nor in a database", e.Country)
		}
		keepFirst(&r.countries, e.Country, index)
		r.country = min(r.country, index)
	case e.Continent != "":
		keepFirst(&r.continents, e.Continent, index)
		r.continent = min(r.continent, index)
	default:
		keepFirst(&r.networks, e.ASN, index)
		r.asn = min(r.asn, index)
	}
	return nil
}

// earlier finds the first of these entries that matches, if it stands before
// entry match; otherwise it is match. What no entry before match asks for is not
// looked up.
func (r *placeRules) earlier(addr netip.Addr, match int) int {
	if r.country < match {
		code, ok := r.geography.Country(addr)
		if !ok {
			match = min(match, r.countryIsUnknown)
		} else if i, asked := r.countries[code]; asked {
			match = min(match, i)
		}
	}
	if r.continent < match {
		code, _ := r.geography.Continent(addr)
		if i, asked := r.continents[code]; asked {
			match = min(match, i)
		}
	}
	if r.asn < match {
		number, _ := r.geography.ASN(addr)
		if i, asked := r.networks[number]; asked {
			match = min(match, i)
		}
	}
	return match
}
