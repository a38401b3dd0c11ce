package acme

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"edgepen/certs"

	"github.com/caddyserver/certmagic"
)

// authority is one CA with one account while Run runs: certmagic's part of it,
// and a goroutine for each name that has no certificate yet. When the CA or the
// account changes, another takes its place.
type authority struct {
	id     identity
	m      *Manager
	log    *slog.Logger
	store  *storage
	issuer *issuer
	magic  *certmagic.Config
	cache  *certmagic.Cache
	life   context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu    sync.Mutex
	names map[string]context.CancelFunc // kept: ends the name's goroutine
	gone  map[string]bool               // no longer kept
}

func newAuthority(ctx context.Context, m *Manager, id identity, store *storage) *authority {
	a := &authority{id: id, m: m, log: m.log, store: store, names: map[string]context.CancelFunc{}, gone: map[string]bool{}}
	a.life, a.cancel = context.WithCancel(ctx)
	a.issuer = newIssuer(a.life, id, store, m.table, m.log)
	logger := zapLog(m.log)
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return a.magic, nil },
		RenewCheckInterval: m.pace.check,
		OCSPCheckInterval:  10000 * time.Hour, // package staple's job
		Logger:             logger,
	})
	a.magic = certmagic.New(a.cache, certmagic.Config{
		RenewalWindowRatio: certmagic.DefaultRenewalWindowRatio,
		Issuers:            []certmagic.Issuer{a.issuer},
		KeySource:          certmagic.StandardKeyGenerator{KeyType: certmagic.P256},
		OCSP:               certmagic.OCSPConfig{DisableStapling: true},
		Storage:            store,
		OnEvent:            a.event,
		Logger:             logger,
	})
	return a
}

// close gives up what is under way and waits for it.
func (a *authority) close() {
	a.cancel()
	a.cache.Stop()
	a.tasks.Wait()
	a.issuer.close()
}

// keep begins with names that are new, and leaves those that are gone.
func (a *authority) keep(names map[string]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, stop := range a.names {
		if !names[name] {
			stop()
			delete(a.names, name)
			a.gone[name] = true
		}
	}
	for name := range names {
		if a.names[name] == nil {
			ctx, stop := context.WithCancel(a.life)
			a.names[name] = stop
			delete(a.gone, name)
			a.tasks.Go(func() { a.obtain(ctx, name) })
		}
	}
	a.leave()
}

// leave keeps certmagic from renewing names that are gone. It is to be called
// again: a renewal under way puts its certificate back into the cache. a.mu is
// held.
func (a *authority) leave() {
	var subjects []certmagic.SubjectIssuer
	for name := range a.gone {
		subjects = append(subjects, certmagic.SubjectIssuer{Subject: name})
	}
	a.cache.RemoveManaged(subjects)
}

// keeps reports whether name is one of the Config's names.
func (a *authority) keeps(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.names[name] != nil
}

// attended marks the context of an attempt whose failure its caller reports.
type attended struct{}

// obtain tries until name has a valid certificate, or one that certmagic's
// maintenance will renew.
func (a *authority) obtain(ctx context.Context, name string) {
	for failures := 0; ; failures++ {
		a.discardUnusable(name)
		err := a.magic.ManageSync(context.WithValue(ctx, attended{}, true), []string{name})
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			// What another process obtained is served too.
			if err := a.publish(name, false); err != nil {
				a.log.Warn("ACME certificate not loaded", "name", name, "why", err)
			}
			return
		}
		if len(a.cache.AllMatchingCertificates(name)) > 0 {
			a.fail(name, err, failures, a.m.pace.check)
			return
		}
		wait := a.m.pace.retry(failures)
		a.fail(name, err, failures, wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// discardUnusable removes files that are there and cannot be served: certmagic
// would not obtain others. It reports whether there is a certificate.
func (a *authority) discardUnusable(name string) bool {
	_, err := a.store.certificate(a.id.key(), name)
	if errors.Is(err, errUnusable) {
		a.log.Warn("stored ACME certificate removed", "name", name, "why", err)
		if err := a.store.forget(a.id.key(), name); err != nil {
			a.log.Warn("stored ACME certificate not removed", "name", name, "why", err)
		}
	}
	return err == nil
}

// reload serves what certmagic found renewed in the storage, by another
// process: it tells of none but its own.
func (a *authority) reload() {
	a.mu.Lock()
	names := slices.Collect(maps.Keys(a.names))
	a.mu.Unlock()
	for _, name := range names {
		e := a.m.served.all()[name]
		for _, cached := range a.cache.AllMatchingCertificates(name) {
			if e == nil || !e.certs[0].Leaf().Equal(cached.Leaf) {
				if err := a.publish(name, false); err != nil {
					a.log.Warn("ACME certificate not loaded", "name", name, "why", err)
				}
			}
		}
	}
}

// fail reports that name got no certificate, and when it is tried again.
func (a *authority) fail(name string, err error, failures int, wait time.Duration) {
	a.log.Warn("certificate not obtained", "name", name, "ca", a.id.directory, "why", words(err), "retry_in", wait.Round(time.Second))
	a.m.mu.Lock()
	defer a.m.mu.Unlock()
	a.m.failed[name] = failure{words(err), failures + 1, time.Now().Add(wait)}
}

// publish serves the stored certificate for name, if name is still wanted from
// this authority and the certificate is not the one that is served.
func (a *authority) publish(name string, onDemand bool) error {
	cert, err := a.store.certificate(a.id.key(), name)
	if err != nil {
		return err
	}
	a.m.mu.Lock()
	defer a.m.mu.Unlock()
	if a.m.at != a || !a.m.want.wants(name) {
		return nil
	}
	delete(a.m.failed, name)
	delete(a.m.demand.failed, name)
	if now := a.m.served.all()[name]; now != nil && now.certs[0].Leaf().Equal(cert.Leaf()) {
		return nil
	}
	a.m.served.edit(func(all map[string]*entry) {
		all[name] = &entry{certs: []*certs.Certificate{cert}, key: a.id.key(), onDemand: onDemand}
	})
	return nil
}

// event is called by certmagic.
func (a *authority) event(ctx context.Context, kind string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	renewal, _ := data["renewal"].(bool)
	switch kind {
	case "cert_obtaining":
		a.log.Info("obtaining certificate", "name", name, "ca", a.id.directory, "renewal", renewal)
	case "cert_obtained":
		a.obtained(name)
	case "cert_failed":
		err, _ := data["error"].(error)
		if ctx.Value(attended{}) == nil && a.life.Err() == nil && err != nil {
			a.renewalFailed(name, err)
		}
	}
	return nil
}

func (a *authority) obtained(name string) {
	if err := a.publish(name, !a.keeps(name)); err != nil {
		a.log.Warn("certificate obtained but not loaded", "name", name, "why", err)
		return
	}
	if e := a.m.served.all()[name]; e != nil {
		leaf := e.certs[0].Leaf()
		a.log.Info("certificate obtained", "name", name, "until", leaf.NotAfter.Format(time.RFC3339), "issuer", leaf.Issuer.CommonName)
	}
}

// renewalFailed reports what failed in certmagic's maintenance, which will try
// again at a later check, after more failures a later one.
func (a *authority) renewalFailed(name string, err error) {
	until := "unknown"
	if e := a.m.served.all()[name]; e != nil {
		until = e.certs[0].Leaf().NotAfter.Format(time.RFC3339)
	}
	a.log.Warn("certificate not renewed", "name", name, "ca", a.id.directory, "why", words(err), "until", until,
		"retry_in", fmt.Sprintf("%v or more", a.m.pace.check))
	a.m.mu.Lock()
	defer a.m.mu.Unlock()
	a.m.failed[name] = failure{words(err), a.m.failed[name].count + 1, time.Time{}}
}
