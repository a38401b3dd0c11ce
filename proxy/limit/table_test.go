package limit

import (
	"math"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
)

// A scene is a table at work, step by step.
type scene struct {
	*testing.T
	*Table
	now time.Time
}

func begin(t *testing.T, c Config) *scene {
	now := time.Now()
	return &scene{t, New(c, now), now}
}

// A refusal is a Verdict to be compared and shown.
type refusal struct {
	Reason
	netip.Prefix
}

func read(v Verdict) refusal { return refusal{v.Reason, v.Prefix()} }

func (r refusal) String() string { return r.Reason.String() + " from " + r.Prefix.String() }

// enter lets n connections in and expects the next one to be refused for why
// and prefix; or, with OK, does not try it.
func (s *scene) enter(n int, addr string, why Reason, prefix string) []Ticket {
	s.Helper()
	tickets := []Ticket{}
	for range n {
		k, v := s.Enter(netip.MustParseAddr(addr), s.now)
		if read(v) != (refusal{}) {
			s.Fatalf("connection %d of %d from %s: %v, want it let in", len(tickets)+1, n, addr, read(v))
		}
		tickets = append(tickets, k)
	}
	if why == OK {
		return tickets
	}
	want := refusal{why, netip.MustParsePrefix(prefix)}
	if _, v := s.Enter(netip.MustParseAddr(addr), s.now); read(v) != want {
		s.Fatalf("after %d connections from %s: %v, want %v", n, addr, read(v), want)
	}
	return tickets
}

func (s *scene) leave(tickets []Ticket) {
	for _, k := range tickets {
		k.Leave()
	}
}

func (s *scene) fail(n int, addr string) {
	for range n {
		s.Failed(netip.MustParseAddr(addr), s.now)
	}
}

func (s *scene) wait(d time.Duration) { s.now = s.now.Add(d) }

func TestConcurrent(t *testing.T) {
	s := begin(t, Config{Concurrent: 3})
	tickets := s.enter(3, "192.0.2.1", TooMany, "192.0.2.1/32")
	s.enter(0, "::ffff:192.0.2.1", TooMany, "192.0.2.1/32")
	s.enter(3, "192.0.2.2", TooMany, "192.0.2.2/32")
	s.leave(tickets[:2])
	s.enter(2, "192.0.2.1", TooMany, "192.0.2.1/32")
	s.enter(3, "2001:db8::1", TooMany, "2001:db8::/64")
	s.enter(0, "2001:db8::ffff", TooMany, "2001:db8::/64")
	s.enter(3, "2001:db8:0:1::1", TooMany, "2001:db8:0:1::/64")
	before := s.Stats()
	s.fail(100, "192.0.2.3")
	if got := s.Stats(); got != before {
		t.Errorf("failures count though they are not limited: %+v, then %+v", before, got)
	}
}

// TestWider: a client that has a /56 or a /48 to itself cannot use all of its
// /64s, and one that is refused takes nothing from its neighbours.
func TestWider(t *testing.T) {
	s := begin(t, Config{Concurrent: 3})
	a := s.enter(3, "2001:db8::1", TooMany, "2001:db8::/64")
	for range 10 {
		s.enter(0, "2001:db8::1", TooMany, "2001:db8::/64")
	}
	s.enter(3, "2001:db8:0:1::1", OK, "")
	s.enter(3, "2001:db8:0:2::1", OK, "")
	s.enter(2, "2001:db8:0:3::1", OK, "")
	s.enter(1, "2001:db8:0:4::1", TooMany, "2001:db8::/56")
	s.enter(0, "2001:db8:0:5::1", TooMany, "2001:db8::/56")
	for _, addr := range []string{"2001:db8:0:100::1", "2001:db8:0:200::1", "2001:db8:0:300::1"} {
		at := netip.MustParseAddr(addr).As16()
		for at[7] = range byte(4) {
			s.enter(3, netip.AddrFrom16(at).String(), OK, "")
		}
	}
	s.enter(0, "2001:db8:0:ff00::1", TooMany, "2001:db8::/48")
	s.enter(3, "2001:db8:1::1", TooMany, "2001:db8:1::/64")
	s.leave(a)
	s.enter(3, "2001:db8:0:ff00::1", TooMany, "2001:db8:0:ff00::/64")
	s.enter(0, "2001:db8:0:ff01::1", TooMany, "2001:db8::/48")
}

func TestPerSecond(t *testing.T) {
	s := begin(t, Config{PerSecond: 2, Burst: 5})
	s.leave(s.enter(5, "192.0.2.1", TooFast, "192.0.2.1/32"))
	s.wait(499 * time.Millisecond)
	s.enter(0, "192.0.2.1", TooFast, "192.0.2.1/32")
	s.wait(time.Millisecond)
	s.enter(1, "192.0.2.1", TooFast, "192.0.2.1/32")
	s.wait(time.Hour)
	s.enter(5, "192.0.2.1", TooFast, "192.0.2.1/32")

	s.enter(5, "2001:db8::1", TooFast, "2001:db8::/64")
	s.enter(5, "2001:db8:0:1::1", TooFast, "2001:db8:0:1::/64")
	s.enter(5, "2001:db8:0:2::1", OK, "")
	s.enter(5, "2001:db8:0:3::1", OK, "")
	s.enter(0, "2001:db8:0:4::1", TooFast, "2001:db8::/56")
	s.wait(125 * time.Millisecond) // a /56 has four times the rate
	s.enter(1, "2001:db8:0:4::1", TooFast, "2001:db8::/56")
}

// TestFailures: one failure more than Failures in a minute shuts a prefix for
// half a minute.
func TestFailures(t *testing.T) {
	s := begin(t, Config{Failures: 6})
	s.fail(6, "192.0.2.1")
	s.enter(1, "192.0.2.1", OK, "")
	s.fail(1, "192.0.2.1")
	s.enter(0, "192.0.2.1", TooManyFailures, "192.0.2.1/32")
	s.enter(1, "192.0.2.2", OK, "")
	s.wait(29 * time.Second)
	s.fail(50, "192.0.2.1") // of connections that had been let in before
	s.enter(0, "192.0.2.1", TooManyFailures, "192.0.2.1/32")
	s.wait(time.Second)
	s.enter(1, "192.0.2.1", OK, "")
	s.fail(1, "192.0.2.1")
	s.enter(0, "192.0.2.1", TooManyFailures, "192.0.2.1/32")

	s.wait(30*time.Second + time.Minute)
	for range 100 { // as many as are allowed
		s.fail(1, "192.0.2.1")
		s.wait(10 * time.Second)
	}
	s.enter(1, "192.0.2.1", OK, "")

	s.fail(6, "2001:db8::1")
	s.fail(6, "2001:db8:0:1::1")
	s.fail(6, "2001:db8:0:2::1")
	s.fail(6, "2001:db8:0:3::1")
	s.enter(1, "2001:db8:0:4::1", OK, "")
	s.fail(1, "2001:db8:0:4::1")
	s.enter(0, "2001:db8:0:4::1", TooManyFailures, "2001:db8::/56")
	s.enter(1, "2001:db8:0:100::1", OK, "")
}

// TestRareFailures: less than one failure a minute.
func TestRareFailures(t *testing.T) {
	s := begin(t, Config{Failures: 0.5})
	s.fail(1, "192.0.2.1")
	s.enter(1, "192.0.2.1", OK, "")
	s.fail(1, "192.0.2.1")
	s.enter(0, "192.0.2.1", TooManyFailures, "192.0.2.1/32")
	s.wait(time.Minute)
	s.enter(1, "192.0.2.1", OK, "")
}

func TestNoLimits(t *testing.T) {
	unix := netip.Addr{}
	for _, c := range []Config{{}, {V4: 24, Prefixes: 7, Handshakes: 1, HandshakesPerSecond: 1}, {Concurrent: 1, PerSecond: 1, Failures: 1}} {
		s := begin(t, c)
		for range 1000 {
			k, v := s.Enter(unix, s.now)
			if v != (Verdict{}) {
				t.Fatalf("%+v: a Unix peer: %v", c, v)
			}
			s.Failed(unix, s.now)
			k.Leave()
		}
		if got := s.Stats(); got != (Stats{}) {
			t.Errorf("%+v: Unix peers are counted: %+v", c, got)
		}
	}
	s := begin(t, Config{})
	s.enter(1000, "192.0.2.1", OK, "")
	s.fail(1000, "192.0.2.1")
	s.enter(1000, "192.0.2.1", OK, "")
	if got := s.Stats(); got != (Stats{}) {
		t.Errorf("without limits something is counted: %+v", got)
	}
}

// TestConfigure: limits change for the next connection, and connections that
// are there stay counted.
func TestConfigure(t *testing.T) {
	s := begin(t, Config{Concurrent: 3})
	a := s.enter(3, "192.0.2.1", TooMany, "192.0.2.1/32")
	s.Configure(Config{Concurrent: 5})
	b := s.enter(2, "192.0.2.1", TooMany, "192.0.2.1/32")
	s.Configure(Config{Concurrent: 2})
	s.leave(a)
	s.enter(0, "192.0.2.1", TooMany, "192.0.2.1/32")
	s.leave(b)
	c := s.enter(2, "192.0.2.1", TooMany, "192.0.2.1/32")

	s.Configure(Config{Concurrent: 2, V4: 24})
	d := s.enter(2, "192.0.2.1", TooMany, "192.0.2.0/24")
	s.Configure(Config{Concurrent: 2})
	s.enter(0, "192.0.2.1", TooMany, "192.0.2.1/32")
	s.leave(c)
	s.leave(d)
	s.check([]Ticket{})

	e := s.enter(2, "192.0.2.1", TooMany, "192.0.2.1/32")
	s.Configure(Config{Concurrent: 2, Prefixes: 99}) // begins empty
	f := s.enter(2, "192.0.2.1", TooMany, "192.0.2.1/32")
	s.leave(e) // and knows nothing of those before
	s.enter(0, "192.0.2.1", TooMany, "192.0.2.1/32")
	s.Configure(Config{Prefixes: 99})
	s.enter(100, "192.0.2.1", OK, "")
	s.leave(f)
	s.Configure(Config{Concurrent: 2, Prefixes: 99})
	s.enter(2, "192.0.2.1", TooMany, "192.0.2.1/32")
}

// TestOtherLengths: a prefix is found again whatever the lengths were meanwhile.
func TestOtherLengths(t *testing.T) {
	s := begin(t, Config{Concurrent: 1})
	tickets := []Ticket{}
	for _, n := range []int{1, 0} { // nobody has a connection; all have
		for bits := 1; bits <= 128; bits++ {
			s.Configure(Config{Concurrent: 1, V6: bits})
			addr := netip.AddrFrom16([16]byte{byte(bits), 1, 2, 3, 4, 5, 6, 7, 8, 9})
			prefix := netip.PrefixFrom(addr, bits).Masked()
			tickets = append(tickets, s.enter(n, addr.String(), TooMany, prefix.String())...)
		}
	}
	s.check(tickets)
	s.leave(tickets)
	s.check([]Ticket{})
}

// TestNewRate: a debt from slower times is no greater than what can be owed now.
func TestNewRate(t *testing.T) {
	s := begin(t, Config{PerSecond: 1e-6, Burst: 9, Failures: 1e-6})
	s.enter(9, "192.0.2.1", TooFast, "192.0.2.1/32")
	s.fail(2, "192.0.2.1")
	s.enter(0, "192.0.2.1", TooManyFailures, "192.0.2.1/32")
	s.Configure(Config{PerSecond: 1, Burst: 2, Failures: 60})
	s.enter(0, "192.0.2.1", TooManyFailures, "192.0.2.1/32")
	s.wait(30 * time.Second)
	s.enter(0, "192.0.2.1", TooFast, "192.0.2.1/32")
	s.wait(2 * time.Second)
	s.enter(2, "192.0.2.1", TooFast, "192.0.2.1/32")
	s.Configure(Config{Concurrent: 100})
	s.enter(100-9-2, "192.0.2.1", TooMany, "192.0.2.1/32")
}

// TestClocks: no time is dangerous.
func TestClocks(t *testing.T) {
	for _, c := range []Config{
		{PerSecond: 5e-324, Failures: 5e-324, Burst: math.MaxInt32},
		{PerSecond: math.MaxFloat64, Failures: math.MaxFloat64},
		{PerSecond: 1, Failures: 1},
	} {
		s := begin(t, c)
		addr := netip.MustParseAddr("2001:db8::1")
		for _, now := range []time.Time{s.now, {}, time.Unix(1<<40, 0), time.Unix(-1<<40, 0), s.now.Add(math.MaxInt64), s.now} {
			k, _ := s.Enter(addr, now)
			k.Leave()
			s.Failed(addr, now)
			s.check(nil)
		}
		s.now = time.Unix(1<<40, 0)
		s.enter(1, "192.0.2.1", OK, "")
	}
}

// TestForgetting: the oldest idle prefix gives way unless it has been used again,
// none with connections does, and where all have some the next is not counted.
func TestForgetting(t *testing.T) {
	s := begin(t, Config{Concurrent: 1, PerSecond: 1e-3, Burst: 1, Prefixes: 3})
	s.enter(1, "192.0.2.1", TooMany, "192.0.2.1/32")
	s.leave(s.enter(1, "192.0.2.2", TooMany, "192.0.2.2/32"))
	s.leave(s.enter(1, "192.0.2.3", OK, ""))
	s.enter(0, "192.0.2.2", TooFast, "192.0.2.2/32") // is a use
	c := s.enter(1, "192.0.2.4", OK, "")             // takes 3's place
	s.enter(0, "192.0.2.2", TooFast, "192.0.2.2/32")
	d := s.enter(1, "192.0.2.3", OK, "") // takes 2's
	s.enter(9, "192.0.2.2", OK, "")      // has no place to be counted in
	s.enter(0, "192.0.2.1", TooMany, "192.0.2.1/32")
	s.leave(d)
	s.leave(c)
	e := s.enter(1, "192.0.2.2", TooMany, "192.0.2.2/32") // takes 3's, which has left before 4
	s.enter(0, "192.0.2.4", TooFast, "192.0.2.4/32")
	if got, want := s.Stats(), (Stats{Prefixes: 3, Open: 2, Forgotten: 3, Uncounted: 9}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	s.leave(e)
	s.check(nil)
}

// TestChances: where all prefixes have been used again, only some are put back
// before one is forgotten.
func TestChances(t *testing.T) {
	const prefixes = 2 * chances
	s := begin(t, Config{PerSecond: 1e-3, Burst: 2, Prefixes: prefixes})
	for n := range uint32(prefixes) {
		s.leave(s.enter(2, v4(n).String(), OK, ""))
	}
	s.enter(1, "192.0.2.1", OK, "")
	for n := range uint32(prefixes) {
		if n != chances {
			s.enter(0, v4(n).String(), TooFast, v4(n).String()+"/32")
		}
	}
	s.enter(2, v4(chances).String(), OK, "")
	s.check(nil)
}

// TestSecondChance: a failure is a use too, and every use counts once.
func TestSecondChance(t *testing.T) {
	for _, strangers := range []int{1, 2} {
		s := begin(t, Config{PerSecond: 1e-3, Burst: 1, Failures: 100, Prefixes: 2})
		s.leave(s.enter(1, "192.0.2.1", OK, ""))
		s.leave(s.enter(1, "192.0.2.2", OK, ""))
		s.fail(1, "192.0.2.1")
		s.leave(s.enter(1, "192.0.2.3", OK, "")) // takes 2's place, and 1 is put back
		if strangers == 1 {
			s.enter(0, "192.0.2.1", TooFast, "192.0.2.1/32")
			continue
		}
		s.leave(s.enter(1, "192.0.2.4", OK, "")) // takes 1's
		s.enter(0, "192.0.2.3", TooFast, "192.0.2.3/32")
	}
}

// TestTiny: tables that have no room for the three prefixes of an IPv6 address
// count the widest.
func TestTiny(t *testing.T) {
	for prefixes := 1; prefixes <= 3; prefixes++ {
		s := begin(t, Config{Concurrent: 1, Prefixes: prefixes})
		want := []int{16, 4, 1}[prefixes-1]
		in := []string{"2001:db8::/48", "2001:db8::/56", "2001:db8::/64"}[prefixes-1]
		s.leave(s.enter(want, "2001:db8::1", TooMany, in))
		s.leave(s.enter(1, "2001:db8:1::1", OK, ""))
		s.fail(3, "2001:db8:2::1")
		s.check(nil)
	}
}

// TestAllocations: neither clients that are known nor strangers cost memory.
func TestAllocations(t *testing.T) {
	s := begin(t, Config{Concurrent: 10, PerSecond: 1e6, Failures: 1e6, Prefixes: 3000})
	n := uint32(0)
	for _, addr := range []func(uint32) netip.Addr{v4, v6} {
		if got := testing.AllocsPerRun(10000, func() {
			n++
			k, _ := s.Enter(addr(n), s.now)
			l, _ := s.Enter(addr(1), s.now)
			s.Failed(addr(n), s.now)
			k.Leave()
			l.Leave()
		}); got != 0 {
			t.Errorf("%v allocations for each connection, want none", got)
		}
	}
}

// TestMemory: a million addresses, half with connections that stay, take what
// BytesPerPrefix says.
func TestMemory(t *testing.T) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for _, prefixes := range []int{1, 1023, 2048, 5000, 40000, DefaultPrefixes} {
		clients := uint32(60000)
		if prefixes == DefaultPrefixes {
			clients = 500000
		}
		before := heap()
		s := begin(t, Config{Concurrent: 10, PerSecond: 10, Failures: 10, Prefixes: prefixes})
		for n := range clients {
			k, _ := s.Enter(v6(n), s.now)
			k.Leave()
		}
		for n := range clients {
			s.Enter(v4(n), s.now)
		}
		took, bound := int64(heap()-before), int64(prefixes*BytesPerPrefix+32<<10)
		if took > bound {
			t.Errorf("%d prefixes take %d bytes, want %d at most", prefixes, took, bound)
		}
		t.Logf("%d prefixes: %d bytes, %.1f each", prefixes, took, float64(took)/float64(prefixes))
		if got := s.Stats(); got.Prefixes > prefixes || got.Open != got.Prefixes {
			t.Errorf("%d prefixes: %+v", prefixes, got)
		}
	}
}

// TestSpread: no shard and no chain is much longer than others, for neighbours
// neither, so that an address costs the same everywhere.
func TestSpread(t *testing.T) {
	s := begin(t, Config{Concurrent: 1})
	for n := range uint32(DefaultPrefixes / 2) {
		s.Enter(v4(n), s.now)
	}
	for i, shard := range s.rules.Load().shards {
		if shard.used < 1700 || shard.used > 2400 { // 2048, and seven standard deviations
			t.Errorf("shard %d has %d of 32768 prefixes", i, shard.used)
		}
		for hash := range shard.heads {
			n := 0
			for at := shard.heads[hash]; at != none; at = shard.slots[at].chain {
				n++
			}
			if n > 16 {
				t.Errorf("shard %d has a chain of %d", i, n)
			}
		}
	}
}

// TestRaces is for the race detector; in the end nobody is there.
func TestRaces(t *testing.T) {
	s := begin(t, Config{Concurrent: 3, PerSecond: 100, Failures: 10, Prefixes: 20})
	var all sync.WaitGroup
	for g := range uint32(4) {
		all.Go(func() {
			for n := range uint32(5000) {
				addr := []func(uint32) netip.Addr{v4, v6}[n%2]((n + g) % 17)
				now := s.now.Add(time.Duration(n) * time.Millisecond)
				k, v := s.Enter(addr, now)
				if n%3 == 0 {
					s.Failed(addr, now)
				}
				if v.Reason == OK {
					k.Leave()
				}
				if n%100 == 0 {
					s.Stats()
					s.Configure(Config{Concurrent: int(n%5) + 1, PerSecond: 50, Prefixes: 20 + int(n%1000/500)})
				}
			}
		})
	}
	all.Wait()
	s.check(nil)
	if got := s.Stats(); got.Open != 0 {
		t.Errorf("%d prefixes have connections, want none", got.Open)
	}
}
