package dsr

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A link is an Ethernet interface. Before each frame, in both directions, go the
// offloadLen bytes of the kernel's struct virtio_net_hdr: what is left to be done
// about checksum and segments. All zero, they mean nothing.
type link interface {
	// Read waits for a frame until the deadline (os.ErrDeadlineExceeded) or
	// until Close (os.ErrClosed).
	Read(b []byte) (int, error)
	Write(b []byte) (int, error)
	// SetDeadline holds for Read and Write.
	SetDeadline(t time.Time) error
	Close() error
}

const (
	offloadLen = 10
	// maxFrame holds the greatest IPv4 packet, which the kernel may have merged
	// of many.
	maxFrame = offloadLen + ethernetLen + 1<<16
)

// A Balancer forwards the frames of one service, and is the tarpit.
type Balancer struct {
	log      *slog.Logger
	link     link
	findHost func() (host, error)
	stop     func()        // closes stopping, once
	stopping chan struct{} // closed by Close
	done     chan struct{} // closed when run has returned

	mu    sync.Mutex // held by those who replace the table
	table atomic.Pointer[table]

	forwarded, arps, tarpitted, dropped, failed atomic.Uint64

	// run's own: the last failure since the last tick, and whether one has
	// been logged that has not passed yet.
	failure error
	failing bool
}

// Open begins to forward frames as the configuration says; Linux only, with
// CAP_NET_RAW. It returns before the servers have been found. The log, which may
// be nil, hears of servers that answer and that no longer do, and of trouble
// with the interface.
func Open(c Config, log *slog.Logger) (*Balancer, error) {
	h, err := findHost(c.Interface)
	if err != nil {
		return nil, fmt.Errorf("dsr_if %s: %v", c.Interface, err)
	}
	t, err := compile(c, h, nil)
	if err != nil {
		return nil, fmt.Errorf("dsr_if %s: %v", c.Interface, err)
	}
	l, err := openLink(c.Interface)
	if err != nil {
		return nil, fmt.Errorf("dsr_if %s: %v", c.Interface, err)
	}
	return start(t, l, func() (host, error) { return findHost(c.Interface) }, log), nil
}

func start(t *table, l link, findHost func() (host, error), log *slog.Logger) *Balancer {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	stopping := make(chan struct{})
	b := &Balancer{
		log: log, link: l, findHost: findHost,
		stop: sync.OnceFunc(func() { close(stopping) }), stopping: stopping, done: make(chan struct{}),
	}
	b.table.Store(t)
	b.warn(t)
	go b.run()
	return b
}

func (b *Balancer) warn(t *table) {
	if t.has(t.config.Address) {
		b.log.Warn("this host holds the service address itself: its kernel will answer clients too",
			"interface", t.config.Interface, "address", t.config.Address)
	}
}

// Update changes the configuration from the next frame on, all of it but the
// interface's name. What is known of servers that stay is kept. An error, which
// says what is wrong with the configuration, changes nothing.
func (b *Balancer) Update(c Config) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.table.Load()
	if c.Interface != old.config.Interface {
		return fmt.Errorf("dsr_if %s: the interface is %s and cannot change while running", c.Interface, old.config.Interface)
	}
	h, err := b.findHost()
	if err != nil {
		return fmt.Errorf("dsr_if %s: %v", c.Interface, err)
	}
	t, err := compile(c, h, old)
	if err != nil {
		return fmt.Errorf("dsr_if %s: %v", c.Interface, err)
	}
	b.table.Store(t)
	b.warn(t)
	return nil
}

// Close stops forwarding and returns when that is done. It may be called more
// than once.
func (b *Balancer) Close() {
	b.stop()
	_ = b.link.Close() // whatever it says, reading has ended
	<-b.done
}

// Status says what has been done so far and what is known of the servers.
func (b *Balancer) Status() Status {
	t := b.table.Load()
	s := Status{
		Forwarded: b.forwarded.Load(),
		ARP:       b.arps.Load(),
		Tarpitted: b.tarpitted.Load(),
		Dropped:   b.dropped.Load(),
		Failed:    b.failed.Load(),
		Servers:   make([]ServerStatus, len(t.config.Servers)),
	}
	for _, srv := range t.servers {
		mac, isUp, _ := srv.lookup()
		s.Servers[srv.index] = ServerStatus{Addr: netip.AddrFrom4(srv.addr), MAC: mac, Up: isUp, Slots: srv.slots}
	}
	return s
}

// maxFailures is how many times in a row reading may fail before run waits for
// the next second: one bad frame is no reason to wait, a dead interface is.
const maxFailures = 16

// run is the balancer's goroutine. It ends at Close.
func (b *Balancer) run() {
	defer close(b.done)
	buf := make([]byte, maxFrame)
	var next time.Time
	for failures := 0; ; {
		if now := time.Now(); !now.Before(next) {
			next = now.Add(askEvery)
			_ = b.link.SetDeadline(next) // fails when closed, and then so does Read
			b.tick(now)
		}
		n, err := b.link.Read(buf)
		switch {
		case err == nil:
			failures = 0
			b.handle(buf[:n], time.Now())
		case errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
		default:
			b.fail(err)
			if failures++; failures > maxFailures {
				b.wait(time.Until(next))
			}
		}
	}
}

func (b *Balancer) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-b.stopping:
	}
}

// fail counts a frame that could not be read or sent.
func (b *Balancer) fail(err error) {
	b.failed.Add(1)
	b.failure = err
}

// tick does what is to be done every second.
func (b *Balancer) tick(now time.Time) {
	t := b.table.Load()
	if b.failure != nil && !b.failing {
		b.log.Warn("frames are lost", "interface", t.config.Interface, "error", b.failure)
	}
	b.failing, b.failure = b.failure != nil, nil

	var buf [offloadLen + ethernetLen + arpLen]byte
	send := func(frame []byte) {
		copy(buf[offloadLen:], frame)
		b.write(buf[:])
	}
	t.requests(now, send, func(s *server) {
		b.log.Warn("server does not answer ARP", "server", s.index, "address", netip.AddrFrom4(s.addr))
	})
}

// handle deals with one frame, which comes after its offload header.
func (b *Balancer) handle(buf []byte, now time.Time) {
	if len(buf) < offloadLen {
		return
	}
	a := b.table.Load().decide(buf[offloadLen:], now)
	if a.learned != nil {
		mac, _, _ := a.learned.lookup()
		b.log.Info("server found", "address", netip.AddrFrom4(a.learned.addr), "mac", mac)
	}
	switch a.verdict {
	case drop:
		b.dropped.Add(1)
	case forward:
		if b.write(buf) {
			b.forwarded.Add(1)
			a.server.counts.AddSent(uint64(a.bytes))
		}
	case answerARP, tarpit:
		clear(buf[:offloadLen])
		if !b.write(buf[:offloadLen+len(a.frame)]) {
			break
		}
		if a.verdict == tarpit {
			b.tarpitted.Add(1)
		} else {
			b.arps.Add(1)
		}
	}
}

// write sends a frame and reports whether that went well. Frames may be lost, as
// on any Ethernet; there is nobody to tell.
func (b *Balancer) write(buf []byte) bool {
	if _, err := b.link.Write(buf); err != nil {
		b.fail(err)
		return false
	}
	return true
}
