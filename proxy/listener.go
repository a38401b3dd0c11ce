package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"edgepen/proxy/h3"
	"edgepen/proxy/relay"
	"edgepen/proxy/udp"
)

// listener is an open listening address. Whether it speaks TLS is the snapshot's to say.
type listener struct {
	Listener // as it was when it was opened
	p        *Proxy
	ln       net.Listener   // nil for datagrams
	packets  net.PacketConn // nil for connections, and once flows has it
	flows    *udp.Server    // nil for connections, and before it has begun to serve
	quic     *h3.Endpoint   // for HTTP/3, beside the listener for TCP that has the same address; nil for that and all others
	file     os.FileInfo    // of a Unix socket for datagrams, which is removed at the end
	port     string         // the port that was bound, "" for a Unix socket
	closed   atomic.Bool

	complained time.Time // when an error was last logged; for acceptLoop alone
}

// openListeners makes the open listeners those of a configuration: it opens what is missing and returns it with what is
// left over, which stays open until the caller closes it. On an error nothing has changed. An address that stays is not
// opened anew when TLS begins or ends there: clients in its queue would be lost, and a Unix socket's path with the old one.
func (p *Proxy) openListeners(c Config) (added, gone []*listener, err error) {
	if c.DSRInterface != "" {
		return nil, nil, nil // frames are taken from the interface
	}
	var kept []*listener
	find := func(address string, quic bool, open func() (*listener, error)) (*listener, error) {
		i := slices.IndexFunc(p.listeners, func(l *listener) bool { return l.Address == address && (l.quic != nil) == quic })
		if i >= 0 {
			kept = append(kept, p.listeners[i])
			return p.listeners[i], nil
		}
		l, err := open()
		if err == nil {
			added = append(added, l)
		}
		return l, err
	}
	for _, want := range c.Listeners {
		l, err := find(want.Address, false, func() (*listener, error) { return p.openOne(want, &c) })
		if err == nil && c.offersHTTP3(want) {
			_, err = find(want.Address, true, func() (*listener, error) { return p.openHTTP3(l) })
		}
		if err != nil {
			for _, l := range added {
				l.close()
			}
			return nil, nil, err
		}
	}
	for _, l := range p.listeners {
		if !slices.Contains(kept, l) {
			gone = append(gone, l)
		}
	}
	p.listeners = append(kept, added...)
	return added, gone, nil
}

func (p *Proxy) openOne(l Listener, c *Config) (*listener, error) {
	if c.UDP {
		return p.openDatagrams(l, c)
	}
	return p.open(l, c)
}

func (p *Proxy) open(l Listener, c *Config) (*listener, error) {
	network, addr, err := SplitListen(l.Address)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		if err := removeSocket(addr); err != nil {
			return nil, fmt.Errorf("can't bind %s: %v", l.Address, err)
		}
	}
	lc := net.ListenConfig{Control: listenOptions, KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
	restore := umask(network, c.SocketMode)
	ln, err := lc.Listen(context.Background(), network, addr)
	restore()
	if err != nil {
		return nil, fmt.Errorf("can't bind %s: %v", l.Address, bindReason(err))
	}
	if err := setBacklog(ln, c.Backlog); err != nil {
		ln.Close()
		return nil, fmt.Errorf("can't listen on %s: %v", l.Address, err)
	}
	port := ""
	if a, ok := ln.Addr().(*net.TCPAddr); ok {
		port = strconv.Itoa(a.Port)
	}
	return &listener{Listener: l, p: p, ln: ln, port: port}, nil
}

// removeSocket makes way for a Unix socket where an old one was left behind; anything else that has the name stays.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("it exists and is no socket")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	// Any other error than a refusal comes of a socket that is in use: for datagrams, with a full queue, or another user's.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return errors.New("another process listens there")
	}
	return os.Remove(path)
}

// umask lets a Unix socket that is made next have the given permissions from the moment it exists; -1 and other networks change
// nothing. The returned function sets things right again.
func umask(network string, mode int) (restore func()) {
	if !strings.HasPrefix(network, "unix") || mode < 0 {
		return func() {}
	}
	old := syscall.Umask(0o777 &^ mode)
	return func() { syscall.Umask(old) }
}

// bindReason is why an address cannot be had, without the address, which the caller names.
func bindReason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	if errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("%v (ports below 1024 need root, or the capability CAP_NET_BIND_SERVICE)", err)
	}
	return err
}

// setBacklog asks for a queue of the given length, instead of the system's greatest, which net.Listen takes.
func setBacklog(ln net.Listener, n int) error {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), n) })
	return errors.Join(err, failed)
}

func (l *listener) close() {
	l.closed.Store(true)
	switch {
	case l.quic != nil:
		l.quic.Release()
	case l.ln != nil:
		l.ln.Close()
	default:
		l.closeDatagrams()
	}
}

// acceptLoop takes connections while there are places for them; those that have none wait in the kernel's queue.
func (l *listener) acceptLoop() {
	for l.p.slots.await() {
		c, err := l.ln.Accept()
		if err != nil {
			if l.closed.Load() || !l.recover(err) {
				return
			}
			continue
		}
		l.start(c)
	}
}

// start gives the connection its place and goroutine. With several listeners the last place may be gone by now: then this
// one connection waits here.
func (l *listener) start(c net.Conn) {
	sock, err := relay.NewSocket(c)
	if err != nil {
		l.p.log.Error("a connection cannot be used", "listener", l.Address, "why", err)
		c.Close()
		return
	}
	conn := &connection{p: l.p, listener: l, client: sock}
	if !l.p.slots.take(conn) {
		c.Close()
		return
	}
	l.p.running.Go(conn.serve)
}

// acceptPause is how long accepting stops after an error, most often for want of descriptors; the error is logged no more
// often than every complaintPause.
const (
	acceptPause    = 100 * time.Millisecond
	complaintPause = 10 * time.Second
)

// recover says what is wrong with accepting, and waits a little. It reports whether to go on.
func (l *listener) recover(err error) bool {
	var ne net.Error
	if !errors.As(err, &ne) || errors.Is(err, net.ErrClosed) {
		return false
	}
	switch {
	case time.Since(l.complained) < complaintPause:
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		l.complained = time.Now()
		l.p.log.Error("out of file descriptors: new connections wait", "listener", l.Address, "connections", l.p.slots.count())
	default:
		l.complained = time.Now()
		l.p.log.Error("accepting failed", "listener", l.Address, "why", err)
	}
	time.Sleep(acceptPause)
	return true
}

// OpenControl opens a control port, with the same care for what an old one left behind. A Unix socket is its owner's alone.
func OpenControl(network, addr string) (net.Listener, error) {
	if network == "unix" {
		if err := removeSocket(addr); err != nil {
			return nil, err
		}
		defer umask(network, 0o600)()
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		return nil, bindReason(err)
	}
	return ln, nil
}
