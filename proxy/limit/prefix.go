package limit

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"net/netip"
	"time"
)

// maxLevels is how many prefixes of one address are limited at most.
const maxLevels = 3

// wider are the lengths of the prefixes that are limited around an IPv6
// client's own, and how many times as much they may have.
var wider = [...]struct{ bits, times int }{{56, 4}, {48, 16}}

// A level is one length of prefixes and what is allowed to each of them.
type level struct {
	bits     uint64 // as an IPv6 prefix: an IPv4 one is 96 longer
	hi, lo   uint64 // its mask
	open     int32  // 0: any number
	rate     rate
	failures rate
}

func newLevel(c Config, bits, times int) level {
	f := float64(times)
	l := level{
		bits:     uint64(bits),
		open:     int32(min(int64(c.Concurrent)*int64(times), math.MaxInt32)),
		rate:     per(c.PerSecond*f, time.Second, float64(c.Burst)*f),
		failures: per(c.Failures*f, time.Minute, c.Failures*f),
	}
	if bits <= 64 {
		l.hi = ^uint64(0) << (64 - bits)
	} else {
		l.hi, l.lo = ^uint64(0), ^uint64(0)<<(128-bits)
	}
	return l
}

// levels are those of the two families, the longest prefix first.
func levels(c Config) (v4, v6 []level) {
	v4 = []level{newLevel(c, 96+c.V4, 1)}
	v6 = []level{newLevel(c, c.V6, 1)}
	for _, w := range wider {
		if w.bits < c.V6 {
			v6 = append(v6, newLevel(c, w.bits, w.times))
		}
	}
	return v4, v6
}

// A key is a prefix. An IPv4 address is one of ::ffff:0:0/96 (RFC 4291, 2.5.5.2).
type key struct{ hi, lo, bits uint64 }

// hash gives keys that differ in bits alone different values, for there is one
// such key for each level, and takes 16 bytes, which is the fastest.
func (k *key) hash(seed maphash.Seed) uint64 {
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:8], k.hi)
	binary.NativeEndian.PutUint64(b[8:], k.lo^k.bits)
	return maphash.Bytes(seed, b[:])
}

// v4Mapped is the first half of lo in the key of an IPv4 prefix.
const v4Mapped = 0xffff

// split is an address as the two halves of a key, and whether it is IPv4.
func split(addr netip.Addr) (hi, lo uint64, v4 bool) {
	b := addr.As16()
	hi, lo = binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	return hi, lo, hi == 0 && lo>>32 == v4Mapped
}

func (k key) prefix() netip.Prefix {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	if k.hi == 0 && k.lo>>32 == v4Mapped {
		return netip.PrefixFrom(netip.AddrFrom16(b).Unmap(), int(k.bits)-96)
	}
	return netip.PrefixFrom(netip.AddrFrom16(b), int(k.bits))
}

// A path is the prefixes of an address, one for each level of its family.
type path struct {
	levels []level
	keys   [maxLevels]key
	hashes [maxLevels]uint64
	slots  [maxLevels]int32 // in the shard; none until they are found
}

func (p *path) fill(seed maphash.Seed, hi, lo uint64) {
	for i := range p.levels {
		l := &p.levels[i]
		p.keys[i] = key{hi & l.hi, lo & l.lo, l.bits}
		p.hashes[i] = p.keys[i].hash(seed)
	}
}

// widest is the hash that the shard of all the prefixes is found by.
func (p *path) widest() uint64 { return p.hashes[len(p.levels)-1] }
