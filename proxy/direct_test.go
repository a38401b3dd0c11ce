package proxy

import (
	"net/netip"
	"testing"
)

func TestFrameAddress(t *testing.T) {
	four, six := netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("[2001:db8::1]:80")
	for _, tt := range []struct {
		addrs []netip.AddrPort
		want  netip.Addr
	}{
		{nil, netip.Addr{}},
		{[]netip.AddrPort{six, four}, four.Addr()},
		{[]netip.AddrPort{six}, six.Addr()},
	} {
		if got := frameAddress(tt.addrs); got != tt.want {
			t.Errorf("frameAddress(%v) = %v, want %v", tt.addrs, got, tt.want)
		}
	}
}
