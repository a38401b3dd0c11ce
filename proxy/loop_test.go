package proxy

import (
	"strings"
	"testing"

	"edgepen/proxy/backend"
)

// TestServersThatAreListeners: what would come back to us for ever is refused, and nothing else.
func TestServersThatAreListeners(t *testing.T) {
	for _, tt := range []struct {
		listen, server string
		port           uint16
		loop           bool
	}{
		{"80", "127.0.0.1", 80, true},
		{"80", "127.0.0.1", 81, false},
		{"80", "localhost", 80, true},
		{"80", "::1", 80, false},
		{"[::]:80", "127.0.0.1", 80, true},
		{"[::]:80", "::1", 80, true},
		{"80", "192.0.2.1", 80, false},
		{"80", "www.example", 80, false},
		{"192.0.2.1:80", "192.0.2.1", 80, true},
		{"192.0.2.1:80", "127.0.0.1", 80, false},
		{"127.0.0.1:80", "0.0.0.0", 80, true},
		{"127.0.0.2:80", "127.0.0.1", 80, false},
		{"/run/a", "/run/a", 1, true},
		{"/run/a", "/run/b", 1, false},
		{"1", "/run/b", 1, false},
		{"127.0.0.1:0", "127.0.0.1", 0, false},
	} {
		c := DefaultConfig()
		c.Listeners = []Listener{{Address: tt.listen}}
		server := backend.Spec{Address: tt.server, Port: tt.port}
		c.Servers = []backend.Spec{{}, server, {Address: "192.0.2.99", Port: 1}}
		if err := c.check(); err != nil {
			t.Errorf("beside another: %v", err)
		}
		if got := strings.Join(c.idle(), ""); strings.Contains(got, " itself: ") != tt.loop {
			t.Errorf("%s on %s beside another: %q", tt.server, tt.listen, got)
		}
		c.Servers = c.Servers[:2]
		for _, kind := range []string{"server", "emergency server", "abuse server"} {
			err := c.check()
			if tt.loop != (err != nil) || tt.loop && !strings.Contains(err.Error(), "is the listening address "+tt.listen+" itself") {
				t.Errorf("%s on %s, %s %s: %v", kind, tt.listen, tt.server, kind, err)
			}
			c.Servers, c.Emergency = nil, server
			if kind == "emergency server" {
				c.Emergency, c.Abuse = backend.Spec{}, server
			}
		}
		c.Emergency, c.Abuse, c.Servers = backend.Spec{}, backend.Spec{}, []backend.Spec{server}
		c.Servers[0].ACL = 5
		if err := c.check(); err != nil {
			t.Errorf("kept away by a list: %v", err)
		}
	}
}
