package tls

import (
	"strings"
	"testing"
)

func TestHostName(t *testing.T) {
	for name, want := range map[string]string{
		"": "", "Example.COM": "example.com", "a_b-1.x": "a_b-1.x", "../x": "", "a..b": "", "a/b": "", "a b": "", "bücher.de": "",
		"a\n": "", "x.": "", strings.Repeat("a", 64): "", strings.Repeat("a.", 127) + "a": "",
	} {
		if got := hostName(name); got != want {
			t.Errorf("hostName(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestOffered(t *testing.T) {
	h := Hello{Versions: []uint16{0x7a7a, 0x0304, 0x0303, 0x0300}}
	if got := h.Offered(); got != "TLS 1.3, TLS 1.2, SSLv3" {
		t.Errorf("offered %q", got)
	}
	h.Versions = make([]uint16, 100)
	if got := h.Offered(); strings.Count(got, ",") != 7 {
		t.Errorf("offered %q", got)
	}
}
