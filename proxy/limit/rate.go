package limit

import "time"

// farthest keeps sums of two times from overflowing: 36 years.
const farthest = 1 << 60

// A rate is how fast buckets leak: each is the time in which one drop does, in
// nanoseconds, and most the time in which a full bucket does, a multiple of
// each or more. Where each is 0, there is no limit.
type rate struct{ each, most int64 }

// per is the rate of n drops in a time, in buckets that hold size drops and one
// at least.
func per(n float64, in time.Duration, size float64) rate {
	if n <= 0 {
		return rate{}
	}
	each := span(float64(in) / n)
	return rate{each, max(span(size*float64(each)), each)}
}

// span is a time as an integer that can be added to others.
func span(ns float64) int64 {
	if ns >= farthest {
		return farthest
	}
	return int64(ns)
}

// A bucket is the time at which it will have leaked empty, in nanoseconds since
// the table's base. One that is fuller than its rate allows, because the rate
// has changed or a clock has gone back, counts as full.
type bucket int64

// takes reports whether there is room for one drop more.
func (b *bucket) takes(r rate, now int64) bool {
	if r.each == 0 {
		return true
	}
	*b = min(*b, bucket(now+r.most))
	return max(int64(*b)-now, 0)+r.each <= r.most
}

// add puts in a drop for which there is room.
func (b *bucket) add(r rate, now int64) {
	if r.each > 0 {
		*b = max(*b, bucket(now)) + bucket(r.each)
	}
}

// spill puts in a drop. Where there is no room, the bucket overflows: it is
// shut, and when it opens again, after half of the time in which it leaks, it
// is still full.
func (b *bucket) spill(r rate, now int64) {
	switch {
	case r.each == 0 || b.shut(r, now):
	case b.takes(r, now):
		b.add(r, now)
	default:
		*b = bucket(now + r.most + r.most/2)
	}
}

// shut reports whether the bucket has overflown.
func (b *bucket) shut(r rate, now int64) bool {
	if r.each == 0 {
		return false
	}
	*b = min(*b, bucket(now+r.most+r.most/2))
	return int64(*b)-now > r.most
}
