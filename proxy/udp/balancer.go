package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"
	"time"

	"edgepen/proxy/backend"
)

const (
	// triesMax is how many addresses of servers one datagram is tried on.
	triesMax = 64
	// silence is how long a server may take to answer the first of Config.Unanswered
	// datagrams: many may come at once.
	silence = time.Second
	// settled is how long a flow keeps its place on a full server without a datagram: whoever is in the middle of something is not put out.
	settled = 2 * time.Second
	// datagramMax is the longest datagram that is passed on: more than UDP can
	// carry, and longer ones on Unix sockets are dropped.
	datagramMax = 1 << 16
)

var errSilent = errors.New("no answer to the datagrams sent to it")

// balancer is the flows of a listener and what becomes of them. It has one owner
// at a time.
type balancer struct {
	server   *Server
	policy   Policy
	dial     func(f *flow, to endpoint) (socket, error)
	deadline func(time.Time) error // when the owner is to call tend at the latest; zero for never

	cfg      *Config
	table    *table
	health   map[*backend.State]*health // grows with the number of servers there ever were
	start    time.Time
	now      time.Duration // since start; as of this round
	armed    bool          // a deadline is set
	held     int           // bytes in all flows' held
	keeping  queue         // the flows that hold a datagram, in the order in which it was sent
	troubled time.Duration // when Trouble may be called again
}

func newBalancer(s *Server, p Policy) *balancer {
	return &balancer{server: s, policy: p, cfg: s.cfg.Load(), table: newTable(), keeping: queue{links: ofHolding},
		health: make(map[*backend.State]*health), start: time.Now()}
}

// tick begins a round.
func (b *balancer) tick() { b.now = time.Since(b.start) }

// tend ends what is too old or too many, and sets the next deadline.
func (b *balancer) tend() {
	for {
		b.tick()
		if c := b.server.cfg.Load(); c != b.cfg {
			b.cfg = c
			b.unsettle()
		}
		b.endAsked()
		for b.table.len() > max(b.cfg.FlowsMax, 1) {
			b.end(b.table.order.oldest)
		}
		idle := b.cfg.Idle
		for f := b.table.order.oldest; f != nil && idle > 0 && b.now-f.used >= idle; f = b.table.order.oldest {
			b.end(f)
		}
		next := time.Time{}
		f := b.table.order.oldest
		b.armed = f != nil && idle > 0
		if b.armed {
			next = b.start.Add(f.used + idle)
		}
		b.deadline(next)
		// Reconfigure sets a deadline too, which the one just set may have undone.
		if b.cfg == b.server.cfg.Load() && b.server.ending.Load() == nil {
			return
		}
	}
}

// unsettle has the flows of servers that are not there any more, or not at that address, move with the next datagram; an answer
// may still come before.
func (b *balancer) unsettle() {
	for _, f := range b.table.flows {
		if !b.policy.Serves(f.route.Server, f.to()) {
			f.epoch = moves
			f.health.unanswered = 0 // whoever is there now has been asked nothing
		}
	}
}

// endAsked ends the flows that somebody wants ended.
func (b *balancer) endAsked() {
	e := b.server.ending.Swap(nil)
	if e == nil {
		return
	}
	n := 0
	for _, f := range b.table.flows {
		if e.which(f.origin.Client, f.route.Server) {
			b.end(f)
			n++
		}
	}
	e.ended <- n
}

// needsTending reports whether tend must be called before the owner waits.
func (b *balancer) needsTending() bool {
	return b.cfg != b.server.cfg.Load() || b.server.ending.Load() != nil || !b.armed && b.cfg.Idle > 0 && b.table.len() > 0
}

// identify makes the key of a flow: its sender's address, and that of the client that the sender speaks for, if it is another.
func identify(buf, sender []byte, client netip.AddrPort) []byte {
	buf = append(buf[:0], sender...)
	if !client.IsValid() {
		return buf
	}
	addr := client.Addr().As16()
	return binary.BigEndian.AppendUint16(append(append(buf, 0), addr[:]...), client.Port())
}

// strip takes off a datagram what is not the client's: so many bytes, and who that is if it is not the sender. False drops it.
func (b *balancer) strip(sender netip.AddrPort, datagram []byte) (n int, client netip.AddrPort, ok bool) {
	if b.cfg.Strip == nil {
		return 0, netip.AddrPort{}, true
	}
	return b.cfg.Strip(sender, datagram)
}

// admit makes a flow for a client that has none; nil if no server takes it.
func (b *balancer) admit(key, sender []byte, o Origin) *flow {
	f := &flow{key: string(key), origin: o, used: b.now, first: -1}
	f.sender = f.key[:len(sender)]
	f.origin.Said = bytes.Clone(o.Said)
	if !b.place(f) {
		return nil
	}
	for b.table.len() >= max(b.cfg.FlowsMax, 1) {
		b.end(b.table.order.oldest)
	}
	b.table.add(f)
	b.server.flows.Store(int64(b.table.len()))
	return f
}

// up passes datagrams from the client to the server.
func (b *balancer) up(f *flow, datagrams [][]byte) {
	b.touch(f)
	f.tries, f.origin.Left = 0, f.origin.Left[:0]
	if !b.settle(f) {
		return
	}
	b.send(f, datagrams)
}

// settle moves a flow whose server failed meanwhile, and reports whether it has a server.
func (b *balancer) settle(f *flow) bool {
	switch {
	case f.epoch != f.health.failures:
		held := b.atHand(f)
		if f.epoch == moves {
			held = nil // which nobody has refused
		}
		b.disconnect(f)
		b.leave(f)
		if !b.place(f) { // perhaps the same server, which is back
			b.forget(f)
			return false
		}
		b.again(f, held)
	case b.isSilent(f.health):
		b.refused(f, errSilent)
	}
	return f.up != nil
}

// isSilent reports whether a server leaves everything without an answer, and has had the time to give one.
func (b *balancer) isSilent(h *health) bool {
	limit := b.cfg.Unanswered
	return limit > 0 && h.unanswered >= limit && b.now-h.since >= silence
}

// send sends datagrams to the flow's server, or to the next one where that one
// refuses them. What cannot be sent for another reason, such as its length, is dropped.
func (b *balancer) send(f *flow, datagrams [][]byte) {
	for len(datagrams) > 0 && f.up != nil {
		batch := datagrams
		if !f.sent {
			batch = datagrams[:1] // if nobody is there, this one alone may be the price of knowing
		}
		n, err := f.up.send(batch)
		b.wentUp(f, batch[:n])
		datagrams = datagrams[n:]
		switch {
		case err == nil:
		case serverFault(err):
			b.refused(f, err)
		default:
			datagrams = datagrams[1:]
			if !errors.Is(err, syscall.EMSGSIZE) { // which is the client's doing
				b.trouble(err)
			}
		}
	}
}

// refused moves a flow that its server does not want, with the datagram that the server did not get.
func (b *balancer) refused(f *flow, why error) {
	held := b.atHand(f)
	if b.failover(f, why) {
		b.again(f, held)
	}
}

// broken hears of an error that the flow's socket had without a datagram being sent.
func (b *balancer) broken(f *flow, why error) {
	switch {
	case !serverFault(why):
		b.trouble(why)
	case f.held == nil && f.addr+1 >= len(f.route.Server.Addrs) && !f.route.Server.IsUnix():
		// There is nothing to send: the next server is chosen when there is.
		b.disconnect(f)
		b.fail(f, why)
		b.forget(f)
	default:
		b.refused(f, why)
	}
}

// failover takes the flow from its server to the next address of it, or to the
// next server. If there is none, the flow has ended.
func (b *balancer) failover(f *flow, why error) bool {
	b.disconnect(f)
	f.tries++
	if f.epoch != moves {
		f.health.unanswered = 0
	}
	next := f.addr + 1
	if f.route.Server.IsUnix() && why != errSilent {
		next = 0 // its file may be another one by now; if not, connect says so
	}
	if f.epoch != moves && f.tries < triesMax && b.connect(f, next) == nil {
		return true
	}
	b.fail(f, why)
	if f.tries < triesMax && b.place(f) {
		return true
	}
	b.forget(f)
	return false
}

// place gives the flow a server and connects to it.
func (b *balancer) place(f *flow) bool {
	for ; f.tries < triesMax; f.tries++ {
		if !b.choose(f) {
			return false
		}
		err := b.connect(f, 0)
		if err == nil {
			return true
		}
		if ourFault(err) {
			b.leave(f)
			b.trouble(err)
			return false
		}
		b.fail(f, err)
	}
	return false
}

// choose finds a server. Where all are full, one of them may make room.
func (b *balancer) choose(f *flow) bool {
	route, ok := b.policy.Choose(&f.origin)
	if full := route.Server; !ok && full != nil {
		if b.makeRoom(full) {
			route, ok = b.policy.Choose(&f.origin)
		}
		if !ok {
			b.policy.TurnedAway(&f.origin)
		}
	}
	if !ok {
		return false
	}
	f.route, f.health = route, b.healthOf(route.Server)
	f.epoch = f.health.failures
	f.health.flows.add(f)
	return true
}

// makeRoom ends the flow of a full server that has been without a datagram for longest, as one of all flows is ended where there are too many: they need not
// end by themselves, and nobody who is new would ever get in. False: there would be no room even so, or all are in use.
func (b *balancer) makeRoom(full *backend.Server) bool {
	idlest := b.healthOf(full).flows.oldest
	if idlest == nil || full.Conns() > full.Max {
		return false
	}
	if b.now-idlest.used < settled && b.table.len() < b.cfg.FlowsMax {
		return false
	}
	b.end(idlest)
	return true
}

// connect connects the flow to its server, at the first address from number from on that allows it.
func (b *balancer) connect(f *flow, from int) error {
	srv := f.route.Server
	if srv.IsUnix() {
		if from > 0 {
			return errUnresolved
		}
		return b.open(f, 0, endpoint{path: srv.Address})
	}
	err := errUnresolved
	for i := from; i < len(srv.Addrs); i++ {
		if err = b.open(f, i, endpoint{addr: srv.Addrs[i]}); err == nil || ourFault(err) {
			return err
		}
	}
	return err
}

func (b *balancer) open(f *flow, number int, to endpoint) error {
	up, err := b.dial(f, to)
	if isUsedUp(err) {
		// The limit on descriptors, or on ports, came before the limit on flows.
		if oldest := b.table.order.oldest; oldest != nil && oldest != f {
			b.trouble(err)
			b.end(oldest)
			up, err = b.dial(f, to)
		}
	}
	if err != nil {
		return err
	}
	f.up, f.addr, f.sent = up, number, false
	return nil
}

func (b *balancer) healthOf(srv *backend.Server) *health {
	h := b.health[srv.State]
	if h == nil {
		h = &health{flows: queue{links: ofServer}}
		b.health[srv.State] = h
	}
	return h
}

// wentUp notes datagrams that were sent to the server.
func (b *balancer) wentUp(f *flow, datagrams [][]byte) {
	if len(datagrams) == 0 {
		return
	}
	total := 0
	for _, d := range datagrams {
		total += len(d)
		if b.cfg.Tap != nil {
			b.cfg.Tap(f.origin.Client, f.route.Server, f.to(), true, d)
		}
	}
	f.route.Server.AddSent(uint64(total))
	if f.route.Client != nil {
		f.route.Client.AddReceived(uint64(total))
	}
	if f.health.unanswered == 0 {
		f.health.since = b.now
	}
	f.health.unanswered += len(datagrams)
	if f.sent || f.route.Server.IsUnix() { // what a Unix socket takes has arrived
		b.release(f)
	} else {
		b.hold(f, datagrams[0])
	}
	f.sent = true
}

// wentDown notes n datagrams of so many bytes that the server sent to the client.
func (b *balancer) wentDown(f *flow, n, total int) {
	b.touch(f)
	f.route.Server.AddReceived(uint64(total))
	if f.route.Client != nil {
		f.route.Client.AddSent(uint64(total))
	}
	f.tries, f.origin.Left = 0, f.origin.Left[:0]
	if f.epoch != moves {
		f.health.unanswered = 0
	}
	if f.held != nil {
		b.release(f)
	}
}

// end ends a flow whose server has done nothing wrong.
func (b *balancer) end(f *flow) {
	b.disconnect(f)
	b.leave(f)
	b.forget(f)
}

func (b *balancer) endAll() {
	for f := b.table.order.oldest; f != nil; f = b.table.order.oldest {
		b.end(f)
	}
}

func (b *balancer) disconnect(f *flow) {
	f.up.close()
	f.up = nil
}

// fail counts a failure of the flow's server and gives the slot back. It is none of whoever has the place of a server that is gone.
func (b *balancer) fail(f *flow, why error) {
	if f.epoch == moves {
		b.leave(f)
		return
	}
	f.health.flows.remove(f)
	f.health.failures++
	f.health.unanswered = 0
	f.origin.Left = append(f.origin.Left, f.route.Server.State)
	b.policy.Failed(f.route.Server, why)
}

// leave gives the slot back of a server that has done this flow nothing.
func (b *balancer) leave(f *flow) {
	f.health.flows.remove(f)
	b.policy.Ended(f.route.Server)
}

// touch notes that the flow has had a datagram.
func (b *balancer) touch(f *flow) {
	f.used = b.now
	b.table.order.touch(f)
	f.health.flows.touch(f)
}

// forget removes a flow that has no server any more.
func (b *balancer) forget(f *flow) {
	b.release(f)
	b.table.remove(f)
	b.server.flows.Store(int64(b.table.len()))
}

func (b *balancer) trouble(why error) {
	if b.cfg.Trouble == nil || b.now < b.troubled {
		return
	}
	b.troubled = b.now + time.Second
	b.cfg.Trouble(why)
}
