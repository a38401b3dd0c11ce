package acme

import (
	"context"
	stdtls "crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"edgepen/certs"
)

// Manager obtains, renews and hands out certificates. All methods may be
// called at any time, from any goroutine; without Run it hands out what was
// obtained before, and obtains nothing.
type Manager struct {
	log    *slog.Logger
	table  *pending
	served *served
	pace   pace
	wake   chan struct{} // of Run: want has changed

	mu     sync.Mutex // guards what follows
	want   settings
	store  *storage   // of want; nil if nothing is wanted
	at     *authority // while Run runs and something is wanted
	demand demand
	failed map[string]failure // by name
}

// pace says how often things are done.
type pace struct {
	check time.Duration                    // looks at all certificates
	retry func(failures int) time.Duration // waits after a name's first, second … failure
}

// failure is why a name has no new certificate.
type failure struct {
	why   string
	count int
	next  time.Time // when it is tried again; zero: at a check to come
}

// Status is how a name stands.
type Status struct {
	Name     string
	OnDemand bool
	Until    time.Time // end of the certificate that is served; zero: none
	Error    string    // why there is no new one; "" if none is needed
	Next     time.Time // when it is tried again, where known
}

// New checks c and loads what was obtained before, which is served from then
// on, expired or not. It reads c.CARoots and c.Storage, which it makes if it is
// not there, and opens nothing else.
func New(c Config, log *slog.Logger) (*Manager, error) {
	m := &Manager{
		log: log, table: newPending(), served: newServed(), wake: make(chan struct{}, 1),
		pace:   pace{check: 10 * time.Minute, retry: retryAfter},
		failed: map[string]failure{},
		demand: newDemand(),
	}
	if err := m.Update(c); err != nil {
		return nil, err
	}
	return m, nil
}

// retryAfter grows from a minute to six hours, give or take a tenth. CAs limit
// failures too: Let's Encrypt allows five an hour for a name.
func retryAfter(failures int) time.Duration {
	minutes := []int{1, 2, 5, 15, 30, 60, 120, 240, 360}
	wait := time.Duration(minutes[min(failures, len(minutes)-1)]) * time.Minute
	return wait + time.Duration((rand.Float64()-0.5)/5*float64(wait))
}

// Update puts c in the place of the former Config. Names that are gone are not
// served any more, nor renewed; new ones are obtained while Run runs. If the CA
// or the storage is another, all certificates are obtained anew, and those of
// Config.Names are served until then. What else changes holds from the next
// order on. An error changes nothing.
func (m *Manager) Update(c Config) error {
	want, err := c.check()
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	store := m.store
	switch {
	case c.Empty():
		store = nil
	case store == nil || store.Path != want.storage:
		if store, err = openStorage(want.storage); err != nil {
			return err
		}
	}
	stored, err := m.stored(want, store)
	if err != nil {
		return err
	}
	if m.want.identity != want.identity {
		m.failed, m.demand.failed = map[string]failure{}, map[string]failure{}
	}
	m.want, m.store = want, store
	m.served.edit(func(all map[string]*entry) { want.merge(all, stored) })
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return nil
}

// wants reports whether a certificate for name is served at all.
func (s settings) wants(name string) bool { return s.names[name] || s.allow.match(name) }

// merge makes of all, what was served, what is to be served, of which stored
// is in the storage.
func (s settings) merge(all, stored map[string]*entry) {
	for name, e := range all {
		if !s.wants(name) || e.onDemand && stored[name] == nil {
			delete(all, name)
		}
	}
	maps.Copy(all, stored)
}

// stored returns the certificates of want that store has, and reads those that
// are not served from it already. On demand they count only while they are
// valid. m.mu is held.
func (m *Manager) stored(want settings, store *storage) (map[string]*entry, error) {
	found := map[string]*entry{}
	if store == nil {
		return found, nil
	}
	names, err := store.names(want.key())
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		named := want.names[name]
		if !named && !want.allow.match(name) {
			continue
		}
		e := &entry{key: want.key(), onDemand: !named}
		if now := m.served.all()[name]; now != nil && now.key == e.key && store == m.store {
			e.certs = now.certs // with its OCSP response
			e.used.Store(now.used.Load())
		} else if cert, err := store.certificate(e.key, name); err == nil {
			e.certs = []*certs.Certificate{cert}
		} else {
			if !errors.Is(err, fs.ErrNotExist) {
				m.log.Warn("stored ACME certificate not loaded", "name", name, "why", err)
			}
			continue
		}
		if named || !e.expired(time.Now()) {
			found[name] = e
		}
	}
	return found, nil
}

// Run obtains and renews until ctx is done, and then waits for what it began.
// It must not run twice at a time.
func (m *Manager) Run(ctx context.Context) {
	check := time.NewTicker(m.pace.check)
	defer check.Stop()
	defer m.install(nil)
	for {
		m.follow(ctx)
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-check.C:
			m.sweep()
		}
	}
}

// follow makes the authority what is wanted of it.
func (m *Manager) follow(ctx context.Context) {
	m.mu.Lock()
	want, store, at := m.want, m.store, m.at
	m.mu.Unlock()
	if at == nil || at.id != want.identity || store == nil {
		m.install(nil)
		at = nil
	}
	if store == nil {
		return
	}
	if at == nil {
		at = newAuthority(ctx, m, want.identity, store)
		m.install(at)
	}
	at.keep(want.names)
}

// install puts next in the place of the present authority, which is closed.
func (m *Manager) install(next *authority) {
	m.mu.Lock()
	former := m.at
	m.at = next
	m.mu.Unlock()
	if former != nil {
		former.close()
	}
}

// ForName returns the certificate for a host name in lower case, nil if there
// is none. It takes no lock and allocates nothing.
func (m *Manager) ForName(name string) []*certs.Certificate { return m.served.find(name) }

// All returns the certificates that are served, in the order of their names.
func (m *Manager) All() []*certs.Certificate {
	var all []*certs.Certificate
	for _, e := range m.served.all() {
		all = append(all, e.certs...)
	}
	slices.SortFunc(all, func(a, b *certs.Certificate) int { return slices.Compare(a.Names, b.Names) })
	return all
}

// Changed receives after All has changed, once for several changes in a row.
// It is for one reader.
func (m *Manager) Changed() <-chan struct{} { return m.served.notify }

// Status says how each name stands, in their order.
func (m *Manager) Status() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	byName := map[string]*Status{}
	get := func(name string) *Status {
		if byName[name] == nil {
			byName[name] = &Status{Name: name, OnDemand: !m.want.names[name]}
		}
		return byName[name]
	}
	for name := range m.want.names {
		get(name)
	}
	for name, e := range m.served.all() {
		get(name).Until = e.certs[0].Leaf().NotAfter
	}
	for _, failed := range []map[string]failure{m.failed, m.demand.failed} {
		for name, f := range failed {
			s := get(name)
			s.Error, s.Next = f.why, f.next
		}
	}
	var all []Status
	for _, s := range byName {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Pending reports whether the CA may ask about a challenge now: one atomic
// load.
func (m *Manager) Pending() bool { return m.table.count.Load() > 0 }

// ALPN returns the certificate that answers the tls-alpn-01 challenge for name
// (RFC 8737 section 3), nil if none is pending. It is for clients whose ALPN is
// "acme-tls/1" alone.
func (m *Manager) ALPN(name string) *stdtls.Certificate { return m.table.certificate(name) }

// HTTPToken returns the body that answers the http-01 challenge at path (RFC
// 8555 section 8.3) for a request's Host field. ok is false if none is pending
// there.
func (m *Manager) HTTPToken(host, path string) (keyAuthorization string, ok bool) {
	return m.table.authorization(host, path)
}
