// Package proxy accepts connections and relays each to a server.
//
// A [Proxy] runs under a [Config], plain data that is compiled into an immutable snapshot: connections find it by one
// atomic load, and every change is one [Proxy.Update]. The way of a connection is connection.serve.
package proxy

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"edgepen/acl"
	"edgepen/certs"
	"edgepen/certs/revoke"
	"edgepen/certs/staple"
	"edgepen/geo"
	"edgepen/proxy/accesslog"
	"edgepen/proxy/backend"
	"edgepen/proxy/dsr"
	"edgepen/proxy/h3"
	"edgepen/proxy/health"
	"edgepen/proxy/limit"
	"edgepen/proxy/trafficlog"
	"edgepen/tls"
)

// Proxy is a load balancer. It is configured by Update, also while it runs, opened by Listen and Activate, and run by Serve.
type Proxy struct {
	log           *slog.Logger
	level         *slog.LevelVar
	alive         context.Context // until Close
	die           context.CancelFunc
	staying       context.Context // until Drain or Close
	leave         context.CancelFunc
	now           atomic.Pointer[snapshot] // nil until Activate
	terminator    *tls.Terminator
	store         *certs.Store // our own certificates
	upstreamStore *certs.Store // those for connections to the servers
	revocation    *revoke.Checker
	geo           geo.Store
	listFiles     acl.FileStore
	staples       *staple.Keeper
	acme          *authority
	limits        *limit.Table
	budget        *limit.Budget
	tarpit        *tarpit
	denials       [reasons]atomic.Uint64 // clients denied, by reason
	failures      *failures
	irreplaceable seldom // failures of servers of datagrams whose place nobody could take
	unreached     seldom // servers towards which we have no address
	health        *health.Keeper
	clients       *backend.Clients
	slots         *slots
	rotor         backend.Rotor
	traffic       atomic.Pointer[trafficlog.Log]   // nil: nothing is recorded
	access        atomic.Pointer[accesslog.Writer] // nil: there is no access log
	idlers        *idlers
	spares        *spares
	trunks        *trunks
	unintroduced  atomic.Uint64 // connections whose PROXY header was missing or malformed
	dsr           *dsr.Balancer // nil: none
	emergency     backend.State
	abuse         backend.State

	mu          sync.Mutex // held by whoever changes something; connections never take it
	config      Config
	states      []*backend.State          // by server slot; it only grows
	routeStates map[string]*backend.State // of the servers of routes
	listeners   []*listener
	endpoints   map[string]*h3.Endpoint // for HTTP/3, by address; one lives on without its listener until its connections have ended
	serving     bool
	stale       atomic.Bool // what is in force may be older than what has been read of its files
	rehearsing  bool        // a snapshot is being made for Check or Explain
	closed      bool

	running sync.WaitGroup // accept loops and connections
}

// New returns a proxy with pen's default settings that does nothing yet.
// The level of its log follows the debug setting.
func New(log *slog.Logger, level *slog.LevelVar) *Proxy {
	p := &Proxy{log: log, level: level, config: DefaultConfig(), slots: newSlots()}
	p.clients = backend.NewClients(p.config.ClientsMax)
	p.idlers, p.spares, p.trunks = newIdlers(p), newSpares(), newTrunks()
	p.store, p.upstreamStore = certs.NewStore(), certs.NewStore()
	p.revocation, p.staples = revoke.NewChecker(log), staple.NewKeeper(log)
	p.acme, p.failures = newAuthority(log), newFailures(log)
	p.limits, p.budget, p.tarpit = limit.New(limit.Config{}, time.Now()), limit.NewBudget(limit.Config{}), new(tarpit)
	p.health = health.New(log, p.probe)
	p.routeStates, p.endpoints = map[string]*backend.State{}, map[string]*h3.Endpoint{}
	p.alive, p.die = context.WithCancel(context.Background())
	p.staying, p.leave = context.WithCancel(p.alive)
	p.terminator = tls.NewTerminator(func() *tls.Profile { return p.now.Load().profile })
	return p
}

// Draft is a configuration being edited. What is no setting but is to happen once the edit holds is left with After.
type Draft struct {
	Config
	proxy *Proxy
	after []func()
}

// After has f called when the edited configuration is in force.
func (d *Draft) After(f func()) { d.after = append(d.after, f) }

// Warn says what is odd about an edit that is made all the same.
func (d *Draft) Warn(message string) { d.After(func() { d.proxy.log.Warn(message) }) }

// Shun blacklists a server slot for a time from when the edit holds; 0 brings it back.
func (d *Draft) Shun(slot int, t time.Duration) {
	d.After(func() {
		p := d.proxy
		for len(p.states) <= slot {
			p.states = append(p.states, new(backend.State))
		}
		if t > 0 {
			p.states[slot].Shun(time.Now().Add(t))
		} else {
			p.states[slot].Unshun()
		}
	})
}

// Update changes the configuration: edit works on a copy, which is checked, compiled and put into force as a whole. On any
// error everything stays as it was. Connections that are established keep what they began with.
func (p *Proxy) Update(edit func(*Draft) error) error { return p.update(edit, false) }

// Reload is an Update that reads certificates and databases and looks up the servers' names again.
func (p *Proxy) Reload(edit func(*Draft) error) error { return p.update(edit, true) }

func (p *Proxy) update(edit func(*Draft) error, again bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errClosed
	}
	d := &Draft{Config: p.config.clone(), proxy: p}
	if err := edit(d); err != nil {
		return err
	}
	if p.now.Load() != nil && (again || !reflect.DeepEqual(d.Config, p.config)) {
		if err := p.apply(d.Config, again); err != nil {
			return err
		}
	}
	p.config = d.Config
	p.level.Set(levelOf(p.config.Debug))
	for _, f := range d.after {
		f()
	}
	return nil
}

var errClosed = errors.New("pen is ending: nothing can be changed any more")

// levelOf says what is logged at a debug level (-d): from 1 on what happens to connections, from 2 on commands as well.
func levelOf(debug int) slog.Level {
	switch {
	case debug <= 0:
		return slog.LevelWarn
	case debug == 1:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// apply puts a configuration into force: what is new is opened before what is old is closed.
func (p *Proxy) apply(c Config, again bool) error {
	if err := c.check(); err != nil {
		return err
	}
	old := p.now.Load()
	next, err := p.compile(c, old, again, p.resolver(old, again))
	if err == nil {
		err = p.acme.use(&c)
	}
	if err != nil {
		p.stale.Store(true) // it may have read what is not to come into force
		return err
	}
	opened, err := p.openNew(c, next, again)
	if err != nil {
		p.stale.Store(true)
		return errors.Join(err, p.acme.use(&p.config))
	}
	if !again && !reflect.DeepEqual(c.ACLs, p.config.ACLs) {
		p.stale.Store(true) // a file that one list has read anew may be another list's too
	}
	p.publish(next)
	p.useLog(opened.traffic)
	p.useAccessLog(opened.access, c.AccessLogFull)
	for _, l := range opened.gone {
		l.close()
	}
	for _, l := range opened.added {
		p.startLocked(l)
	}
	return nil
}

// opened is what a configuration needs opened, and what is left over.
type opened struct {
	traffic     *trafficlog.Log
	access      *accesslog.Writer
	added, gone []*listener
}

// openNew opens what a configuration needs and is not open yet; on an error nothing has changed.
func (p *Proxy) openNew(c Config, next *snapshot, again bool) (o opened, err error) {
	if o.traffic, err = p.openLog(c, again); err != nil {
		return opened{}, err
	}
	if o.access, err = p.openAccessLog(c, again); err == nil {
		err = p.updateDSR(next)
	}
	if err == nil { // where direct server return is in use, no listeners are opened, and nothing can fail any more
		o.added, o.gone, err = p.openListeners(c)
	}
	if err != nil {
		p.dropLog(o.traffic)
		p.dropAccessLog(o.access)
		return opened{}, err
	}
	return o, nil
}

// publish lets connections see a snapshot.
func (p *Proxy) publish(s *snapshot) {
	old := p.now.Swap(s)
	p.keepCertificates(s)
	p.health.Use(s.healthTargets(), s.Health)
	if old != nil && !slices.Equal(old.DeniedCerts, s.DeniedCerts) {
		p.endDenied()
	}
	if warnings := s.warnings(); old == nil || old.profile != s.profile || !slices.Equal(warnings, old.warnings()) {
		for _, w := range warnings {
			p.log.Warn(w)
		}
	}
	if notices := s.notices(); !slices.Equal(notices, old.notices()) {
		for _, n := range notices {
			p.log.Warn(n)
		}
	}
	if names := s.geo.Describe(); names != "" && (old == nil || old.geo != s.geo) {
		p.log.Info("GeoIP: " + names)
	}
	if old != nil && old.tunnelIdle() != s.tunnelIdle() {
		p.slots.each(func(c *connection) { c.setIdle(s) })
	}
	for _, l := range p.listeners {
		if l.flows != nil {
			l.flows.Reconfigure(s.flowConfig(l))
		}
	}
	p.clients.Grow(s.ClientsMax)
	p.limits.Configure(s.Limits)
	p.budget.Configure(s.Limits)
	p.tarpit.resize(s.TarpitMax)
	p.listFiles.Keep(slices.Collect(maps.Values(s.ACLs))...)
	p.slots.resize(s.ConnMax, s.PendingMax)
}

// Listen opens the listeners of the configuration. Nothing is accepted before Serve.
func (p *Proxy) Listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.config.check(); err != nil {
		return err
	}
	_, _, err := p.openListeners(p.config)
	return err
}

// Activate compiles the configuration: certificates and databases are read, the servers' names looked up.
func (p *Proxy) Activate() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.compile(p.config, nil, true, p.resolver(nil, true))
	if err != nil {
		return err
	}
	if _, err := p.acme.wanted(&p.config); err != nil { // as root, perhaps: it reads files
		return err
	}
	if err := p.openDSR(s); err != nil {
		return err
	}
	p.clients = backend.NewClients(p.config.ClientsMax) // it may be smaller than the default
	p.publish(s)
	return nil
}

// OpenOwn opens what is to belong to the user that connections are served as, later than everything else: the logs of requests (-l, --access-log), and the
// directory for certificates that are obtained.
func (p *Proxy) OpenOwn() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.acme.use(&p.config); err != nil {
		return err
	}
	l, err := p.openLog(p.config, false)
	if err != nil {
		return err
	}
	access, err := p.openAccessLog(p.config, false)
	if err != nil {
		p.dropLog(l)
		return err
	}
	p.useLog(l)
	p.useAccessLog(access, p.config.AccessLogFull)
	return nil
}

// Serve begins to accept connections and returns.
func (p *Proxy) Serve() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serving = true
	p.running.Go(p.idlers.run)
	p.running.Go(p.resolveLoop)
	p.runKeepers()
	for _, l := range p.listeners {
		p.startLocked(l)
	}
}

func (p *Proxy) startLocked(l *listener) {
	switch {
	case !p.serving:
	case l.packets != nil:
		l.serveDatagrams()
	case l.quic != nil:
		l.serveHTTP3()
	default:
		p.running.Go(l.acceptLoop)
	}
}

// Close ends all listeners and connections and returns when the last one is gone.
func (p *Proxy) Close() {
	p.die() // first: an Update that looks up names holds the lock
	p.mu.Lock()
	p.closed = true
	for _, l := range p.listeners {
		l.close()
	}
	p.listeners = nil
	if p.dsr != nil {
		p.dsr.Close()
		p.dsr = nil
	}
	endpoints := p.endpoints
	p.mu.Unlock()
	for _, e := range endpoints {
		e.End() // first: then no connection begins any more
	}
	p.endAccessLog()
	p.slots.close()
	p.running.Wait()
	for _, e := range endpoints {
		e.Wait()
	}
	p.spares.tend(nil) // those of connections that ended last
	p.trunks.tend(nil)
	p.useLog(nil)
	p.useAccessLog(nil, DropLines)
}

// ControlPermits asks the list for control connections about whoever has made one.
func (p *Proxy) ControlPermits(who *acl.Client) bool {
	s := p.now.Load()
	if s == nil {
		return true
	}
	return s.lists[s.ControlACL].Judge(who, acl.Certificate).Permit // a list without entries permits all
}

// Config returns a copy of the configuration in force.
func (p *Proxy) Config() Config {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.config.clone()
}
