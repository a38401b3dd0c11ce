package acl

import (
	"iter"
	"math/bits"
	"net/netip"
	"slices"
)

// none is greater than every index: no entry.
const none = maxTag + 1

// table4 maps each IPv4 address to the first entry with a prefix that holds it:
// first[i] from starts[i] to the address before starts[i+1]. starts[0] is 0.0.0.0.
type table4 struct {
	starts []uint32
	first  []int32
	// pages[n] is the range that holds the address n<<16, so that a search begins
	// with the few ranges that are left. nil where they are few anyway.
	pages []uint32
}

// table6 is the same for IPv6, whose addresses are too unevenly spread for pages.
type table6 struct {
	// levels are the upper halves of the starts, before them every fanout-th of
	// those, and so on, so that a search looks at few places in memory that are far
	// apart. Each ends in enough ones for a whole line.
	levels [][]uint64
	lo     []uint64 // the lower halves of the starts
	first  []int32
}

// fanout is how many numbers of one level there are for one of the level before
// it, and at most in the first: as many as a cache line has.
const (
	fanout     = 1 << fanoutBits
	fanoutBits = 3
)

// manyRanges is where pages, 256 KiB, begin to be worth their memory.
const manyRanges = 4096

func (t *table4) find(addr netip.Addr) int {
	a := uint32(addressOf(addr).hi >> 32)
	at, n := 0, len(t.starts)
	if t.pages != nil {
		at = int(t.pages[a>>16])
		n = int(t.pages[a>>16+1]) - at + 1
	}
	for n > 1 {
		half := n / 2
		if t.starts[at+half] <= a {
			at += half
		}
		n -= half
	}
	return int(t.first[at])
}

func (t *table6) find(addr netip.Addr) int {
	a := addressOf(addr)
	at, shift := 0, fanoutBits*len(t.levels)
	for _, level := range t.levels {
		shift -= fanoutBits
		// Of this line the last start that is not above a; its first one is not.
		n := (*[fanout]uint64)(level[fanout*at:])
		at = fanout*at + notAbove(n[1], a.hi) + notAbove(n[2], a.hi) + notAbove(n[3], a.hi) + notAbove(n[4], a.hi) +
			notAbove(n[5], a.hi) + notAbove(n[6], a.hi) + notAbove(n[7], a.hi)
		for level[at] == a.hi && (at<<shift >= len(t.lo) || t.lo[at<<shift] > a.lo) {
			at--
		}
	}
	return int(t.first[at])
}

// notAbove is 1 if n is not above limit, otherwise 0.
func notAbove(n, limit uint64) int {
	_, above := bits.Sub64(limit, n, 0)
	return int(1 - above)
}

// newTable4 makes a table of prefixes, which it sorts.
func newTable4(spans []packed) (t table4) {
	slices.Sort(spans)
	sorted := func(yield func(prefix) bool) {
		for _, p := range spans {
			if !yield(p.prefix()) {
				return
			}
		}
	}
	n := count(sorted)
	t.starts, t.first = make([]uint32, 0, n), make([]int32, 0, n)
	sweep(sorted, func(start address, index int) {
		t.starts, t.first = append(t.starts, uint32(start.hi>>32)), append(t.first, int32(index))
	})
	if n >= manyRanges {
		t.paginate()
	}
	return t
}

func (t *table4) paginate() {
	t.pages = make([]uint32, 1<<16+1)
	at := 0
	for n := range 1 << 16 {
		for at+1 < len(t.starts) && t.starts[at+1] <= uint32(n)<<16 {
			at++
		}
		t.pages[n] = uint32(at)
	}
	t.pages[1<<16] = uint32(len(t.starts) - 1)
}

// newTable6 makes a table of prefixes, which it sorts.
func newTable6(spans []prefix) (t table6) {
	slices.SortFunc(spans, prefix.compare)
	n := count(slices.Values(spans))
	level := make([]uint64, 0, n+fanout)
	t.lo, t.first = make([]uint64, 0, n), make([]int32, 0, n)
	sweep(slices.Values(spans), func(start address, index int) {
		level, t.lo, t.first = append(level, start.hi), append(t.lo, start.lo), append(t.first, int32(index))
	})
	t.addLevels(level)
	return t
}

// addLevels makes the levels, from the last to the first.
func (t *table6) addLevels(level []uint64) {
	for {
		for len(level)%fanout != 0 {
			level = append(level, ^uint64(0))
		}
		t.levels = slices.Insert(t.levels, 0, level)
		if len(level) == fanout {
			return
		}
		next := make([]uint64, 0, len(level)/fanout+fanout)
		for i := 0; i < len(level); i += fanout {
			next = append(next, level[i])
		}
		level = next
	}
}

// count is the number of ranges that prefixes come to.
func count(sorted iter.Seq[prefix]) (n int) {
	sweep(sorted, func(address, int) { n++ })
	return n
}

// sweep calls emit for each range, from the lowest to the highest, with its first
// address and the smallest number of a prefix that holds it, or none. Of two
// prefixes one holds the other or they are apart, so those that hold the current
// address form a stack.
func sweep(sorted iter.Seq[prefix], emit func(start address, index int)) {
	s := sweeper{index: none, emitted: -1, emit: emit}
	for p := range sorted {
		s.closeUntil(p.address)
		index := min(p.tag(), s.decider())
		s.open = append(s.open, span{p.last(), index})
		s.change(p.address, index)
	}
	for len(s.open) > 0 {
		s.close()
	}
	s.flush()
}

// sweeper is on its way from the lowest address to the highest.
type sweeper struct {
	open    []span // the prefixes that hold the current address, outermost first
	start   address
	index   int // what holds from start on
	emitted int // the index of the last range that emit has had
	emit    func(start address, index int)
}

// span is a prefix: its end, and what decides within it.
type span struct {
	last  address
	index int
}

// decider is what the prefixes in open come down to.
func (s *sweeper) decider() int {
	if len(s.open) == 0 {
		return none
	}
	return s.open[len(s.open)-1].index
}

// closeUntil ends the prefixes that end before a.
func (s *sweeper) closeUntil(a address) {
	for len(s.open) > 0 && s.open[len(s.open)-1].last.less(a) == 1 {
		s.close()
	}
}

// close ends the innermost prefix.
func (s *sweeper) close() {
	last := s.open[len(s.open)-1].last
	s.open = s.open[:len(s.open)-1]
	if next, ok := last.next(); ok {
		s.change(next, s.decider())
	}
}

// change begins a range. A later one with the same start replaces it.
func (s *sweeper) change(start address, index int) {
	if start != s.start {
		s.flush()
	}
	s.start, s.index = start, index
}

// flush emits the range, unless it goes on with what was before it.
func (s *sweeper) flush() {
	if s.index != s.emitted {
		s.emit(s.start, s.index)
		s.emitted = s.index
	}
}
