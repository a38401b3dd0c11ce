package geo

import "testing"

// Every code of two letters: ISO 3166-1 has 249.
func TestContinentOf(t *testing.T) {
	count := map[string]int{}
	valid := 0
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string([]rune{a, b})
			continent := ContinentOf(code)
			count[continent]++
			if ValidCountry(code) {
				valid++
			}
			if continent != continentCode(continent) {
				t.Errorf("%s: got %q, which is no continent", code, continent)
			}
		}
	}
	if valid != 250 {
		t.Errorf("%d valid codes, want the 249 of ISO 3166-1 and XK", valid)
	}
	for continent, want := range map[string]int{"AF": 58, "AN": 5, "AS": 52, "EU": 53, "NA": 42, "OC": 27, "SA": 14} {
		if count[continent] != want {
			t.Errorf("%s: %d countries, want %d", continent, count[continent], want)
		}
	}
	for code, want := range map[string]string{
		"SE": "EU", "XK": "EU", "RU": "EU", "CY": "EU", "TR": "AS", "GE": "AS", "TL": "OC", "UM": "OC", "US": "NA", "PA": "NA",
		"AQ": "AN", "AN": "NA", "GF": "SA", "RE": "AF", "EG": "AF", "": "", "EU": "", "ZZ": "", "se": "", "SWE": "",
	} {
		if got := ContinentOf(code); got != want {
			t.Errorf("%q: got %q, want %q", code, got, want)
		}
	}
}

func TestValidCountry(t *testing.T) {
	for code, want := range map[string]bool{
		"SE": true, "GB": true, "SS": true, "CW": true, "XK": true,
		"UK": false, "EU": false, "AN": false, "AP": false, "A1": false, "ZZ": false, "XX": false, "SU": false, "YU": false,
		"se": false, "": false, "S": false, "SWE": false, "unknown": false,
	} {
		if got := ValidCountry(code); got != want {
			t.Errorf("%q: got %t, want %t", code, got, want)
		}
	}
}
