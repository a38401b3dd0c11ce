package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"edgepen/certs/acme"
	"edgepen/geo"
)

// oddities are what may be meant, and more often is not: said by whoever explains the configuration, and not at each start.
func (e *explanation) oddities() {
	e.foreignListeners()
	e.unreachableACME()
	if c := &e.Certificates; c.CAFile+c.CADir != "" && !e.asksForCertificates() {
		e.warn("CAs (-G, -A) do no more than complete our own chains: clients are asked for no certificate (--client-auth, -R)")
	}
}

// foreignListeners warns of listening addresses that this machine does not have: most often the listening address was forgotten, and a server taken for it.
func (e *explanation) foreignListeners() {
	ours, err := net.InterfaceAddrs()
	if err != nil {
		return
	}
	for _, l := range e.Listeners {
		network, addr, err := SplitListen(l.Address)
		if err != nil || network == "unix" {
			continue
		}
		host, _, _ := net.SplitHostPort(addr)
		if !belongs(ours, host) {
			e.warn("listening address %s: this machine does not have %s; the first operand is the address to listen on, and the others are servers", l.Address, host)
		}
	}
}

// belongs reports whether one of a host's addresses is ours, or nobody knows.
func belongs(ours []net.Addr, host string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return true // the start will say so
	}
	return slices.ContainsFunc(found, func(a netip.Addr) bool {
		a = a.Unmap().WithZone("")
		return a.IsUnspecified() || a.IsLoopback() || slices.ContainsFunc(ours, func(o net.Addr) bool {
			p, err := netip.ParsePrefix(o.String())
			return err == nil && p.Addr().Unmap().WithZone("") == a
		})
	})
}

// unreachableACME warns where a public authority will not find us, or cannot certify a name.
func (e *explanation) unreachableACME() {
	if !e.usesACME() || !slices.Contains([]string{"", acme.LetsEncrypt, acme.Staging}, e.ACME.CA) {
		return
	}
	for _, name := range e.ACME.Names {
		if !strings.Contains(name, ".") || strings.HasSuffix(name, ".localhost") {
			e.warn("acme: no public authority certifies %s: expected a name of the public DNS", name)
		}
	}
	kinds := e.ACME.Challenges
	if len(kinds) == 0 {
		kinds = []string{acme.TLSALPN01, acme.HTTP01}
	}
	byTLS := slices.Contains(kinds, acme.TLSALPN01) && slices.ContainsFunc(e.Listeners, func(l Listener) bool { return e.usesTLS(l) && ListenPort(l.Address) == 443 })
	byHTTP := slices.Contains(kinds, acme.HTTP01) && slices.ContainsFunc(e.Listeners, func(l Listener) bool { return l.TLS == Redirect && ListenPort(l.Address) == 80 })
	if !byTLS && !byHTTP {
		e.warn("acme: the authority connects to port 443 (%s) or 80 (%s, --redirect), and we listen on neither: one has to be passed on to us", acme.TLSALPN01, acme.HTTP01)
	}
}

// placeless says what of geo_fields no database can tell.
func (s *snapshot) placeless() (all []string) {
	for _, f := range []struct {
		wanted bool
		needs  geo.Needs
		name   string
	}{{s.PlaceFields.Country, geo.Country, "country"}, {s.PlaceFields.Continent, geo.Continent, "continent"}, {s.PlaceFields.ASN, geo.ASN, "asn"}} {
		if f.wanted && !s.geo.Has(f.needs) {
			all = append(all, fmt.Sprintf("geo_fields %s has no effect: no database says it (geoip FILE)", f.name))
		}
	}
	return all
}
