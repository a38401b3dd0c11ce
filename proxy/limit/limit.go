// Package limit bounds what clients may take: connections and failed handshakes
// by prefix of their addresses, and handshakes in the whole process.
//
// A [Table] counts by prefix, for a client can change its address within its
// own: an IPv4 address or an IPv6 /64, and for IPv6 the /56 and the /48 around it
// too. A connection is counted in all of its prefixes or, if one refuses it, in
// none. Rates are leaky buckets, each kept as the time at which it will be empty.
//
// Memory is taken once and never grows. The slots are in shards with a lock each,
// found by a hash with a secret seed; all prefixes of an address are in one. A new
// prefix takes the slot of an idle one that has not been used for long. Where all
// have open connections, it is let in and not counted: to refuse it would let many
// strangers shut everybody out, and conn_max bounds the connections of all.
//
// A [Budget] makes handshakes wait in order while there are too many at once or
// those before have not been paid for by the time that has passed.
package limit

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
)

// Config is the limits. It is plain and comparable; a limit of 0 is none, and
// the zero Config lets everybody in at once.
type Config struct {
	// Concurrent is how many connections a prefix may have at once.
	Concurrent int
	// PerSecond is how many new connections a prefix may make each second, and
	// Burst how many of them at once: 0 stands for those of one second, or 1.
	PerSecond float64
	Burst     int
	// Failures is how many handshakes of a prefix may fail in a minute. After
	// more its new connections are refused for half a minute, and again with
	// the next failure unless it has been quiet for a while: each counts for
	// less as time passes and for nothing after a minute.
	Failures float64
	// V4 and V6 are the lengths of the prefixes that are limited: 1 to 32 and 1
	// to 128, 0 for 32 and 64. A /56 and a /48 that are wider than V6 are
	// limited as well, at four and sixteen times all of the above.
	V4, V6 int
	// Prefixes is how many prefixes are remembered at most, up to MaxPrefixes;
	// 0 for DefaultPrefixes. An IPv6 client takes up to three.
	Prefixes int
	// Handshakes is how many handshakes the process does at once.
	Handshakes int
	// HandshakesPerSecond is how many full handshakes the process does each
	// second. FullCost resumed ones count as one.
	HandshakesPerSecond float64
}

// What a table takes.
const (
	// DefaultPrefixes is how many prefixes a table remembers unless told.
	DefaultPrefixes = 1 << 16
	// MaxPrefixes is the most that can be asked for.
	MaxPrefixes = 1 << 24
	// BytesPerPrefix is the memory for each prefix that a table has room for,
	// taken when the first limit is set. A table takes 32 KiB beside it.
	BytesPerPrefix = 64
)

// Check says what in c is out of range. [New], [NewBudget] and both Configure
// take the nearest value that is not, and of what is no finite number 0.
func (c Config) Check() error {
	for _, n := range []struct {
		name  string
		value int
		most  int
	}{
		{"connections at once", c.Concurrent, math.MaxInt32},
		{"burst of new connections", c.Burst, math.MaxInt32},
		{"length of IPv4 prefixes", c.V4, 32},
		{"length of IPv6 prefixes", c.V6, 128},
		{"prefixes", c.Prefixes, MaxPrefixes},
		{"handshakes at once", c.Handshakes, math.MaxInt32},
	} {
		if n.value < 0 || n.value > n.most {
			return fmt.Errorf("limit: %s: %d: expected 0 to %d", n.name, n.value, n.most)
		}
	}
	for _, r := range []struct {
		name  string
		value float64
	}{
		{"new connections per second", c.PerSecond},
		{"failed handshakes per minute", c.Failures},
		{"handshakes per second", c.HandshakesPerSecond},
	} {
		if r.value < 0 || math.IsNaN(r.value) || math.IsInf(r.value, 0) {
			return fmt.Errorf("limit: %s: %v: expected 0 or a positive number", r.name, r.value)
		}
	}
	return nil
}

// sane is c with 0 for what is out of range, and with the defaults.
func (c Config) sane() Config {
	for _, n := range []*int{&c.Concurrent, &c.Burst, &c.V4, &c.V6, &c.Prefixes, &c.Handshakes} {
		*n = min(max(*n, 0), math.MaxInt32)
	}
	for _, r := range []*float64{&c.PerSecond, &c.Failures, &c.HandshakesPerSecond} {
		if !(*r > 0 && *r <= math.MaxFloat64) {
			*r = 0
		}
	}
	if c.Burst == 0 {
		c.Burst = int(min(max(c.PerSecond, 1), math.MaxInt32))
	}
	c.V4 = min(cmp.Or(c.V4, 32), 32)
	c.V6 = min(cmp.Or(c.V6, 64), 128)
	c.Prefixes = min(cmp.Or(c.Prefixes, DefaultPrefixes), MaxPrefixes)
	return c
}

// Reason is why a connection is refused.
type Reason uint8

// The reasons, OK for none.
const (
	OK              Reason = iota
	TooMany                // the prefix has Config.Concurrent connections
	TooFast                // it makes more than Config.PerSecond
	TooManyFailures        // more of its handshakes than Config.Failures have failed
)

// String is the reason in words for logs.
func (r Reason) String() string {
	switch r {
	case OK:
		return "ok"
	case TooMany:
		return "too many connections at once"
	case TooFast:
		return "too many new connections"
	case TooManyFailures:
		return "too many failed handshakes"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Verdict is what becomes of a connection.
type Verdict struct {
	Reason Reason
	// The prefix, as in a key. As a netip.Prefix it would be too large for the
	// compiler to keep a Verdict in registers.
	bits   uint8
	hi, lo uint64
}

// Prefix is the one that has exceeded its limit, the longest if several have;
// the zero Prefix with OK.
func (v Verdict) Prefix() netip.Prefix {
	if v.Reason == OK {
		return netip.Prefix{}
	}
	return key{v.hi, v.lo, uint64(v.bits)}.prefix()
}

// ErrBusy is [Budget.Acquire]'s answer to those that have waited in vain.
var ErrBusy = errors.New("too many handshakes")
