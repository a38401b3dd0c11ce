package tls

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	stdtls "crypto/tls"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"edgepen/certs/ticket"
)

const (
	// ticketPeriod is how long a key of our own seals new tickets.
	ticketPeriod = 24 * time.Hour
	// ticketsKept is how many keys of our own open tickets: crypto/tls
	// resumes no session older than 7 days.
	ticketsKept = 7
)

// keyring is a list of ticket keys; the first seals, all open. It is immutable.
type keyring struct {
	keys  []ticket.Key
	since []time.Time // of keys, where they are our own
}

// ringmaster keeps the ticket keys of a process that has no file of them.
type ringmaster struct {
	mu   sync.Mutex
	ring atomic.Pointer[keyring]
}

// current returns the keys at the time now, with a new one if it is due.
func (m *ringmaster) current(now time.Time) *keyring {
	if r := m.ring.Load(); r != nil && now.Sub(r.since[0]) < ticketPeriod {
		return r
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.ring.Load()
	if old != nil && now.Sub(old.since[0]) < ticketPeriod {
		return old
	}
	r := old.rotated(now)
	m.ring.Store(r)
	return r
}

// rotated is r with a new key in front, and without those that have opened
// tickets for long enough. r may be nil.
func (r *keyring) rotated(now time.Time) *keyring {
	next := &keyring{keys: make([]ticket.Key, 1, ticketsKept), since: append(make([]time.Time, 0, ticketsKept), now)}
	rand.Read(next.keys[0][:])
	if r == nil {
		return next
	}
	for i, key := range r.keys {
		if len(next.keys) < ticketsKept && now.Sub(r.since[i]) < ticketsKept*ticketPeriod {
			next.keys, next.since = append(next.keys, key), append(next.since, r.since[i])
		}
	}
	return next
}

// variant is a configuration that handshakes share, with its ticket keys.
type variant struct {
	config *stdtls.Config
	mu     sync.Mutex
	sealed atomic.Pointer[keyring] // whose keys config has
}

// seal gives the configuration the keys of ring, if it has others.
func (v *variant) seal(ring *keyring) {
	if v.sealed.Load() == ring {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sealed.Load() != ring {
		v.config.SetSessionTicketKeys(v.keys(ring))
		v.sealed.Store(ring)
	}
}

// keys derives from ring those of the variant. Where clients are asked for a
// certificate a session must not be resumed that began where they were not, or
// for other CAs: its client has never had the occasion to show the right one.
// So such tickets are sealed with keys that depend on the CAs asked for, on
// every machine in the same way.
func (v *variant) keys(ring *keyring) []ticket.Key {
	if v.config.ClientAuth == stdtls.NoClientCert || v.config.ClientCAs == nil {
		return ring.keys
	}
	//lint:ignore SA1019 the system's roots, which it leaves out, are the same before and after
	subjects := slices.SortedFunc(slices.Values(v.config.ClientCAs.Subjects()), bytes.Compare)
	names := sha256.New()
	for _, subject := range subjects {
		digest := sha256.Sum256(subject)
		names.Write(digest[:])
	}
	asked := names.Sum([]byte("session tickets of clients asked for certificates\x00"))
	keys := make([]ticket.Key, len(ring.keys))
	for i, key := range ring.keys {
		mac := hmac.New(sha256.New, key[:])
		mac.Write(asked)
		mac.Sum(keys[i][:0])
	}
	return keys
}
