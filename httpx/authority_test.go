package httpx

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func TestAuthority(t *testing.T) {
	for s, want := range map[string]bool{
		"example.com": true, "EXAMPLE.com:443": true, "a_b~c-d.e": true, "1.2.3.4": true, "h:0": true, "h:65535": true,
		"[::]": true, "[::1]:80": true, "[1:2:3:4:5:6:7:8]": true, "[::ffff:1.2.3.4]": true, "[1:2:3:4:5:6:1.2.3.4]": true,
		"a!$&'()*+;=": true, "h:00080": true,
		"": false, ":80": false, "h:": false, "h:65536": false, "h:1:2": false, "h:x": false, "h:+1": false, "h:000080": false,
		"a b": false, "a,b": false, "a/b": false, "a@b": false, "a%41": false, "a\\b": false, "a?b": false, "a#b": false, "\xc3\xa4": false, "a\"b": false,
		"[]": false, "[::1": false, "::1": false, "[::1]x": false, "[::1%25eth0]": false, "[v1.a]": false, "[:1]": false, "[1::2::3]": false,
		"[1:2:3:4:5:6:7:8:9]": false, "[1:2:3:4:5:6:7]": false, "[12345::]": false, "[1:2:3:4:5:6:7:1.2.3.4]": false, "[::1.2.3]": false,
		"[::1.2.3.256]": false, "[::01.2.3.4]": false, "[1:]": false, "[::1]:": false,
	} {
		if got := validAuthority([]byte(s)); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

// TestIPv6LikeNetip compares with the standard library on addresses and near misses.
func TestIPv6LikeNetip(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	parts := []string{":", ":", "::", "1", "ab", "0", "ffff", "12345", "1.2.3.4", "g", "::", ".", ":2:", ":3:4:5:"}
	accepted := 0
	for range 200_000 {
		s := ""
		for range 1 + random.IntN(9) {
			s += parts[random.IntN(len(parts))]
		}
		a, err := netip.ParseAddr(s)
		want := err == nil && a.Is6()
		if want {
			accepted++
		}
		if got := validIPv6([]byte(s)); got != want {
			t.Fatalf("%q: %v, net/netip says %v", s, got, want)
		}
	}
	if accepted < 1000 {
		t.Errorf("only %d of the addresses were valid", accepted)
	}
}
