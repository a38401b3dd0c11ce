package proxy

import (
	"net/netip"
	"testing"

	"edgepen/proxy/backend"
)

// An idle connection goes when its server's name stands for other addresses.
func TestIdlersFollowNames(t *testing.T) {
	server := newServer(t, "one")
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{server.spec(t, "")}
		c.Resolve = 0
	})
	p.idlers.open(p.now.Load())
	d := p.idlers.have[0]
	if !p.now.Load().has(d) {
		t.Error("an idle connection to a server that stays is unwanted")
	}
	p.useAddresses(map[backend.Spec][]netip.AddrPort{named(d.server.Spec): {netip.MustParseAddrPort("127.0.0.2:1")}})
	if p.now.Load().has(d) {
		t.Error("an idle connection to the former address is wanted")
	}
}
