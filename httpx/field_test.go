package httpx

import (
	"strings"
	"testing"
)

var knownNames = map[string]kind{
	"host": host, "content-length": contentLength, "transfer-encoding": transferEncoding, "connection": connection, "trailer": trailer,
	"expect": expect, "upgrade": upgrade, "te": hopByHop, "keep-alive": hopByHop, "proxy-connection": hopByHop,
	"proxy-authenticate": hopByHop, "proxy-authorization": hopByHop, "proxy-authentication-info": hopByHop, "http2-settings": hopByHop, "proxy": hopByHop,
	"x-forwarded-for": forwardedFor, "x-forwarded-proto": forwardedProto, "x-forwarded-host": forwardedHost, "x-forwarded-port": forwardedPort,
	"forwarded": forwarded, "x-real-ip": realIP, "via": via, "x-forwarded": provenance, "x-forwarded-server": provenance, "x-forwardedx": provenance,
	"client-cert": identity, "client-cert-chain": identity, "x-ssl-client": identity, "x-ssl-client-verify": identity, "x-ssl-client-s-dn": identity,
	"x-geo-country": place, "x-geo": place, "x-denied-reason": denial,
}

// saysWhence reports whether a field, its name in lower case, is about where a request comes from or who asks.
func saysWhence(name string) bool {
	for _, prefix := range []string{"x-ssl-client", "client-cert", "x-geo", "x-denied-reason"} {
		if name == prefix || strings.HasPrefix(name, prefix+"-") {
			return true
		}
	}
	return strings.HasPrefix(name, "x-forwarded") || name == "forwarded" || name == "x-real-ip"
}

func TestClassify(t *testing.T) {
	for name, want := range knownNames {
		for _, spelling := range []string{name, strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:]} {
			if got := classify([]byte(spelling)); got != want {
				t.Errorf("%s: kind %d, want %d", spelling, got, want)
			}
		}
		for _, mark := range "_.!#$%&'*+^`|~" {
			if !strings.Contains(name, "-") {
				break
			}
			if got := classify([]byte(strings.Replace(name, "-", string(mark), 1))); got != disguised {
				t.Errorf("%s with %c: kind %d", name, mark, got)
			}
		}
		for i := range name {
			near := name[:i] + "q" + name[i+1:]
			if got := classify([]byte(near)); got != other && knownNames[near] != got && !saysWhence(near) {
				t.Errorf("%s: kind %d, want none", near, got)
			}
		}
	}
	for _, name := range []string{"accept", "user-agent", "cookie", "content-type", "x-forwarder", "authorization", "a", "proxies", "client-certificate", "x-ssl-clients", "x-ssl"} {
		if got := classify([]byte(name)); got != other {
			t.Errorf("%s: kind %d, want none", name, got)
		}
	}
}

func TestValidValue(t *testing.T) {
	for c := range 256 {
		want := c == '\t' || c >= ' ' && c != 0x7f
		for length := range 20 {
			for at := range length {
				p := []byte(strings.Repeat("a", length))
				p[at] = byte(c)
				if got := validValue(p); got != want {
					t.Fatalf("byte %#x at %d of %d: %v", c, at, length, got)
				}
			}
		}
	}
}
