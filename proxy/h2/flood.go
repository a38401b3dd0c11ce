package h2

import "time"

// A temper is how much we put up with: a bucket that leaks. What costs a client next to nothing and is answered, or changes nothing, fills it; what is
// of use empties it.
type temper struct {
	level float64
	at    time.Time
}

const (
	temperMax   = 2000 // so much at once
	temperDecay = 20   // a second
)

// add reports whether n more is too much.
func (t *temper) add(n float64, now time.Time) bool {
	if !t.at.IsZero() {
		t.level = max(0, t.level-now.Sub(t.at).Seconds()*temperDecay)
	}
	t.at = now
	t.level += n
	return t.level > temperMax
}

// calm is for what was of use.
func (t *temper) calm(n float64) { t.level = max(0, t.level-n) }

// patience is how many more requests a client may give up, or spoil, than it lets us answer. Giving up costs it next to nothing and a server a
// connection (CVE-2023-44487, CVE-2025-8671). Who gives up an answer that has begun has waited for it, as clients do whose answers have no end.
const patience = 200
