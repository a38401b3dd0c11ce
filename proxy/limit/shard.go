package limit

import (
	"hash/maphash"
	"sync"
)

// A shard is a hash table of prefixes with a fixed number of slots. Those
// without connections are in a ring, the oldest to be taken by the next new
// prefix. Coming and going leaves the ring alone, for each link is in another
// cache line: slots that get a connection stay in it, and slots that are used
// again in their place, until they are the oldest and somebody wants them.
type shard struct {
	mu    sync.Mutex
	seed  maphash.Seed
	heads []int32 // of the chains, by hash: a power of two
	// slots[0] is nobody's: it closes the ring. Its older is the newest entry,
	// its newer the oldest.
	slots     []entry
	used      int32 // slots[1:used+1] hold prefixes
	open      int32 // of these, with connections
	forgotten uint64
	uncounted uint64
}

// none is no slot.
const none = 0

type entry struct {
	hi, lo       uint64 // the prefix
	made         bucket // new connections
	failed       bucket // handshakes
	chain        int32  // the next slot whose hash ends alike
	newer, older int32  // in the ring
	open         int32
	bits         uint8
	linked       bool // is in the ring: always, if open is 0
	again        bool // has been used again since it was linked
}

// chances is how many slots that have been used again are put back for one that
// is wanted: more might take long.
const chances = 8

func (s *shard) head(hash uint64) *int32 { return &s.heads[hash&uint64(len(s.heads)-1)] }

// find is the slot of a prefix.
func (s *shard) find(k *key, hash uint64) int32 {
	i := *s.head(hash)
	for i != none {
		e := &s.slots[i]
		if e.lo == k.lo && e.hi == k.hi && uint64(e.bits) == k.bits {
			break
		}
		i = e.chain
	}
	return i
}

// enter counts a connection in all of its prefixes that there is room for; or,
// if one refuses it, in none: then it says which one, and why.
func (s *shard) enter(p *path, now int64) (at int, why Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range p.levels {
		slot := s.find(&p.keys[i], p.hashes[i])
		p.slots[i] = slot
		if slot == none {
			continue // an empty bucket has room for one
		}
		if why = s.slots[slot].refuses(&p.levels[i], now); why != OK {
			s.slots[slot].again = true
			return i, why
		}
	}
	// Those that are there come first, or a new one might take their place, and
	// of the new ones the widest: it protects from more clients.
	for i := range p.levels {
		if p.slots[i] != none {
			s.slots[p.slots[i]].again = true
			s.count(p.slots[i], &p.levels[i], now)
		}
	}
	for i := len(p.levels) - 1; i >= 0; i-- {
		if p.slots[i] != none {
			continue
		}
		if p.slots[i] = s.add(&p.keys[i], p.hashes[i]); p.slots[i] != none {
			s.count(p.slots[i], &p.levels[i], now)
		}
	}
	return 0, OK
}

// refuses says why an entry takes no connection more, OK if it does.
func (e *entry) refuses(l *level, now int64) Reason {
	switch {
	case e.failed.shut(l.failures, now):
		return TooManyFailures
	case l.open > 0 && e.open >= l.open:
		return TooMany
	case !e.made.takes(l.rate, now):
		return TooFast
	}
	return OK
}

// count counts a connection that is not refused.
func (s *shard) count(slot int32, l *level, now int64) {
	e := &s.slots[slot]
	e.made.add(l.rate, now)
	if e.open == 0 {
		s.open++
	}
	e.open++
}

func (s *shard) leave(slots [maxLevels]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, slot := range slots {
		e := &s.slots[slot]
		if slot == none || e.open == 0 {
			continue
		}
		if e.open--; e.open > 0 {
			continue
		}
		s.open--
		if !e.linked {
			s.link(slot)
		}
	}
}

// failed counts a failed handshake in all prefixes that there is room for.
func (s *shard) failed(p *path, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(p.levels) - 1; i >= 0; i-- {
		slot := s.find(&p.keys[i], p.hashes[i])
		if slot == none {
			slot = s.add(&p.keys[i], p.hashes[i])
		}
		if slot == none {
			continue
		}
		s.slots[slot].again = true
		s.slots[slot].failed.spill(p.levels[i].failures, now)
	}
}

// add gives a prefix that is not there a slot: one that nobody has had, or that
// of an idle one, none if there is no such. The new one is the ring's newest.
func (s *shard) add(k *key, hash uint64) int32 {
	slot := s.used + 1
	if int(slot) < len(s.slots) {
		s.used++
	} else {
		if slot = s.idle(); slot == none {
			s.uncounted++
			return none
		}
		s.forget(slot)
	}
	head := s.head(hash)
	s.slots[slot] = entry{hi: k.hi, lo: k.lo, bits: uint8(k.bits), chain: *head}
	*head = slot
	s.link(slot)
	return slot
}

// forget takes an entry out of the ring and out of its chain.
func (s *shard) forget(slot int32) {
	e := &s.slots[slot]
	s.unlink(e)
	k := key{e.hi, e.lo, uint64(e.bits)}
	at := s.head(k.hash(s.seed))
	for *at != slot {
		at = &s.slots[*at].chain
	}
	*at = e.chain
	s.forgotten++
}

// idle is the slot to be taken next. Those with connections leave the ring on
// the way, which each does once before its connections end; those that were used
// again become the newest.
func (s *shard) idle() int32 {
	for n := 0; ; {
		slot := s.slots[0].newer
		e := &s.slots[slot]
		switch {
		case slot == none:
			return none
		case e.open > 0:
			s.unlink(e)
		case e.again && n < chances:
			n++
			s.unlink(e)
			s.link(slot)
		default:
			return slot
		}
	}
}

func (s *shard) link(slot int32) {
	e, ends := &s.slots[slot], &s.slots[0]
	e.older, e.newer = ends.older, 0
	s.slots[e.older].newer = slot
	ends.older = slot
	e.linked, e.again = true, false
}

func (s *shard) unlink(e *entry) {
	s.slots[e.older].newer = e.newer
	s.slots[e.newer].older = e.older
	e.linked = false
}

func (s *shard) stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{int(s.used), int(s.open), s.forgotten, s.uncounted}
}
