//go:build nohttp3

package proxy

import (
	"errors"
	"testing"

	"edgepen/proxy/h3"
)

// TestHTTP3NotBuilt: a program without HTTP/3 does not seem to have it.
func TestHTTP3NotBuilt(t *testing.T) {
	c := DefaultConfig()
	c.HTTP, c.HTTP3, c.Listeners, c.Certificates.SelfSigned = true, true, []Listener{{Address: "8443"}}, "localhost"
	if err := c.check(); !errors.Is(err, h3.ErrNotBuilt) {
		t.Errorf("HTTP/3 is accepted: %v", err)
	}
}
