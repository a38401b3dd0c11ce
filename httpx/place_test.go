package httpx

import "testing"

func TestPlaceFields(t *testing.T) {
	if got, want := PlaceFields("SE", "", "64500", true, true, true), "X-Geo-Country: SE\r\nX-Geo-Continent: unknown\r\nX-Geo-ASN: 64500\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := PlaceFields("SE", "EU", "1", false, false, false); got != "" {
		t.Errorf("got %q", got)
	}
}

// TestPlaceAndDenialAreOurs: a client cannot say where it is or that it is denied, and a trusted proxy only where we do not.
func TestPlaceAndDenialAreOurs(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: a\r\nX-Geo-Country: US\r\nX_Geo_Country: US\r\nX-Denied-Reason: none\r\n\r\n"
	for _, tt := range []struct {
		trusted         bool
		place, denied   string
		country, reason string
	}{
		{false, "", "", "", ""},
		{true, "", "", "US", ""},
		{true, PlaceFields("SE", "", "", true, false, false), "", "SE", ""},
		{false, "", DeniedField("country"), "", "country"},
	} {
		var r Request
		if n, err := r.Parse([]byte(head), 1<<16); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		out := readRequest(t, r.AppendForward(nil, []byte(head), &Forward{Trusted: tt.trusted, Place: tt.place, Denied: tt.denied}))
		if c, d := out.Header.Get("X-Geo-Country"), out.Header.Get("X-Denied-Reason"); c != tt.country || d != tt.reason || len(out.Header["X-Geo-Country"]) > 1 {
			t.Errorf("%+v: country %q, reason %q", tt, c, d)
		}
	}
}
