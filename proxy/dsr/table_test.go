package dsr

import (
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestSlotsAsRecorded(t *testing.T) {
	b, err := os.ReadFile("testdata/slots.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		weights, want, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || weights == "#" {
			continue
		}
		c := testConfig()
		c.Servers = nil
		for i, word := range strings.Split(weights, ",") {
			w, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			c.Servers = append(c.Servers, Server{Addr: netip.AddrFrom4([4]byte{10, 9, 1, byte(i + 1)}), Weight: w})
		}
		var got []byte
		for _, s := range newTable(t, c).slots {
			got = append(got, '1'+byte(s.index))
		}
		if string(got) != want {
			t.Errorf("weights %s:\ngot  %s\nwant %s", weights, got, want)
		}
	}
}

func TestSlotsAddUp(t *testing.T) {
	for n := 1; n <= 600; n += 13 {
		c := testConfig()
		c.Servers = make([]Server, n)
		for i := range c.Servers {
			if i%5 != 4 {
				c.Servers[i] = Server{Addr: netip.AddrFrom4([4]byte{10, 8, byte(i >> 8), byte(i)}), Weight: 1<<31 - 1}
			}
		}
		sum := 0
		table := newTable(t, c)
		for _, s := range table.servers {
			sum += s.slots
			if s.index%5 == 4 {
				t.Errorf("%d servers: %d has no address", n, s.index)
			}
		}
		if sum != slotCount || slices.Contains(table.slots[:], nil) {
			t.Errorf("%d servers: %d slots dealt", n, sum)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, tt := range []struct {
		edit func(*Config)
		want string
	}{
		{func(c *Config) { c.Address = netip.Addr{} }, "service address missing: direct server return needs an IPv4 address of the service's own"},
		{func(c *Config) { c.Address = netip.IPv4Unspecified() }, "service address 0.0.0.0: direct server return needs an IPv4 address of the service's own"},
		{func(c *Config) { c.Address = netip.MustParseAddr("2001:db8::1") }, "service address 2001:db8::1: direct server return needs an IPv4 address of the service's own"},
		{func(c *Config) { c.Servers[1].Addr = netip.MustParseAddr("2001:db8::1") }, "server 1, 2001:db8::1: direct server return needs servers with IPv4 addresses"},
		{func(c *Config) { c.Servers[1].Addr = service }, "server 1 has the service address 10.9.0.100: expected the server's own address"},
		{func(c *Config) { c.Servers[0].Addr = ourAddr.Addr() }, "server 0, 10.9.0.3, is this host: direct server return needs other hosts"},
	} {
		c := testConfig()
		tt.edit(&c)
		_, err := compile(c, host{mac: ourMAC, networks: []netip.Prefix{ourAddr}}, nil)
		if err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func TestWithoutServers(t *testing.T) {
	c := testConfig()
	c.Servers = nil
	if a := newTable(t, c).decide(tcpFrame(clientAddr, 5000, 80, flagSYN), start0); a.verdict != drop {
		t.Errorf("verdict %d, want drop", a.verdict)
	}
}

// asked lists the seconds in which a table asks for its first server, and when it
// gives it up.
func asked(table *table, until int, answer func(second int) bool) (seconds, lost []int) {
	for second := range until {
		now := start0.Add(time.Duration(second) * time.Second)
		send := func(frame []byte) {
			if p, _ := parseARP(frame[ethernetLen:]); p.target == server1.As4() {
				seconds = append(seconds, second)
			}
		}
		table.requests(now, send, func(s *server) { lost = append(lost, second) })
		if answer(second) {
			table.decide(isAt(server1, mac1), now)
		}
	}
	return seconds, lost
}

func TestRequests(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers func(second int) bool
		seconds []int
		lost    []int
	}{
		{"answers", func(int) bool { return true }, []int{0}, nil},
		{"answers once", func(s int) bool { return s == 0 }, []int{0, 60, 61, 62, 63, 64}, []int{63}},
		{"answers when asked", func(s int) bool { return s%60 == 0 }, []int{0, 60}, nil},
		{"answers late", func(s int) bool { return s == 4 }, []int{0, 1, 2, 3, 4, 64}, []int{3}},
	} {
		c := testConfig()
		c.Servers = c.Servers[:1]
		table, err := compile(c, host{mac: ourMAC}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if seconds, lost := asked(table, 65, tt.answers); !slices.Equal(seconds, tt.seconds) || !slices.Equal(lost, tt.lost) {
			t.Errorf("%s: asked at %d, lost at %d; want %d, %d", tt.name, seconds, lost, tt.seconds, tt.lost)
		}
	}
}

func TestRequestFrame(t *testing.T) {
	for _, tt := range []struct {
		networks []netip.Prefix
		sender   string
	}{
		{nil, "00000000"}, // as pen 0.34.1
		{[]netip.Prefix{netip.MustParsePrefix("192.0.2.3/24"), ourAddr}, "0a090003"},
		{[]netip.Prefix{netip.MustParsePrefix("192.0.2.3/24")}, "00000000"},
	} {
		c := testConfig()
		c.Servers = c.Servers[:1]
		table, err := compile(c, host{mac: ourMAC, networks: tt.networks}, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := string(unhex(t, "ffffffffffff 0200000000aa 0806 0001 0800 06 04 0001 0200000000aa"+tt.sender+"000000000000 0a090001"))
		table.requests(start0, func(frame []byte) {
			if string(frame) != want {
				t.Errorf("got  %x\nwant %x", frame, want)
			}
		}, nil)
	}
}

// A server that is listed twice is one neighbour, asked once.
func TestServerListedTwice(t *testing.T) {
	c := testConfig()
	c.Servers = []Server{{Addr: server1}, {Addr: server2}, {Addr: server1, Weight: 3}}
	table, err := compile(c, host{mac: ourMAC}, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	table.requests(start0, func([]byte) { n++ }, nil)
	table.decide(isAt(server1, mac1), start0)
	if mac, isUp, _ := table.servers[2].lookup(); n != 2 || mac != mac1 || !isUp {
		t.Errorf("%d requests; server 2 at %s, up %t", n, mac, isUp)
	}
}
