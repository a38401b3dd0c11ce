package udp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"edgepen/proxy/backend"
)

// world is a balancer in a make-believe network, whose owner is the test.
type world struct {
	*balancer
	policy   *roundRobin
	dead     map[netip.AddrPort]error // what sending there says
	noRoute  map[netip.AddrPort]error // what connecting there says
	got      []string                 // "server:datagram" in order
	open     int
	openMax  int // descriptors; 0 for no limit
	deadline time.Time
	reports  []error
}

func newWorld(c Config, servers ...*backend.Server) *world {
	w := &world{policy: &roundRobin{servers: servers}, dead: map[netip.AddrPort]error{}, noRoute: map[netip.AddrPort]error{}}
	c.Trouble = func(err error) { w.reports = append(w.reports, err) }
	s := &Server{}
	s.cfg.Store(&c)
	w.balancer = newBalancer(s, w.policy)
	w.balancer.deadline = func(at time.Time) error { w.deadline = at; return nil }
	w.dial = func(f *flow, to endpoint) (socket, error) {
		if w.openMax > 0 && w.open >= w.openMax {
			return nil, syscall.EMFILE
		}
		if err := w.noRoute[to.addr]; err != nil {
			return nil, err
		}
		w.open++
		return &fakeSocket{w, to.addr}, nil
	}
	return w
}

type fakeSocket struct {
	w  *world
	to netip.AddrPort
}

func (s *fakeSocket) close() { s.w.open-- }

func (s *fakeSocket) send(datagrams [][]byte) (int, error) {
	for i, d := range datagrams {
		if err := s.w.dead[s.to]; err != nil {
			return i, err
		}
		if string(d) == "too long" {
			return i, syscall.EMSGSIZE
		}
		s.w.got = append(s.w.got, fmt.Sprintf("%d:%s", s.to.Port(), d))
	}
	return len(datagrams), nil
}

// client sends datagrams from a client, named by a number.
func (w *world) client(n int, datagrams ...string) {
	key := []byte(fmt.Sprint(n))
	f := w.table.get(key)
	if f == nil {
		f = w.admit(key, key, Origin{Client: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(n))})
	}
	if f == nil {
		return
	}
	var all [][]byte
	for _, d := range datagrams {
		all = append(all, []byte(d))
	}
	w.up(f, all)
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	w.start = w.start.Add(-d)
	w.tick()
}

func (w *world) flow(n int) *flow { return w.table.get([]byte(fmt.Sprint(n))) }

func (w *world) want(t *testing.T, got ...string) {
	t.Helper()
	if !slices.Equal(w.got, got) {
		t.Errorf("the servers got %v, want %v", w.got, got)
	}
	w.got = nil
}

// roundRobin is a policy that never chooses a server twice that has failed, unless it forgives.
type roundRobin struct {
	servers  []*backend.Server
	next     int
	shunned  []*backend.Server
	forgives bool
	failed   []string
	deny     bool
	removed  []netip.AddrPort
	away     int
}

func (p *roundRobin) Choose(o *Origin) (Route, bool) {
	var full *backend.Server
	for range p.servers {
		srv := p.servers[p.next%len(p.servers)]
		p.next++
		switch {
		case p.deny || slices.Contains(p.shunned, srv) || !p.forgives && slices.Contains(o.Left, srv.State):
		case srv.Acquire(false):
			return Route{Server: srv}, true
		case full == nil:
			full = srv
		}
	}
	return Route{Server: full}, false
}

func (p *roundRobin) TurnedAway(*Origin) { p.away++ }

func (p *roundRobin) Serves(_ *backend.Server, at netip.AddrPort) bool {
	return !slices.Contains(p.removed, at)
}

func (p *roundRobin) Failed(srv *backend.Server, why error) {
	srv.Release()
	p.failed = append(p.failed, srv.Address)
	if !p.forgives {
		p.shunned = append(p.shunned, srv)
	}
}

func (p *roundRobin) Ended(srv *backend.Server) { srv.Release() }

// server is one with its ports as addresses; it is named after the first.
func server(ports ...int) *backend.Server {
	s := &backend.Server{Spec: backend.Spec{Address: fmt.Sprint(ports[0]), Port: uint16(ports[0])}, State: &backend.State{}}
	for _, p := range ports {
		s.Addrs = append(s.Addrs, at(p))
	}
	return s
}

func at(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
}

func TestFlowsStayWithTheirServer(t *testing.T) {
	w := newWorld(Config{FlowsMax: 10}, server(1), server(2))
	w.client(1, "a")
	w.client(2, "b", "c")
	w.client(1, "", "d")
	w.want(t, "1:a", "2:b", "2:c", "1:", "1:d")
	if n := w.policy.servers[1].Sent(); n != 2 {
		t.Errorf("2 bytes were sent to the second server, %d counted", n)
	}
}

func TestARefusedDatagramGoesToTheNextServer(t *testing.T) {
	w := newWorld(Config{FlowsMax: 10}, server(1), server(2), server(3))
	w.client(1, "a")
	w.wentDown(w.flow(1), 1, 10)
	w.dead[at(1)], w.dead[at(2)] = syscall.ECONNREFUSED, syscall.ECONNREFUSED
	w.client(1, "b", "c")
	w.want(t, "1:a", "3:b", "3:c")
	if want := []string{"1", "2"}; !slices.Equal(w.policy.failed, want) {
		t.Errorf("failed: %v, want %v", w.policy.failed, want)
	}
}

func TestTheFirstDatagramIsKeptUntilItsFateIsKnown(t *testing.T) {
	w := newWorld(Config{FlowsMax: 10}, server(1), server(2), server(3))
	w.client(1, "a")
	w.broken(w.flow(1), syscall.ECONNREFUSED) // ICMP came before the client sent more
	w.want(t, "1:a", "2:a")
	w.dead[at(2)] = syscall.ECONNREFUSED // or the next datagram finds it
	w.client(1, "b")
	w.want(t, "3:a", "3:b")
	w.wentDown(w.flow(1), 1, 1)
	w.broken(w.flow(1), syscall.ECONNREFUSED)
	w.want(t)
	if w.keeping.oldest != nil || w.flow(1) != nil || w.held != 0 || w.open != 0 {
		t.Errorf("after the last server's failure: flow %v, %d bytes kept, %d sockets", w.flow(1), w.held, w.open)
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	w := newWorld(Config{FlowsMax: 1000}, server(1))
	for n := range 40 {
		w.client(n, strings.Repeat("x", 60000))
	}
	if w.held > heldMax {
		t.Errorf("%d bytes kept, at most %d wanted", w.held, heldMax)
	}
	w.endAll()
	if w.held != 0 {
		t.Errorf("%d bytes kept of no flow", w.held)
	}
}

func TestAllAddressesOfAServerAreTried(t *testing.T) {
	w := newWorld(Config{FlowsMax: 10}, server(1, 11, 12, 13), server(2))
	w.noRoute[at(1)], w.dead[at(11)], w.noRoute[at(12)] = syscall.ENETUNREACH, syscall.ECONNREFUSED, syscall.EHOSTUNREACH
	w.client(1, "a")
	w.want(t, "13:a")
	if len(w.policy.failed) != 0 {
		t.Errorf("failed: %v, want none", w.policy.failed)
	}
	w.broken(w.flow(1), syscall.ECONNREFUSED)
	w.want(t, "2:a")
}

func TestOtherFlowsLeaveAFailedServer(t *testing.T) {
	w := newWorld(Config{FlowsMax: 10}, server(1), server(2))
	w.client(1, "a")
	w.client(2, "b")
	w.client(3, "c")
	w.want(t, "1:a", "2:b", "1:c")
	w.broken(w.flow(1), syscall.ECONNREFUSED)
	w.client(3, "d")
	w.want(t, "2:a", "2:c", "2:d")
	if n := w.policy.servers[0].Conns(); n != 0 {
		t.Errorf("%d flows hold slots of the failed server", n)
	}
	w.policy.shunned = nil // it is back
	w.policy.next = 0
	w.broken(w.flow(2), syscall.ECONNREFUSED)
	w.want(t, "1:b")
	w.client(2, "e")
	w.want(t, "1:e")
}

func TestUnansweredDatagramsAreAFailure(t *testing.T) {
	w := newWorld(Config{FlowsMax: 10, Unanswered: 3}, server(1), server(2))
	w.client(1, "a")
	w.client(2, "x")
	w.client(1, "b")
	w.wentDown(w.flow(1), 1, 5)
	w.client(1, "c")
	w.client(3, "d") // another flow's datagrams count as well
	w.client(1, "e")
	w.client(1, "soon") // many may come at once: that alone is no silence
	w.want(t, "1:a", "2:x", "1:b", "1:c", "1:d", "1:e", "1:soon")
	w.pass(silence)
	w.client(1, "f")
	w.client(3, "g")
	w.want(t, "2:f", "2:d", "2:g") // d was never answered: it is sent again
	if len(w.policy.failed) != 1 {
		t.Errorf("failed: %v, want the first server once", w.policy.failed)
	}
}

// TestAUnixSocketThatIsRefused is connected again before it counts as failed, but not where it is silent.
func TestAUnixSocketThatIsRefused(t *testing.T) {
	unix := &backend.Server{Spec: backend.Spec{Address: "/unix", Port: 1}, State: &backend.State{}}
	w := newWorld(Config{FlowsMax: 10, Unanswered: 2}, unix, server(2))
	w.client(1, "a")
	w.broken(w.flow(1), syscall.ECONNREFUSED)
	w.client(1, "b")
	w.client(1, "c")
	w.want(t, "0:a", "0:b", "0:c")
	w.pass(silence)
	w.client(1, "d")
	w.want(t, "2:d")
	if want := []string{"/unix"}; !slices.Equal(w.policy.failed, want) {
		t.Errorf("failed: %v, want %v", w.policy.failed, want)
	}
}

func TestNoServerIsLeft(t *testing.T) {
	w := newWorld(Config{FlowsMax: 10}, server(1), server(2))
	w.dead[at(1)], w.dead[at(2)] = syscall.ECONNREFUSED, syscall.ECONNREFUSED
	w.client(1, "a", "b")
	w.client(1, "c")
	w.want(t)
	if w.table.len() != 0 || w.open != 0 || w.policy.servers[0].Conns() != 0 || w.policy.servers[1].Conns() != 0 {
		t.Errorf("%d flows, %d sockets and slots are left", w.table.len(), w.open)
	}
	w.policy.deny = true
	w.client(2, "d")
	if w.table.len() != 0 {
		t.Error("a denied client has a flow")
	}
}

// TestAForgivingPolicy is one that sends a flow back to servers that refuse it: it must come to an end.
func TestAForgivingPolicy(t *testing.T) {
	w := newWorld(Config{FlowsMax: 10}, server(1), server(2))
	w.policy.forgives = true
	w.client(1, "a")
	w.dead[at(1)], w.dead[at(2)] = syscall.ECONNREFUSED, syscall.ECONNREFUSED
	w.client(1, "b")
	if n := len(w.policy.failed); n == 0 || n > triesMax {
		t.Errorf("one datagram made servers fail %d times, at most %d wanted", n, triesMax)
	}
	if w.table.len() != 0 || w.open != 0 {
		t.Errorf("%d flows, %d sockets are left", w.table.len(), w.open)
	}
}

func TestWhatCannotBeSentIsDropped(t *testing.T) {
	w := newWorld(Config{FlowsMax: 10}, server(1))
	w.client(1, "too long", "a", "too long", "too long", "b")
	w.want(t, "1:a", "1:b")
	w.broken(w.flow(1), syscall.ENOMEM)
	if w.flow(1) == nil || len(w.policy.failed) != 0 || len(w.reports) != 1 {
		t.Errorf("an error of ours ended the flow or was held against the server; reports: %v", w.reports)
	}
}

func TestTheFlowUnusedForLongestMakesRoom(t *testing.T) {
	w := newWorld(Config{FlowsMax: 4}, server(1))
	for _, n := range []int{0, 1, 2, 3, 0, 2} {
		w.client(n, "x")
	}
	w.wentDown(w.flow(1), 1, 1)
	w.client(4, "x") // pen 0.34.1: the one without recent traffic goes, here 3
	w.client(5, "x") // then 0
	checkOrder(t, w.table, []string{"2", "1", "4", "5"})
	if n := w.policy.servers[0].Conns(); n != 4 || w.open != 4 {
		t.Errorf("%d slots and %d sockets for 4 flows", n, w.open)
	}
	w.server.cfg.Store(&Config{FlowsMax: 1})
	w.tend()
	checkOrder(t, w.table, []string{"5"})
}

func TestIdleFlowsEnd(t *testing.T) {
	w := newWorld(Config{FlowsMax: 4, Idle: time.Hour}, server(1))
	w.client(1, "x")
	w.client(2, "x")
	if !w.needsTending() {
		t.Error("with the first flow, a deadline has to be set")
	}
	w.start = w.start.Add(-40 * time.Minute)
	w.tick()
	w.client(2, "x")
	w.tend()
	if in := time.Until(w.deadline); w.table.len() != 2 || in < 19*time.Minute || in > 21*time.Minute {
		t.Errorf("after 40 minutes: %d flows, the next look in %v, want 2 and 20 minutes", w.table.len(), in)
	}
	w.start = w.start.Add(-30 * time.Minute)
	w.tend()
	checkOrder(t, w.table, []string{"2"})
	w.start = w.start.Add(-31 * time.Minute)
	w.tend()
	if w.table.len() != 0 || !w.deadline.IsZero() || w.needsTending() {
		t.Errorf("%d flows after a long silence, deadline %v", w.table.len(), w.deadline)
	}
}

func TestDescriptorsRunOut(t *testing.T) {
	w := newWorld(Config{FlowsMax: 100}, server(1))
	w.openMax = 3
	for n := range 5 {
		w.client(n, fmt.Sprint("d", n))
	}
	w.want(t, "1:d0", "1:d1", "1:d2", "1:d3", "1:d4")
	checkOrder(t, w.table, []string{"2", "3", "4"})
	if len(w.reports) != 1 || !errors.Is(w.reports[0], syscall.EMFILE) || len(w.policy.failed) != 0 {
		t.Errorf("reports: %v, failed: %v; want EMFILE once, and none", w.reports, w.policy.failed)
	}
}

// TestNothingIsLost holds sockets, slots and kept bytes to the flows that there are, whatever happens in whatever order.
func TestNothingIsLost(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	servers := []*backend.Server{server(1, 11), server(2), server(3)}
	servers[1].Max = 2
	w := newWorld(Config{FlowsMax: 8, Unanswered: 20}, servers...)
	ports := []int{1, 11, 2, 3}
	for step := range 20000 {
		n := r.IntN(14)
		f := w.flow(n)
		switch r.IntN(12) {
		case 0:
			w.dead[at(ports[r.IntN(4)])] = []error{nil, nil, syscall.ECONNREFUSED, syscall.EAGAIN}[r.IntN(4)]
		case 1:
			w.noRoute[at(ports[r.IntN(4)])] = []error{nil, nil, syscall.EHOSTUNREACH, syscall.ENOBUFS}[r.IntN(4)]
		case 2:
			w.policy.shunned, w.policy.forgives, w.openMax = nil, r.IntN(2) == 0, r.IntN(12)
		case 3:
			if f != nil {
				w.broken(f, syscall.ECONNREFUSED)
			}
		case 4, 5:
			if f != nil {
				w.wentDown(f, 1, 1)
			}
		case 6:
			w.tend()
		case 7:
			w.policy.removed = []netip.AddrPort{at(ports[r.IntN(4)])}
			w.server.cfg.Store(&Config{FlowsMax: 4 + r.IntN(5), Unanswered: 20})
			w.tend()
		case 8:
			w.pass(time.Duration(r.IntN(6)) * time.Second)
		default:
			w.client(n, "a", "too long", "b")
			w.client(n, "c")
		}
		w.checkAccounts(t, step)
	}
	w.endAll()
	w.checkAccounts(t, -1)
}

func (w *world) checkAccounts(t *testing.T, step int) {
	t.Helper()
	slots, held := 0, 0
	for _, s := range w.policy.servers {
		slots += s.Conns()
	}
	for _, f := range w.table.flows {
		held += len(f.held)
	}
	queued := 0
	for _, h := range w.health {
		queued += length(&h.flows)
	}
	n := w.table.len()
	if queued != n || length(&w.table.order) != n {
		t.Fatalf("step %d: %d flows, of which the servers have %d, and %d are in order", step, n, queued, length(&w.table.order))
	}
	if n > 8 || slots != n || w.open != n || held != w.held || w.server.Flows() != n {
		t.Fatalf("step %d: %d flows, %d counted, with %d slots, %d sockets; %d bytes kept of %d", step, n, w.server.Flows(), slots, w.open,
			w.held, held)
	}
	w.got, w.reports, w.policy.failed = w.got[:0], nil, nil
}
