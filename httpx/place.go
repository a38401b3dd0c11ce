package httpx

import "strings"

// PlaceFields is the field lines for [Forward].Place: X-Geo-Country, X-Geo-Continent and X-Geo-ASN, each with its value or, where that is
// empty, with "unknown"; those of which wanted is false are left out.
func PlaceFields(country, continent, asn string, wantCountry, wantContinent, wantASN bool) string {
	var b strings.Builder
	for _, f := range []struct {
		wanted      bool
		name, value string
	}{{wantCountry, "X-Geo-Country", country}, {wantContinent, "X-Geo-Continent", continent}, {wantASN, "X-Geo-ASN", asn}} {
		switch {
		case !f.wanted:
		case f.value == "":
			line(&b, f.name, "unknown")
		default:
			line(&b, f.name, visible(f.value))
		}
	}
	return b.String()
}

// DeniedField is the field line for [Forward].Denied: X-Denied-Reason.
func DeniedField(reason string) string {
	var b strings.Builder
	line(&b, "X-Denied-Reason", visible(reason))
	return b.String()
}
