package limit

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// check holds a table to what its parts promise each other, and its counts to
// the tickets that are out, unless these are nil.
func (s *scene) check(tickets []Ticket) {
	s.Helper()
	r := s.rules.Load()
	if r == nil {
		return
	}
	for _, shard := range r.shards {
		opens := map[int32]int32{}
		for _, k := range tickets {
			if k.shard == shard {
				opens[k.narrow]++
				opens[k.middle]++
				opens[k.wide]++
			}
		}
		s.checkShard(shard, opens, tickets != nil)
	}
}

func (s *scene) checkShard(shard *shard, opens map[int32]int32, counted bool) {
	s.Helper()
	linked, open := 0, 0
	for i := int32(1); i <= shard.used; i++ {
		e := &shard.slots[i]
		k := key{e.hi, e.lo, uint64(e.bits)}
		if found := shard.find(&k, k.hash(shard.seed)); found != i {
			s.Fatalf("%s is in slot %d and found in %d", k.prefix(), i, found)
		}
		if counted && e.open != opens[i] {
			s.Fatalf("%s has %d connections, counted as %d", k.prefix(), opens[i], e.open)
		}
		if e.open > 0 {
			open++
		} else if !e.linked {
			s.Fatalf("%s is idle and not in the ring", k.prefix())
		}
		if e.linked {
			linked++
		}
	}
	at := int32(0)
	for n := 0; ; n++ {
		next := shard.slots[at].newer
		if shard.slots[next].older != at || next != 0 && !shard.slots[next].linked || n > linked {
			s.Fatalf("the ring is broken between slots %d and %d", at, next)
		}
		if at = next; at == 0 {
			if n != linked {
				s.Fatalf("%d prefixes in the ring, %d say so", n, linked)
			}
			break
		}
	}
	if int(shard.open) != open {
		s.Fatalf("%d prefixes with connections, counted as %d", open, shard.open)
	}
}

// A model does what a Table does in the plain way: it forgets nothing, and what
// leaks is a number.
type model struct {
	Config
	accounts map[netip.Prefix]*account
}

type account struct {
	open         int
	made, failed float64 // in the buckets
	at           time.Time
}

// An allowance is a prefix and how many times as much it may have.
type allowance struct {
	*account
	netip.Prefix
	times float64
}

// allowances are those of all prefixes of an address, and have leaked until now.
func (m *model) allowances(addr netip.Addr, now time.Time) []allowance {
	lengths, times := []int{m.V4}, []float64{1, 4, 16}
	if addr.Is6() {
		lengths = []int{m.V6, 56, 48}
	}
	var all []allowance
	for i, bits := range lengths {
		prefix := netip.PrefixFrom(addr, bits).Masked()
		a := m.accounts[prefix]
		if a == nil {
			a = &account{at: now}
			m.accounts[prefix] = a
		}
		seconds := now.Sub(a.at).Seconds()
		a.made = max(a.made-seconds*m.PerSecond*times[i], 0)
		a.failed = max(a.failed-seconds*m.Failures/60*times[i], 0)
		a.at = now
		all = append(all, allowance{a, prefix, times[i]})
	}
	return all
}

// verdict is the model's with buckets that are larger by slack.
func (m *model) verdict(all []allowance, slack float64) refusal {
	for _, a := range all {
		switch {
		case m.Failures > 0 && a.failed > m.Failures*a.times+slack:
			return refusal{TooManyFailures, a.Prefix}
		case m.Concurrent > 0 && a.open >= m.Concurrent*int(a.times):
			return refusal{TooMany, a.Prefix}
		case m.PerSecond > 0 && a.made+1 > float64(m.Burst)*a.times+slack:
			return refusal{TooFast, a.Prefix}
		}
	}
	return refusal{}
}

// fail reports whether the failure is one that the model knows how to count: at
// the very edge it may or may not overflow a bucket.
func (m *model) fail(all []allowance) bool {
	for _, a := range all {
		size := m.Failures * a.times
		for _, edge := range []float64{a.failed - size, a.failed + 1 - size} {
			if edge > -tolerance && edge < tolerance && edge != 0 {
				return false
			}
		}
	}
	for _, a := range all {
		size := m.Failures * a.times
		switch {
		case a.failed > size:
		case a.failed+1 <= size:
			a.failed++
		default:
			a.failed = size * 1.5
		}
	}
	return true
}

// tolerance is what nanoseconds cannot tell apart, in drops.
const tolerance = 1e-5

// TestModel holds the table to the model while nothing is forgotten.
func TestModel(t *testing.T) {
	seen := map[Reason]int{}
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 5))
		pick := func(of ...float64) float64 { return of[r.IntN(len(of))] }
		c := Config{
			Concurrent: int(pick(0, 2, 5, 50)), PerSecond: pick(0, 0.7, 3, 50), Burst: 1 + r.IntN(20),
			Failures: pick(0, 2, 12, 37), V4: 32 - r.IntN(3), V6: 60 + r.IntN(6),
		}
		run(t, r, c, time.Duration(pick(1, 20, 300))*time.Millisecond, seen)
	}
	for why := range TooManyFailures + 1 {
		if seen[why] < 1000 {
			t.Errorf("%q came only %d times", why, seen[why])
		}
	}
}

// run does some thousand steps, on average pace apart, and counts the verdicts.
func run(t *testing.T, r *rand.Rand, c Config, pace time.Duration, seen map[Reason]int) {
	s, m := begin(t, c), &model{c, map[netip.Prefix]*account{}}
	type guest struct {
		Ticket
		all []allowance
	}
	var guests []guest
	for step := range 4000 {
		s.wait(time.Duration(r.ExpFloat64() * float64(pace)))
		addr := someAddr(r)
		all := m.allowances(addr, s.now)
		switch what := r.IntN(10); {
		case what < 5:
			k, v := s.Enter(addr, s.now)
			seen[v.Reason]++
			if got := read(v); got != m.verdict(all, tolerance) && got != m.verdict(all, -tolerance) {
				t.Fatalf("%+v, step %d: %s is %v, want %v", c, step, addr, got, m.verdict(all, 0))
			}
			if v.Reason != OK {
				continue
			}
			for _, a := range all {
				a.open++
				a.made++
			}
			guests = append(guests, guest{k, all})
		case what < 9:
			if len(guests) == 0 {
				continue
			}
			i := r.IntN(len(guests))
			guests[i].Leave()
			for _, a := range guests[i].all {
				a.open--
			}
			guests[i] = guests[len(guests)-1]
			guests = guests[:len(guests)-1]
		case m.fail(all):
			s.Failed(addr, s.now)
		}
	}
	tickets := []Ticket{}
	for _, g := range guests {
		tickets = append(tickets, g.Ticket)
	}
	s.check(tickets)
	if got := s.Stats(); got.Forgotten+got.Uncounted > 0 {
		t.Fatalf("something was forgotten: %+v", got)
	}
}

// someAddr is one of few, so that they meet.
func someAddr(r *rand.Rand) netip.Addr {
	if r.IntN(4) == 0 {
		return netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(6))})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(r.IntN(2)), byte(r.IntN(2)), byte(r.IntN(6)), 15: byte(r.IntN(9))})
}

// FuzzTable drives tables that are far too small with what strangers send.
func FuzzTable(f *testing.F) {
	f.Add(uint8(1), []byte("enter and leave"))
	f.Add(uint8(3), []byte{0, 1, 2, 3, 64, 65, 66, 67, 128, 129, 192, 193, 0, 1, 2, 3})
	f.Fuzz(crowd)
}

func TestCrowd(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		ops := make([]byte, 400)
		for i := range ops {
			ops[i] = byte(r.IntN(256))
		}
		crowd(t, uint8(r.IntN(256)), ops)
	}
}

// crowd does one thing for each byte: a prefix with connections is never
// forgotten, and none is left out while there is an idle one.
func crowd(t *testing.T, prefixes uint8, ops []byte) {
	c := Config{Concurrent: 2, PerSecond: 20, Burst: 3, Failures: 4, Prefixes: int(prefixes)%16 + 1}
	s := begin(t, c)
	tickets := []Ticket{}
	for _, op := range ops {
		s.wait(time.Duration(op&7) * 30 * time.Millisecond)
		addr := v4(uint32(op >> 1 & 31))
		if op&1 == 1 {
			addr = netip.AddrFrom16([16]byte{0x20, 1, 5: op >> 5 & 1, 6: op >> 3 & 1, 7: op >> 1 & 3})
		}
		before := s.Stats()
		switch {
		case op < 150:
			if k, v := s.Enter(addr, s.now); v.Reason == OK {
				tickets = append(tickets, k)
			}
		case op < 240 && len(tickets) > 0:
			i := int(op) % len(tickets)
			tickets[i].Leave()
			tickets = append(tickets[:i], tickets[i+1:]...)
		case op < 250:
			s.Failed(addr, s.now)
		default:
			c.PerSecond = float64(op - 249)
			s.Configure(c)
		}
		after := s.Stats()
		if after.Uncounted > before.Uncounted && after.Open < c.Prefixes {
			t.Fatalf("not counted while there was an idle prefix: %+v, then %+v", before, after)
		}
		s.check(tickets)
	}
}
