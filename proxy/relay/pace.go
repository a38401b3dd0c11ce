package relay

import "time"

// Pace is how slowly a client may send or take a body: Rate bytes a second at least, or slower for Grace in all. A pause is made up for by
// what comes faster afterwards, but nothing is laid by for the next one. A Rate of 0 is any pace.
type Pace struct {
	Rate  int
	Grace time.Duration
}

// pace is how far a client is behind. Only the time that we wait for it counts, not that of the server.
type pace struct {
	Pace
	behind time.Duration
}

// cost is the time that n bytes may take.
func (p *pace) cost(n int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(p.Rate)
}

// patience is how long may be waited for n bytes, or d if that is shorter; 0 is for ever.
func (p *pace) patience(n int, d time.Duration) time.Duration {
	if p.Rate <= 0 {
		return d
	}
	own := max(p.Grace-p.behind+p.cost(n), 1)
	if d <= 0 {
		return own
	}
	return min(d, own)
}

// waited notes that n bytes have taken d.
func (p *pace) waited(d time.Duration, n int) {
	if p.Rate > 0 {
		p.behind = max(p.behind+d-p.cost(n), 0)
	}
}

// within is d, or what is left until by, if that is set and sooner; 0 is for ever.
func within(now, by time.Time, d time.Duration) time.Duration {
	if by.IsZero() {
		return d
	}
	left := max(by.Sub(now), 1)
	if d <= 0 {
		return left
	}
	return min(d, left)
}
