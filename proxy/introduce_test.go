package proxy

import (
	"net/netip"
	"testing"

	"edgepen/proxy/proxyproto"
	"edgepen/proxy/udp"
)

// TestFlowsKeepTheirIdentifier when they are introduced again, to another server; what the proxy in front has said of its client goes along.
func TestFlowsKeepTheirIdentifier(t *testing.T) {
	s := &snapshot{Config: Config{ProxyOut: 2}}
	client, local := netip.MustParseAddrPort("192.0.2.1:4711"), netip.MustParseAddrPort("192.0.2.2:53")
	said := proxyproto.Header{Client: client, Server: netip.MustParseAddrPort("192.0.2.3:853"), TLS: true, Version: "TLSv1.3", ALPN: "dot",
		Verified: true, CommonName: "a client", Certificate: "DER"}
	head, err := proxyproto.Format(2, said)
	if err != nil {
		t.Fatal(err)
	}
	said.Certificate = "" // each datagram would be longer by it
	ids := map[string]bool{}
	for _, c := range []struct {
		origin udp.Origin
		want   proxyproto.Header
	}{
		{udp.Origin{Client: client, Local: local}, proxyproto.Header{Client: client, Server: local, Datagram: true}},
		{udp.Origin{Client: client, Local: local}, proxyproto.Header{Client: client, Server: local, Datagram: true}},
		{udp.Origin{Client: client, Local: local, Said: head}, said},
		{udp.Origin{}, proxyproto.Header{}}, // on a Unix socket
	} {
		id := ""
		for _, denied := range []string{"", "acl", ""} {
			if err := (datagrams{}).introduce(s, &c.origin, denied); err != nil {
				t.Fatal(err)
			}
			got, err := parseAny(c.origin.Head)
			if c.origin.Client.IsValid() && id == "" {
				id = got.UniqueID
				if ids[id] || len(id) != 32 {
					t.Errorf("identifier %q", id)
				}
				ids[id] = true
			}
			if c.want.Denied, c.want.UniqueID = denied, id; !c.want.Client.IsValid() {
				c.want.Denied = "" // what else is said of nobody counts for nothing
			}
			if err != nil || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		}
	}
	o := udp.Origin{Client: client, Local: local, Head: head}
	if err := (datagrams{}).introduce(&snapshot{}, &o, ""); err != nil || o.Head != nil {
		t.Errorf("%q, %v where nobody is introduced", o.Head, err)
	}
}
