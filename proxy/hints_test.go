package proxy

import (
	"io"
	"strings"
	"testing"

	"edgepen/proxy/backend"
)

// TestClientsThatSpeakSomethingElseAreHinted: whoever has forgotten a certificate or --proxy-protocol finds the hint in the log, at the level that is always written.
func TestClientsThatSpeakSomethingElseAreHinted(t *testing.T) {
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
	for _, tt := range []struct {
		name, says, hint string
		tls              bool
	}{
		{"TLS", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "the client speaks TLS", false},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2 without TLS", false},
		{"PROXY v1", "PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "--proxy-protocol", false},
		{"PROXY v2", v2, "--proxy-protocol", false},
		{"PROXY v1 and TLS", "PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\n\x16\x03", "--proxy-protocol", true},
		{"PROXY v2 and TLS", v2 + "\x16\x03", "--proxy-protocol", true},
		{"no request", "(((\r\n\r\n", "", false},
		{"HTTP", "GET / HTTP/1.0\r\n\r\n", "", true},
	} {
		p, log := start(t, func(c *Config) {
			c.HTTP, c.Debug = true, 0
			c.Servers = []backend.Spec{{Address: "127.0.0.1", Port: 1}}
			if tt.tls {
				c.Certificates.SelfSigned = "localhost"
			}
		})
		client := dial(t, address(p, 0))
		io.WriteString(client, tt.says) //nolint:errcheck // the answer is what counts
		io.Copy(io.Discard, client)     //nolint:errcheck // a reset is an end too
		if tt.hint == "" {
			closes(t, p)
		}
		if tt.hint == "" && strings.Contains(log.String(), "hint=") {
			t.Errorf("%s: %s", tt.name, log)
		}
		until(t, tt.name+": "+tt.hint, func() bool { return strings.Contains(log.String(), tt.hint) })
	}
}
