package limit

import (
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Table counts connections and failed handshakes by prefix. All its methods may
// be called at the same time. Each takes one lock, for the same short time at
// any size, and allocates nothing; without limits, none.
type Table struct {
	base  time.Time // what happens is kept as nanoseconds since then
	rules atomic.Pointer[rules]

	changing sync.Mutex // held by Configure
	prefixes int        // that the shards have room for
}

// rules are a Config in force. They are immutable but for the shards.
type rules struct {
	v4, v6 []level
	seed   maphash.Seed
	shards []*shard // a power of two
}

// New makes a Table whose time begins at now.
func New(c Config, now time.Time) *Table {
	t := &Table{base: now}
	t.Configure(c)
	return t
}

// Configure puts other limits in force, for the connections to come. Those that
// are there stay counted, in prefixes of the lengths that they came with; but
// when Prefixes changes, and after a time without limits, the table begins empty.
func (t *Table) Configure(c Config) {
	c = c.sane()
	t.changing.Lock()
	defer t.changing.Unlock()
	old := t.rules.Load()
	if c.Concurrent == 0 && c.PerSecond == 0 && c.Failures == 0 {
		t.rules.Store(nil)
		return
	}
	r := &rules{}
	r.v4, r.v6 = levels(c)
	if old != nil && c.Prefixes == t.prefixes {
		r.seed, r.shards = old.seed, old.shards
	} else {
		r.seed = maphash.MakeSeed()
		r.shards = newShards(c.Prefixes, r.seed)
	}
	t.prefixes = c.Prefixes
	t.rules.Store(r)
}

// A shard is held for about a tenth of a microsecond, hence few are enough; and
// the larger they are, the less does it matter that all the prefixes of a /48
// are in one.
const (
	maxShards = 16
	minSlots  = 1024 // where there is more than one shard
)

func newShards(prefixes int, seed maphash.Seed) []*shard {
	n := min(max(prefixes/minSlots, 1), maxShards)
	n = 1 << (bits.Len(uint(n)) - 1)
	each := prefixes / n
	chains := 1 << bits.Len(uint(each-1))
	// One piece of memory for all: the allocator rounds each piece up.
	slots, heads := make([]entry, n*(each+1)), make([]int32, n*chains)
	shards := make([]*shard, n)
	for i := range shards {
		shards[i] = &shard{seed: seed, slots: slots[i*(each+1):][:each+1], heads: heads[i*chains:][:chains]}
	}
	return shards
}

// now is a time as the entries have it.
func (t *Table) now(now time.Time) int64 {
	return min(max(int64(now.Sub(t.base)), 0), farthest)
}

// at finds the path of an address and the shard that it is in.
func (r *rules) at(addr netip.Addr, p *path) *shard {
	hi, lo, v4 := split(addr)
	p.levels = r.v6
	if v4 {
		p.levels = r.v4
	}
	p.fill(r.seed, hi, lo)
	return r.shards[p.widest()>>(64-bits.Len(uint(len(r.shards)-1)))]
}

// Enter counts a new connection at time now, if no limit forbids it. IPv4-mapped
// addresses are IPv4, zones are ignored, and the zero Addr, which stands for
// peers on Unix sockets, is always let in. Of a connection that is let in the
// Ticket is to be given back; that of one that is refused is of no use.
func (t *Table) Enter(addr netip.Addr, now time.Time) (k Ticket, v Verdict) {
	if t.rules.Load() != nil {
		k, v = t.enter(addr, now)
	}
	return k, v
}

// enter is apart so that Enter is small enough for the compiler to inline it.
func (t *Table) enter(addr netip.Addr, now time.Time) (Ticket, Verdict) {
	r := t.rules.Load()
	if r == nil || !addr.IsValid() {
		return Ticket{}, Verdict{}
	}
	var p path
	s := r.at(addr, &p)
	at, why := s.enter(&p, t.now(now))
	if why != OK {
		k := p.keys[at]
		return Ticket{}, Verdict{why, uint8(k.bits), k.hi, k.lo}
	}
	return Ticket{s, p.slots[0], p.slots[1], p.slots[2]}, Verdict{}
}

// Failed counts a failed handshake of a client at time now. It is up to the
// caller which failures count: a client that went away may be innocent.
func (t *Table) Failed(addr netip.Addr, now time.Time) {
	r := t.rules.Load()
	if r == nil || !addr.IsValid() || r.v4[0].failures.each == 0 {
		return
	}
	var p path
	r.at(addr, &p).failed(&p, t.now(now))
}

// Ticket stands for one connection in a [Table]. The zero Ticket stands for one
// that is not counted.
type Ticket struct {
	shard *shard
	// The slots of its prefixes, none where it is not counted. Were they an
	// array, the compiler would not keep a Ticket in registers.
	narrow, middle, wide int32
}

// Leave says that the connection is over. It is to be called once.
func (k Ticket) Leave() {
	if k.shard != nil {
		k.shard.leave([...]int32{k.narrow, k.middle, k.wide})
	}
}

// Stats is what a [Table] holds.
type Stats struct {
	Prefixes  int    // remembered now
	Open      int    // of these, with connections
	Forgotten uint64 // prefixes that had to give way to others, since the table began
	Uncounted uint64 // times that a prefix could not be counted because all had connections
}

// Stats looks at one shard after the other: it is not one instant's picture.
func (t *Table) Stats() Stats {
	var sum Stats
	r := t.rules.Load()
	if r == nil {
		return sum
	}
	for _, s := range r.shards {
		one := s.stats()
		sum.Prefixes += one.Prefixes
		sum.Open += one.Open
		sum.Forgotten += one.Forgotten
		sum.Uncounted += one.Uncounted
	}
	return sum
}
