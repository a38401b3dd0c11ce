package dsr

import (
	"sync/atomic"
	"time"
)

// How often a server is asked for its MAC address (reference: pen 0.34.1), and
// how many requests it may leave unanswered before it is down.
const (
	askEvery   = time.Second
	freshFor   = 60 * time.Second
	maxRetries = 3
)

// A neighbour is what is known of one address on the Ethernet. The state may be
// read by anybody; everything else belongs to the goroutine that calls hear and
// ask.
type neighbour struct {
	addr  [4]byte
	state atomic.Uint64 // the MAC address in the low 48 bits, and up or down

	heard      time.Time
	asked      time.Time
	unanswered int // requests since it was last heard
}

// A neighbour that is neither up nor down has not been given the time to answer.
const (
	up   = 1 << 48
	down = 1 << 49
)

// lookup is the MAC address last heard of, and whether the neighbour answers or
// has failed to.
func (n *neighbour) lookup() (mac MAC, isUp, isDown bool) {
	s := n.state.Load()
	for i := range mac {
		mac[i] = byte(s >> (40 - 8*i))
	}
	return mac, s&up != 0, s&down != 0
}

// hear notes a sign of life and reports whether it tells anything new.
func (n *neighbour) hear(mac MAC, now time.Time) bool {
	n.heard, n.unanswered = now, 0
	s := uint64(up)
	for i, b := range mac {
		s |= uint64(b) << (40 - 8*i)
	}
	return n.state.Swap(s) != s
}

// ask reports whether an ARP request is to be sent now, and whether the
// neighbour has just been found to be down.
func (n *neighbour) ask(now time.Time) (due, lost bool) {
	s := n.state.Load()
	if s&up != 0 && now.Sub(n.heard) < freshFor || n.unanswered > 0 && now.Sub(n.asked) < askEvery {
		return false, false
	}
	if n.unanswered == maxRetries && s&down == 0 {
		n.state.Store(s&^up | down)
		lost = true
	}
	n.asked = now
	n.unanswered = min(n.unanswered+1, maxRetries)
	return true, lost
}
