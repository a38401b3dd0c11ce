package proxy

import (
	"fmt"
	"net/netip"
	"slices"

	"edgepen/acl"
	"edgepen/certs"
	"edgepen/certs/revoke"
	"edgepen/geo"
	"edgepen/httpx"
	"edgepen/proxy/accesslog"
	"edgepen/proxy/backend"
	"edgepen/tls"
	"edgepen/tls/upstream"
)

// snapshot is a configuration compiled for use: immutable, found by one atomic load.
type snapshot struct {
	Config
	set   *backend.Set
	lists map[int]*acl.Compiled
	geo   *geo.DB // nil: none

	certs      *certs.Set                       // nil: no TLS
	profile    *tls.Profile                     // the same
	revocation *revoke.Rules                    // what clients' certificates are held against
	policies   map[bool]*httpx.ResponsePolicy   // by whether the client speaks TLS
	pages      httpx.Pages                      // with our own answers
	announcing map[string]*httpx.ResponsePolicy // the same with TLS where HTTP/3 is offered too, by the listener's address
	upstream   *upstream.Client                 // nil: no TLS to the servers
	inside     *certs.Set                       // what upstream was made of
	routes     map[string]*backend.Set          // clients passed on without ending TLS, by name; nil: none
	stage      acl.Stage                        // what the access lists ask about at the latest
	byName     bool                             // they ask for names
	byJA4      bool                             // they ask for fingerprints
	access     *accesslog.Format                // nil: there is no access log
}

// permits asks an access list about an address; a list with no entries permits all. The zero Addr is a peer on a Unix socket.
func (s *snapshot) permits(list int, a netip.Addr) bool {
	return s.lists[list].Permit(a)
}

// listener is what a listener is to be at present. One whose address has gone from the configuration, but which has accepted a
// connection still, is what it was opened as.
func (s *snapshot) listener(l *listener) Listener {
	for _, now := range s.Listeners {
		if now.Address == l.Address {
			return now
		}
	}
	return l.Listener
}

// speaksTLS reports whether connections on a listener speak TLS.
func (s *snapshot) speaksTLS(l *listener) bool { return s.usesTLS(s.listener(l)) }

// sendsAway reports whether a listener is for plain HTTP that is sent to HTTPS.
func (s *snapshot) sendsAway(l *listener) bool { return s.listener(l).TLS == Redirect }

// needs reports whether an access list asks about what is known at a stage.
func (s *snapshot) needs(stage acl.Stage) bool { return s.stage >= stage }

// tlsPort is the port of the first listener that speaks TLS.
func (s *snapshot) tlsPort() uint16 {
	for _, l := range s.Listeners {
		if port := ListenPort(l.Address); s.usesTLS(l) && port != 0 {
			return port
		}
	}
	return 443
}

func (s *snapshot) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(s.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// compile builds the snapshot of a configuration. What has not changed since old (nil at the start) is taken over, unless
// everything is to be read again.
func (p *Proxy) compile(c Config, old *snapshot, again bool, addresses resolver) (*snapshot, error) {
	s := &snapshot{Config: c, policies: map[bool]*httpx.ResponsePolicy{false: c.responsePolicy(false), true: c.responsePolicy(true)}, announcing: c.announcingPolicies()}
	if old == nil {
		old = &snapshot{}
	}
	running := old
	if again {
		old = &snapshot{}
	}
	for _, step := range []func() error{
		s.compileAccessLog,
		func() error { return s.readPages(old) },
		func() error { return s.openGeo(p, old) },
		func() error { return s.compileLists(p, running, again) },
		func() error { return s.loadCertificates(p, old) },
		s.ruleOnRevocation,
		func() error { return s.loadUpstream(p, old) },
		s.checkServerNames,
		func() error { return p.compileSet(s, addresses) },
		func() error { return p.compileRoutes(s, addresses) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// openGeo opens the databases of places; what has not changed on disk is not read again.
func (s *snapshot) openGeo(p *Proxy, old *snapshot) (err error) {
	if old.geo != nil && s.wantsBuiltin() == old.wantsBuiltin() && slices.Equal(s.GeoIP, old.GeoIP) {
		s.geo = old.geo
		return nil
	}
	s.geo, err = p.geo.Open(s.GeoIP, s.wantsBuiltin())
	return err
}

// wantsBuiltin reports whether the built-in database has to be there: who asks for no places does not pay for it.
func (c *Config) wantsBuiltin() bool {
	if !c.GeoBuiltin {
		return false
	}
	for _, l := range c.ACLs {
		if slices.ContainsFunc(l, func(e acl.Entry) bool { return e.Country != "" || e.Continent != "" }) {
			return true
		}
	}
	return c.PlaceFields.Country || c.PlaceFields.Continent || c.recordsCountries()
}

// compileLists makes the access lists ready to be asked. One that is as it was, and whose databases and files are, is taken over. Whether
// its files are is looked at where all is read again: one that is gone meanwhile must not stand in the way of other changes.
func (s *snapshot) compileLists(p *Proxy, running *snapshot, again bool) error {
	s.lists = map[int]*acl.Compiled{}
	for n, l := range s.ACLs {
		for _, e := range l {
			s.stage = max(s.stage, e.Stage())
			s.byName = s.byName || e.SNI != ""
			s.byJA4 = s.byJA4 || e.JA4 != ""
		}
		done := running.lists[n]
		same, err := s.sameList(p, n, running, again)
		if err == nil && !same {
			if done, err = acl.CompileWith(l, s.listOptions(p)); err == nil {
				done.Inherit(running.lists[n])
			}
		}
		if err != nil {
			return fmt.Errorf("access list %d: %v", n, err)
		}
		s.lists[n] = done
	}
	return nil
}

// sameList reports whether a list, its databases and, where all is read again, its files are what they were.
func (s *snapshot) sameList(p *Proxy, n int, running *snapshot, again bool) (bool, error) {
	had, ok := running.lists[n]
	if !ok || s.geo != running.geo || !slices.Equal(s.ACLs[n], running.ACLs[n]) {
		return false, nil
	}
	if !again {
		return true, nil
	}
	for path, set := range had.Files() {
		now, err := p.listFiles.Load(path)
		if err != nil || now != set {
			return false, err
		}
	}
	return true, nil
}

func (s *snapshot) listOptions(p *Proxy) acl.Options {
	return acl.Options{
		Geography: s.geo, HasCountry: s.geo.Has(geo.Country), HasContinent: s.geo.Has(geo.Continent), HasASN: s.geo.Has(geo.ASN),
		Files: p.listFiles.Load,
	}
}

// A resolver finds a server's addresses.
type resolver func(backend.Spec) ([]netip.AddrPort, error)

// resolver returns one that takes over what old knows. Where names are to be looked up again and that fails, a server keeps
// the addresses it had: a name server that is away for a moment must not undo a farm.
func (p *Proxy) resolver(old *snapshot, again bool) resolver {
	known := old.addresses()
	return func(spec backend.Spec) ([]netip.AddrPort, error) {
		had := known[named(spec)]
		if had != nil && !again {
			return had, nil
		}
		addrs, err := resolve(p.alive, spec)
		if err != nil && had != nil {
			p.log.Warn("a server keeps its former addresses", "server", spec.Address, "why", err)
			return had, nil
		}
		return addrs, err
	}
}

// named is the part of a server that its addresses depend on.
func named(spec backend.Spec) backend.Spec {
	return backend.Spec{Address: spec.Address, Port: spec.Port}
}

// addresses is what the servers' names stand for at present; s may be nil.
func (s *snapshot) addresses() map[backend.Spec][]netip.AddrPort {
	known := map[backend.Spec][]netip.AddrPort{}
	if s == nil || s.set == nil {
		return known
	}
	servers := append([]*backend.Server{s.set.Emergency, s.set.Abuse}, s.set.Servers...)
	for _, set := range s.routes {
		servers = append(servers, set.Servers...)
	}
	for _, srv := range servers {
		if srv != nil && srv.Addrs != nil {
			known[named(srv.Spec)] = srv.Addrs
		}
	}
	return known
}

// compileSet resolves the servers and builds their table.
func (p *Proxy) compileSet(s *snapshot, addresses resolver) error {
	c := backend.SetConfig{Mode: s.Mode, Rotor: &p.rotor}
	for i, spec := range s.Servers {
		if i == len(p.states) {
			p.states = append(p.states, new(backend.State))
		}
		addrs, err := addresses(spec)
		if err != nil {
			return err
		}
		c.Servers = append(c.Servers, &backend.Server{Index: i, Spec: spec, Addrs: addrs, State: p.states[i]})
	}
	var err error
	if c.Emergency, err = extra(s.Emergency, &p.emergency, addresses); err != nil {
		return err
	}
	if c.Abuse, err = extra(s.Abuse, &p.abuse, addresses); err != nil {
		return err
	}
	s.set = backend.NewSet(c)
	return nil
}

// extra is the emergency or the abuse server: nil if there is none.
func extra(spec backend.Spec, state *backend.State, addresses resolver) (*backend.Server, error) {
	if spec.Address == "" {
		return nil, nil
	}
	addrs, err := addresses(spec)
	return &backend.Server{Index: -1, Spec: spec, Addrs: addrs, State: state}, err
}
