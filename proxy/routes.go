package proxy

import (
	"fmt"
	"strings"
	"time"

	"edgepen/acl"
	"edgepen/proxy/backend"
	"edgepen/proxy/relay"
	"edgepen/tls"
)

// compileRoutes resolves the servers of the routes by name.
func (p *Proxy) compileRoutes(s *snapshot, addresses resolver) error {
	for _, route := range s.Routes {
		c := backend.SetConfig{Mode: s.Mode}
		for i, spec := range route.Servers {
			addrs, err := addresses(spec)
			if err != nil {
				return fmt.Errorf("route for %s: %v", route.Name, err)
			}
			c.Servers = append(c.Servers, &backend.Server{Index: i, Spec: spec, Addrs: addrs, State: p.routeState(route.Name, spec)})
		}
		if s.routes == nil {
			s.routes = map[string]*backend.Set{}
		}
		s.routes[route.Name] = backend.NewSet(c)
	}
	return nil
}

// routeState is what outlives configurations for a server of a route. The caller holds the lock.
func (p *Proxy) routeState(name string, spec backend.Spec) *backend.State {
	key := name + " " + spec.String()
	state := p.routeStates[key]
	if state == nil {
		state = new(backend.State)
		p.routeStates[key] = state
	}
	return state
}

// route is the servers of clients that ask for a name, exactly or by *.SUFFIX for one label more; nil: TLS ends here.
func (s *snapshot) route(name string) *backend.Set {
	if set := s.routes[name]; set != nil || name == "" {
		return set
	}
	_, suffix, _ := strings.Cut(name, ".")
	return s.routes["*."+suffix]
}

// passOn relays a connection to the servers of its name as it is, from its first byte on.
func (c *connection) passOn(r *tls.Routed) {
	if !c.client.Unread(r.Read) {
		c.p.log.Info("client turned away", "client", c.shown, "why", "its ClientHello is too large to be passed on")
		return
	}
	if !c.admit(acl.Certificate) || c.denied { // nobody here will see a certificate of the client's, nor answer it
		c.turnAway()
		return
	}
	c.admitted.Store(&c.asker.who)
	if !c.stillPermitted() {
		c.p.log.Info("client refused", "client", c.shown, "why", "client_acl has changed")
		return
	}
	c.behalf = c.addr
	c.known = c.p.clients.Visit(c.addr, time.Now(), c.snap.Tracking)
	c.routed = c.snap.route(r.ServerName)
	c.asker.who.Name = r.ServerName // whether or not a list has asked for it
	server, err := c.connect(false)
	if err != nil {
		c.p.log.Info("client turned away", "client", c.shown, "name", r.ServerName, "why", err)
		return
	}
	c.relayRaw(relay.NewStream(c.client, nil), server, true)
	c.disconnected()
}
