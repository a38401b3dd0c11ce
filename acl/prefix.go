package acl

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// address is an address as a number, an IPv4 one in the upper 32 bits. The
// families are kept in tables of their own.
type address struct{ hi, lo uint64 }

func addressOf(addr netip.Addr) address {
	if addr.Is4() {
		b := addr.As4()
		return address{uint64(binary.BigEndian.Uint32(b[:])) << 32, 0}
	}
	b := addr.As16()
	return address{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// less is 1 if a is below b, otherwise 0: without a branch, which in a search
// would be guessed wrong every other time.
func (a address) less(b address) uint64 {
	_, borrow := bits.Sub64(a.lo, b.lo, 0)
	_, borrow = bits.Sub64(a.hi, b.hi, borrow)
	return borrow
}

// next is the address after a; ok is false after the last one.
func (a address) next() (next address, ok bool) {
	lo, carry := bits.Add64(a.lo, 1, 0)
	hi, carry := bits.Add64(a.hi, 0, carry)
	return address{hi, lo}, carry == 0
}

// prefix is a prefix of either family with a number that says where it comes
// from: an entry's index, a line of a file.
type prefix struct {
	address
	rest uint32 // length, then 24 bits for the number
}

// maxTag is the greatest number that a prefix can have.
const maxTag = 1<<24 - 1

func newPrefix(a address, length, tag int) prefix {
	return prefix{a, uint32(length)<<24 | uint32(tag)}
}

func (p prefix) length() int { return int(p.rest >> 24) }
func (p prefix) tag() int    { return int(p.rest & maxTag) }

// tagged is the same prefix with another number.
func (p prefix) tagged(tag int) prefix { return newPrefix(p.address, p.length(), tag) }

// outside is the ones after the prefix's length.
func (p prefix) outside() address {
	n := p.length()
	return address{^uint64(0) >> min(n, 64), ^uint64(0) >> max(n-64, 0)}
}

// isMasked reports whether there is nothing after the prefix's length, as there
// should be.
func (p prefix) isMasked() bool {
	out := p.outside()
	return p.hi&out.hi|p.lo&out.lo == 0
}

// last is the last address that the prefix holds.
func (p prefix) last() address {
	out := p.outside()
	return address{p.hi | out.hi, p.lo | out.lo}
}

func (p prefix) contains(a address) bool { return a.less(p.address)|p.last().less(a) == 0 }

// packed is for prefixes of IPv4.
func (p prefix) packed() packed { return packed(p.hi | uint64(p.rest)) }

// compare sorts by address, of equal ones the widest first, and then by number.
func (p prefix) compare(q prefix) int {
	return cmp.Or(cmp.Compare(p.hi, q.hi), cmp.Compare(p.lo, q.lo), cmp.Compare(p.rest, q.rest))
}

// packed is a prefix of IPv4 in 8 bytes: address, length, number. Packed ones
// compare as prefixes do.
type packed uint64

func (p packed) prefix() prefix {
	return prefix{address{uint64(p) >> 32 << 32, 0}, uint32(p)}
}
