package acme

import (
	"context"
	"time"

	"edgepen/certs"
)

// The bounds of what clients can make us obtain by naming hosts.
const (
	demandAtOnce  = 10
	demandPerHour = 100
	demandTotal   = 10000
)

// demand is what is obtained on demand. Manager.mu guards it.
type demand struct {
	inFlight map[string]chan struct{} // closed at the end
	failed   map[string]failure
	begun    []time.Time // in the last hour
	warned   time.Time   // that the hour's are used up
}

func newDemand() demand {
	return demand{inFlight: map[string]chan struct{}{}, failed: map[string]failure{}}
}

// Obtain returns the certificate for name, a host name in lower case, and
// obtains it if Config.OnDemand allows that, until ctx is done; obtaining goes
// on then. At most 10 are obtained at once, 100 begun an hour, and 10,000
// served; a name that failed is left alone for a minute, then for longer. nil
// means that there is none.
func (m *Manager) Obtain(ctx context.Context, name string) []*certs.Certificate {
	if found := m.ForName(name); found != nil {
		return found
	}
	done := m.begin(name, time.Now())
	if done == nil {
		return nil
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
	return m.ForName(name)
}

// begin starts obtaining or renewing name, or joins who does. nil: refused.
func (m *Manager) begin(name string, now time.Time) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at == nil || m.at.life.Err() != nil || !m.want.allow.match(name) || m.at.keeps(name) {
		return nil
	}
	if done := m.demand.inFlight[name]; done != nil {
		return done
	}
	if why := m.demand.refuses(name, now); why != "" {
		m.log.Debug("certificate refused on demand", "name", name, "why", why)
		return nil
	}
	if len(m.demand.begun) >= demandPerHour || len(m.served.all()) >= demandTotal+len(m.want.names) {
		if now.Sub(m.demand.warned) >= time.Hour {
			m.demand.warned = now
			m.log.Warn("no more certificates are obtained on demand for now", "name", name, "limit_per_hour", demandPerHour, "limit", demandTotal)
		}
		return nil
	}
	m.demand.begun = append(m.demand.begun, now)
	done := make(chan struct{})
	m.demand.inFlight[name] = done
	at := m.at
	at.tasks.Go(func() {
		defer close(done)
		at.obtainOnDemand(name)
		m.mu.Lock()
		delete(m.demand.inFlight, name)
		m.mu.Unlock()
	})
	return done
}

// refuses says why name is not obtained now, or "". It forgets what is over.
func (d *demand) refuses(name string, now time.Time) string {
	for len(d.begun) > 0 && now.Sub(d.begun[0]) >= time.Hour {
		d.begun = d.begun[1:]
	}
	for other, f := range d.failed {
		if now.Sub(f.next) > 24*time.Hour {
			delete(d.failed, other)
		}
	}
	switch f, failed := d.failed[name]; {
	case failed && now.Before(f.next):
		return "it failed lately: " + f.why
	case len(d.inFlight) >= demandAtOnce:
		return "too many at once"
	}
	return ""
}

// obtainOnDemand obtains name once, or renews it. certmagic's maintenance does
// not know of it: sweep renews what clients still ask for.
func (a *authority) obtainOnDemand(name string) {
	ctx := context.WithValue(a.life, attended{}, true)
	order := a.magic.ObtainCertSync
	if a.discardUnusable(name) {
		order = func(ctx context.Context, name string) error { return a.magic.RenewCertSync(ctx, name, false) }
	}
	err := order(ctx, name)
	if err == nil {
		err = a.publish(name, true)
	}
	if err == nil || a.life.Err() != nil {
		return
	}
	a.m.mu.Lock()
	defer a.m.mu.Unlock()
	count := a.m.demand.failed[name].count
	wait := a.m.pace.retry(count)
	a.m.demand.failed[name] = failure{words(err), count + 1, time.Now().Add(wait)}
	a.log.Warn("certificate not obtained on demand", "name", name, "ca", a.id.directory, "why", words(err), "retry_in", wait.Round(time.Second))
}

// sweep renews the certificates on demand that are due and were used since
// they were obtained, or since the start, and drops those that have expired.
func (m *Manager) sweep() {
	now := time.Now()
	m.mu.Lock()
	at, store := m.at, m.store
	m.mu.Unlock()
	if at == nil {
		return
	}
	at.mu.Lock()
	at.leave()
	at.mu.Unlock()
	at.reload()
	expired := map[string]*entry{}
	for name, e := range m.served.all() {
		switch {
		case !e.onDemand:
		case e.due(now) && e.used.Load() && m.begin(name, now) != nil:
			// under way
		case e.expired(now):
			expired[name] = e
		}
	}
	if len(expired) > 0 {
		m.drop(expired, store)
	}
}

// drop takes expired certificates away, and out of the storage, but for those
// that were obtained anew meanwhile.
func (m *Manager) drop(expired map[string]*entry, store *storage) {
	m.served.edit(func(all map[string]*entry) {
		for name, e := range expired {
			if all[name] == e {
				delete(all, name)
			} else {
				delete(expired, name)
			}
		}
	})
	for name, e := range expired {
		if err := store.forget(e.key, name); err != nil {
			m.log.Warn("expired certificate not removed", "name", name, "why", err)
		}
	}
}
