package udp

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	eventsMax   = 256
	frontBatch  = 32 // datagrams a recvmmsg(2) of the listening socket
	serverBatch = 16 // of a flow's socket
	answersMax  = 64 // answers that are collected before they are sent
	// burst is how many full batches in a row are taken from one socket: then
	// the others have their turn.
	burst = 4
	// frontSlot marks the listening socket among the events; flows have slots from 0.
	frontSlot = -1
)

// loop is the engine for Linux: an event loop over an epoll descriptor of its
// own. Sockets are registered once, edge-triggered. The descriptor itself waits
// in Go's poller, so that no thread is lost to a blocking epoll_wait(2), and a
// read deadline on it is the timer.
type loop struct {
	b     *balancer
	front int
	unix  bool // a Unix socket's clients: one may be stuck without the others being
	wild  bool // bound to no address: answers have to say which one they come from

	ep     int
	file   *os.File // ep, as Go's poller knows it
	raw    syscall.RawConn
	poll   func(uintptr) bool
	events [eventsMax]unix.EpollEvent
	ready  int

	slots []*flowSocket // nil: free
	free  []int32
	gen   int32

	in      *batch
	out     *batch
	answers int     // the first of out are waiting to be sent
	touched []*flow // flows with datagrams of this round of in
	next    [frontBatch]int
	skip    [frontBatch]int // bytes at the beginning of a datagram that are not the client's
	key     []byte
	gather  [][]byte
	scratch *batch // what flowSocket.send builds its call from
}

// flowSocket is a flow's socket. Its slot and generation tell its events from
// those of an earlier socket in the same place.
type flowSocket struct {
	l    *loop
	f    *flow
	fd   int
	slot int32
	gen  int32
}

func newLoop(s *Server, pc net.PacketConn, raw syscall.Conn, p Policy) (_ engine, err error) {
	l := &loop{b: newBalancer(s, p), in: newBatch(frontBatch), out: newBatch(answersMax), scratch: newPairs(frontBatch)}
	l.in.wantNames()
	l.b.dial = l.dial
	l.poll = l.wait
	if l.front, err = duplicate(raw); err != nil {
		return nil, fmt.Errorf("duplicate the listening socket %s: %w", pc.LocalAddr(), err)
	}
	if l.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		unix.Close(l.front)
		return nil, fmt.Errorf("create an epoll descriptor: %w", err)
	}
	unix.SetNonblock(l.ep, true) // what makes os.NewFile hand it to the poller
	l.file = os.NewFile(uintptr(l.ep), "epoll")
	if err = l.file.SetReadDeadline(time.Time{}); err == nil { // else the poller has not taken it
		l.raw, err = l.file.SyscallConn()
	}
	if err == nil {
		err = l.watch(unix.EPOLL_CTL_ADD, l.front, frontSlot, 0)
	}
	if err != nil {
		l.file.Close()
		unix.Close(l.front)
		return nil, fmt.Errorf("watch the listening socket %s: %w", pc.LocalAddr(), err)
	}
	l.b.deadline = l.file.SetReadDeadline
	l.describe(pc.LocalAddr())
	pc.Close() // else Go's poller would be woken by each datagram as well
	return l, nil
}

func duplicate(c syscall.Conn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	failed := raw.Control(func(orig uintptr) { fd, err = unix.FcntlInt(orig, unix.F_DUPFD_CLOEXEC, 0) })
	if failed != nil {
		return -1, failed
	}
	return fd, err
}

// describe finds out what is special about the listening socket. One that is
// bound to no address asks the kernel for the address that each datagram came
// to, since a client takes an answer from another address for a stranger's.
func (l *loop) describe(a net.Addr) {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		l.unix = true
		return
	}
	if !u.IP.IsUnspecified() {
		return
	}
	err := unix.SetsockoptInt(l.front, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	if err != nil { // an IPv4 socket; an IPv6 one tells of IPv4 datagrams, too
		err = unix.SetsockoptInt(l.front, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	if l.wild = err == nil; l.wild {
		l.in.wantControl()
	}
}

func (l *loop) wake() { l.file.SetReadDeadline(time.Unix(1, 0)) }

func (l *loop) run() {
	// Only run closes the descriptor: l.ep is used outside of what the poller guards.
	defer l.close()
	for !l.b.server.closing.Load() {
		if err := l.raw.Read(l.poll); err != nil { // the deadline
			l.b.tend()
			continue
		}
		if l.b.needsTending() { // before: whoever was told that something has changed may have sent the next datagram already
			l.b.tend()
		}
		l.b.tick()
		l.round()
		if l.b.needsTending() {
			l.b.tend()
		}
	}
}

func (l *loop) close() {
	l.b.endAll()
	unix.Close(l.front)
	l.file.Close()
}

// wait collects events. It reports false, which parks the goroutine, if there are none.
func (l *loop) wait(uintptr) bool {
	l.ready = epollWait(l.ep, l.events[:])
	return l.ready > 0
}

// round handles the events that are ready.
func (l *loop) round() {
	for i := range l.events[:l.ready] {
		e := &l.events[i]
		if e.Fd == frontSlot {
			l.readFront()
			continue
		}
		if s := l.slots[e.Fd]; s != nil && s.gen == e.Pad {
			l.readServer(s)
		}
	}
	l.flush()
}

// readFront takes what clients have sent.
func (l *loop) readFront() {
	for range burst {
		n, err := l.in.receive(l.front, 0, frontBatch)
		if err != nil {
			if err != unix.EAGAIN {
				l.b.trouble(err)
				l.watch(unix.EPOLL_CTL_MOD, l.front, frontSlot, 0)
			}
			return
		}
		l.forward(n)
		l.in.reset(n)
		if n < frontBatch {
			return // all there was: the next one is an event
		}
	}
	l.watch(unix.EPOLL_CTL_MOD, l.front, frontSlot, 0)
}

// forward sorts n datagrams by flow and passes them on.
func (l *loop) forward(n int) {
	for i := range n {
		if l.in.truncated(i) {
			continue
		}
		f := l.flowOf(i)
		if f == nil {
			continue
		}
		if l.wild {
			f.control = l.in.answerControl(i, f.control)
		}
		l.next[i] = -1
		if f.first < 0 {
			f.first = i
			l.touched = append(l.touched, f)
		} else {
			l.next[f.last] = i
		}
		f.last = i
	}
	l.deliver()
}

// flowOf finds the flow of a datagram, and notes what of it is not the client's; nil: it is dropped.
func (l *loop) flowOf(i int) *flow {
	sender := l.in.client(i)
	n, client, ok := l.b.strip(sender, l.in.datagram(i))
	if !ok {
		return nil
	}
	l.skip[i] = n
	l.key = identify(l.key, l.in.name(i), client)
	if f := l.b.table.get(l.key); f != nil {
		return f
	}
	if !client.IsValid() {
		client = sender
	}
	l.deliver() // a new flow may end an old one: not while that has datagrams here
	return l.b.admit(l.key, l.in.name(i), Origin{Client: client, Local: l.local(i), Said: l.in.datagram(i)[:n]})
}

// local is the address that a datagram was sent to.
func (l *loop) local(i int) netip.AddrPort {
	listening := addrPort(l.b.server.addr)
	if l.wild {
		if a := l.in.arrivedAt(i); a.IsValid() {
			return netip.AddrPortFrom(a, listening.Port())
		}
	}
	return listening
}

// deliver passes on the datagrams that forward has sorted.
func (l *loop) deliver() {
	for i, f := range l.touched {
		l.gather = l.gather[:0]
		for d := f.first; d >= 0; d = l.next[d] {
			l.gather = append(l.gather, l.in.datagram(d)[l.skip[d]:])
		}
		f.first = -1
		l.touched[i] = nil
		if f.up != nil { // else another flow needed its descriptor
			l.b.up(f, l.gather)
		}
	}
	l.touched = l.touched[:0]
}

// readServer takes what a flow's server has sent.
func (l *loop) readServer(s *flowSocket) {
	for range burst {
		more, err := l.receive(s)
		switch {
		case err == unix.EAGAIN:
			return
		case err != nil: // which the kernel tells first: there may be answers behind it
			if serverFault(err) {
				l.drain(s)
			}
			l.b.broken(s.f, err)
			if l.slots[s.slot] != s {
				return
			}
		case !more:
			return
		}
	}
	l.watch(unix.EPOLL_CTL_MOD, s.fd, s.slot, s.gen)
}

// receive takes a batch of what a flow's server has sent, and reports whether there may be more.
func (l *loop) receive(s *flowSocket) (more bool, err error) {
	if l.answers+serverBatch > answersMax {
		l.flush()
	}
	n, err := l.out.receive(s.fd, l.answers, serverBatch)
	if err != nil {
		return false, err
	}
	l.answer(s.f, n)
	return n == serverBatch, nil
}

// drain takes what a server has sent before it refused a datagram.
func (l *loop) drain(s *flowSocket) {
	for range burst {
		if more, err := l.receive(s); !more || err != nil {
			return
		}
	}
}

// answer addresses the n datagrams that were received last to the flow's client.
func (l *loop) answer(f *flow, n int) {
	first := l.answers
	n = l.out.keepWhole(first, n)
	bytes := 0
	for i := first; i < first+n; i++ {
		d := l.out.datagram(i)
		bytes += len(d)
		if l.b.cfg.Tap != nil {
			l.b.cfg.Tap(f.origin.Client, f.route.Server, f.to(), false, d)
		}
		l.out.address(i, f.sender, f.control)
	}
	l.b.wentDown(f, n, bytes)
	if nameless(f.sender) {
		l.out.unaddress(first, n)
		return
	}
	l.answers += n
}

// flush sends the answers that were collected. Those that cannot be sent are lost, as datagrams are.
func (l *loop) flush() {
	for done := 0; done < l.answers; {
		n, err := l.out.send(l.front, done, l.answers-done)
		done += n
		if err == nil {
			continue
		}
		if err == unix.EAGAIN && !l.unix {
			break // the socket's buffer is full for all of them
		}
		done++
	}
	l.out.unaddress(0, l.answers)
	l.answers = 0
}

// dial makes a flow's socket.
func (l *loop) dial(f *flow, to endpoint) (socket, error) {
	fd, err := connectDatagram(to, func(fd uintptr) error {
		if l.b.cfg.Prepare == nil {
			return nil
		}
		return l.b.cfg.Prepare(fd, f.origin.Client, f.route.Server)
	})
	if err != nil {
		return nil, err
	}
	l.gen++
	s := &flowSocket{l: l, f: f, fd: fd, slot: l.takeSlot(), gen: l.gen}
	l.slots[s.slot] = s
	if err := l.watch(unix.EPOLL_CTL_ADD, fd, s.slot, s.gen); err != nil {
		s.close()
		return nil, fmt.Errorf("watch a flow's socket: %w", err)
	}
	return s, nil
}

func (l *loop) takeSlot() int32 {
	if n := len(l.free); n > 0 {
		slot := l.free[n-1]
		l.free = l.free[:n-1]
		return slot
	}
	l.slots = append(l.slots, nil)
	return int32(len(l.slots) - 1)
}

func (s *flowSocket) close() {
	unix.Close(s.fd)
	s.l.slots[s.slot] = nil
	s.l.free = append(s.l.free, s.slot)
}

// send implements socket.
func (s *flowSocket) send(datagrams [][]byte) (int, error) {
	n, err := s.pass(datagrams)
	if err != nil && serverFault(err) {
		s.l.drain(s)
	}
	return n, err
}

// pass sends. A single datagram, which is most of them, goes without the headers.
func (s *flowSocket) pass(datagrams [][]byte) (int, error) {
	head := s.f.origin.Head
	if len(datagrams) == 1 && len(head) == 0 {
		if err := sendOne(s.fd, datagrams[0]); err != nil {
			return 0, err
		}
		return 1, nil
	}
	sent := 0
	for sent < len(datagrams) {
		n := s.l.scratch.refer(head, datagrams[sent:])
		n, err := s.l.scratch.send(s.fd, 0, n)
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// watch registers a socket (EPOLL_CTL_ADD), or has it reported again if it is ready (EPOLL_CTL_MOD).
func (l *loop) watch(op, fd int, slot, gen int32) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET&0xffffffff, Fd: slot, Pad: gen}
	return unix.EpollCtl(l.ep, op, fd, &e)
}
