package proxy

import (
	"net/netip"
	"slices"
	"time"

	"edgepen/proxy/backend"
)

// resolveLoop looks the servers' names up again every so often, until the proxy closes.
func (p *Proxy) resolveLoop() {
	const pause = time.Second // how soon a change of the interval is noticed
	t := time.NewTicker(pause)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case <-p.alive.Done():
			return
		case now := <-t.C:
			if every := p.now.Load().Resolve; every > 0 && now.Sub(last) >= every {
				p.lookUpNames()
				last = time.Now()
			}
		}
	}
}

// lookUpNames looks up every name among the servers. The lock is taken only for what has changed: a slow name server holds
// nobody up. A name that cannot be looked up keeps its addresses.
func (p *Proxy) lookUpNames() {
	changed := map[backend.Spec][]netip.AddrPort{}
	for spec, had := range p.now.Load().addresses() {
		if _, err := netip.ParseAddr(spec.Address); err == nil {
			continue
		}
		addrs, err := resolve(p.alive, spec)
		if err != nil {
			p.log.Warn("a server keeps its former addresses", "server", spec.Address, "why", err)
		} else if !sameAddresses(had, addrs) {
			changed[spec] = addrs
			p.log.Info("a server has new addresses", "server", spec.Address)
		}
	}
	if len(changed) > 0 {
		p.useAddresses(changed)
	}
}

// sameAddresses compares without regard to order, which name servers rotate.
func sameAddresses(a, b []netip.AddrPort) bool {
	compare := func(x, y netip.AddrPort) int { return x.Compare(y) }
	return slices.Equal(slices.SortedFunc(slices.Values(a), compare), slices.SortedFunc(slices.Values(b), compare))
}

// useAddresses puts new addresses into force for the servers that still have these names.
func (p *Proxy) useAddresses(changed map[backend.Spec][]netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	old := p.now.Load()
	known := p.resolver(old, false)
	next, err := p.compile(p.config, old, false, func(spec backend.Spec) ([]netip.AddrPort, error) {
		if addrs, ok := changed[named(spec)]; ok {
			return addrs, nil
		}
		return known(spec)
	})
	if err == nil {
		err = p.updateDSR(next)
	}
	if err != nil {
		p.log.Error("new addresses cannot be used", "why", err)
		return
	}
	p.publish(next)
}
