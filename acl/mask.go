package acl

import (
	"math/bits"
	"net/netip"
)

// maskOf is the mask of n ones, as an address of 32 or 128 bits.
func maskOf(n, size int) netip.Addr {
	var a [16]byte
	for i := range a {
		ones := min(max(n-8*i, 0), 8)
		a[i] = ^byte(0xff >> ones)
	}
	if size == 32 {
		return netip.AddrFrom4([4]byte(a[:4]))
	}
	return netip.AddrFrom16(a)
}

// maskLen is the number of ones that a mask begins with.
func maskLen(mask netip.Addr) int {
	n := 0
	for _, b := range mask.AsSlice() {
		ones := bits.LeadingZeros8(^b)
		if n += ones; ones < 8 {
			break
		}
	}
	return n
}

// contiguous reports whether a mask is ones first, then zeros.
func contiguous(mask netip.Addr) bool {
	return maskOf(maskLen(mask), mask.BitLen()) == mask
}

// and masks an address of the mask's own family.
func and(addr, mask netip.Addr) netip.Addr {
	if addr.Is4() {
		a, m := addr.As4(), mask.As4()
		for i := range a {
			a[i] &= m[i]
		}
		return netip.AddrFrom4(a)
	}
	a, m := addr.As16(), mask.As16()
	for i := range a {
		a[i] &= m[i]
	}
	return netip.AddrFrom16(a)
}
