package acme

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"edgepen/certs"
)

// served is what there is for each name: an immutable map that is replaced.
type served struct {
	mu     sync.Mutex // among those who replace it
	byName atomic.Pointer[map[string]*entry]
	notify chan struct{}
}

// entry is one name's certificate.
type entry struct {
	certs    []*certs.Certificate // one
	key      string               // the CA's name in the storage
	onDemand bool
	used     atomic.Bool // on demand: a client asked for it
}

func newServed() *served {
	s := &served{notify: make(chan struct{}, 1)}
	s.byName.Store(&map[string]*entry{})
	return s
}

func (s *served) all() map[string]*entry { return *s.byName.Load() }

// find returns what a client is shown. It runs in every handshake.
func (s *served) find(name string) []*certs.Certificate {
	e := s.all()[name]
	if e == nil {
		return nil
	}
	if e.onDemand && !e.used.Load() {
		e.used.Store(true)
	}
	return e.certs
}

// edit replaces the map with one that change has changed.
func (s *served) edit(change func(map[string]*entry)) {
	s.mu.Lock()
	next := maps.Clone(s.all())
	change(next)
	s.byName.Store(&next)
	s.mu.Unlock()
	select {
	case s.notify <- struct{}{}:
	default:
	}
}

// expired reports whether e's certificate is of no use any more.
func (e *entry) expired(now time.Time) bool { return now.After(e.certs[0].Leaf().NotAfter) }

// due reports whether e's certificate has less than a third of its life left.
func (e *entry) due(now time.Time) bool {
	leaf := e.certs[0].Leaf()
	return now.After(leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3))
}
