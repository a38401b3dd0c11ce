package limit

import (
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		config Config
		want   string // in the error; "" for none
	}{
		{Config{}, ""},
		{Config{Concurrent: 5, PerSecond: 0.1, Burst: 3, Failures: 1e9, V4: 32, V6: 128, Prefixes: MaxPrefixes}, ""},
		{Config{Concurrent: -1}, "connections at once: -1: expected 0 to 2147483647"},
		{Config{Burst: -2}, "burst"},
		{Config{V4: 33}, "IPv4 prefixes: 33: expected 0 to 32"},
		{Config{V6: 129}, "IPv6 prefixes: 129: expected 0 to 128"},
		{Config{Prefixes: MaxPrefixes + 1}, "prefixes: 16777217"},
		{Config{Handshakes: -1}, "handshakes at once: -1"},
		{Config{PerSecond: -0.5}, "new connections per second: -0.5: expected 0 or a positive number"},
		{Config{Failures: math.NaN()}, "failed handshakes per minute: NaN"},
		{Config{HandshakesPerSecond: math.Inf(1)}, "handshakes per second: +Inf"},
	} {
		err := test.config.Check()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %v, want %q", test.config, err, test.want)
		}
	}
}

// TestSane: whatever a Config says, what is made of it is in range.
func TestSane(t *testing.T) {
	for _, test := range []struct{ config, want Config }{
		{Config{}, Config{Burst: 1, V4: 32, V6: 64, Prefixes: DefaultPrefixes}},
		{
			Config{Concurrent: -3, PerSecond: math.NaN(), Burst: -1, Failures: math.Inf(1), V4: 99, V6: 999, Prefixes: math.MaxInt},
			Config{Burst: 1, V4: 32, V6: 128, Prefixes: MaxPrefixes},
		},
		{Config{PerSecond: 12.5, V4: 24, V6: 48, Prefixes: 9}, Config{PerSecond: 12.5, Burst: 12, V4: 24, V6: 48, Prefixes: 9}},
		{Config{PerSecond: 1e300}, Config{PerSecond: 1e300, Burst: math.MaxInt32, V4: 32, V6: 64, Prefixes: DefaultPrefixes}},
	} {
		got := test.config.sane()
		if got != test.want {
			t.Errorf("%+v becomes %+v, want %+v", test.config, got, test.want)
		}
		if err := got.Check(); err != nil {
			t.Error(err)
		}
	}
}

func TestReasons(t *testing.T) {
	for r, want := range map[Reason]string{
		OK: "ok", TooMany: "too many connections at once", TooFast: "too many new connections",
		TooManyFailures: "too many failed handshakes", 77: "reason 77",
	} {
		if r.String() != want {
			t.Errorf("%d is %q, want %q", r, r, want)
		}
	}
}

// TestPrefixes: the prefixes of an address are those that netip finds.
func TestPrefixes(t *testing.T) {
	for _, test := range []struct {
		config Config
		addr   string
		want   string
	}{
		{Config{}, "192.0.2.77", "192.0.2.77/32"},
		{Config{V4: 24}, "192.0.2.77", "192.0.2.0/24"},
		{Config{V4: 1}, "192.0.2.77", "128.0.0.0/1"},
		{Config{}, "::ffff:192.0.2.77", "192.0.2.77/32"},
		{Config{}, "2001:db8:1:2345:6:7:8:9", "2001:db8:1:2345::/64 2001:db8:1:2300::/56 2001:db8:1::/48"},
		{Config{}, "fe80::1%eth0", "fe80::/64 fe80::/56 fe80::/48"},
		{Config{}, "::", "::/64 ::/56 ::/48"},
		{Config{V6: 128}, "2001:db8::9", "2001:db8::9/128 2001:db8::/56 2001:db8::/48"},
		{Config{V6: 127}, "2001:db8::9", "2001:db8::8/127 2001:db8::/56 2001:db8::/48"},
		{Config{V6: 60}, "2001:db8:0:ffff::9", "2001:db8:0:fff0::/60 2001:db8:0:ff00::/56 2001:db8::/48"},
		{Config{V6: 56}, "2001:db8:0:ffff::9", "2001:db8:0:ff00::/56 2001:db8::/48"},
		{Config{V6: 48}, "2001:db8:0:ffff::9", "2001:db8::/48"},
		{Config{V6: 1}, "ffff::9", "8000::/1"},
	} {
		test.config.Concurrent, test.config.Prefixes = 1, 100
		table := New(test.config, time.Now())
		var p path
		table.rules.Load().at(netip.MustParseAddr(test.addr), &p)
		got := []string{}
		for i := range p.levels {
			got = append(got, p.keys[i].prefix().String())
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%+v, %s: %s, want %s", test.config, test.addr, got, test.want)
		}
	}
}
