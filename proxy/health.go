package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"edgepen/httpx"
	"edgepen/proxy/backend"
	"edgepen/proxy/health"
	"edgepen/proxy/proxyproto"
	"edgepen/proxy/relay"
)

// Health is how servers are checked without a client.
type Health struct {
	Kind     string // "": they are not; tcp: they take a connection; tls: and do a handshake; http: and answer
	Path     string // with http: what is asked for
	Host     string // with http: of the request; "": the server's name
	Status   string // with http: the codes that are good, as health.ParseStatuses reads them
	Interval time.Duration
	Timeout  time.Duration
	Rise     int // good checks that bring a server back
	Fall     int // bad checks that take it out
}

func defaultHealth() Health {
	return Health{Status: "200-399", Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3}
}

// checksAtOnce bounds the connections that checks make.
const checksAtOnce = 64

// checker looks after the servers' health. What it finds stands in their states.
type checker struct {
	p *Proxy

	mu    sync.Mutex
	known map[*backend.State]*checked
}

type checked struct {
	health.State
	server *backend.Server
}

func newChecker(p *Proxy) *checker { return &checker{p: p, known: map[*backend.State]*checked{}} }

// run checks all servers every health_interval, give or take a tenth so that many proxies do not check at once, until the proxy closes.
func (k *checker) run(ctx context.Context) {
	const pause = time.Second // how soon a change of the settings is noticed
	t := time.NewTimer(0)
	defer t.Stop()
	next, before := time.Time{}, Health{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		snap := k.p.now.Load()
		h := snap.Health
		if h.Kind == "" || h != before {
			next, before = time.Time{}, h
			k.forget(h.Kind == "")
		}
		if now := time.Now(); h.Kind != "" && !now.Before(next) {
			next = now.Add(h.Interval*9/10 + rand.N(h.Interval/5+1))
			k.round(ctx, snap)
		}
		t.Reset(min(pause, max(time.Until(next), 10*time.Millisecond)))
	}
}

// forget brings all servers up, where nobody checks them any more.
func (k *checker) forget(all bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !all {
		return
	}
	for state := range k.known {
		state.SetDown(false)
	}
	clear(k.known)
}

// round checks each server once.
func (k *checker) round(ctx context.Context, snap *snapshot) {
	places := make(chan struct{}, checksAtOnce)
	var all sync.WaitGroup
	for _, srv := range snap.set.Servers {
		if srv.Port == 0 && !srv.IsUnix() {
			continue
		}
		places <- struct{}{}
		all.Go(func() {
			begun := time.Now()
			err := k.check(snap, srv)
			if ctx.Err() == nil {
				k.note(snap, srv, err, time.Since(begun))
			}
			<-places
		})
	}
	all.Wait()
	k.prune(snap)
}

// prune forgets servers that are gone.
func (k *checker) prune(snap *snapshot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	there := map[*backend.State]bool{}
	for _, srv := range snap.set.Servers {
		there[srv.State] = true
	}
	for state := range k.known {
		if !there[state] {
			delete(k.known, state)
		}
	}
}

// note takes a result down. A server at another address is another server.
func (k *checker) note(snap *snapshot, srv *backend.Server, err error, took time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.known[srv.State]
	if s == nil || s.server.Address != srv.Address || s.server.Port != srv.Port {
		s = &checked{}
		k.known[srv.State] = s
		srv.SetDown(false)
	}
	s.server = srv
	why := ""
	if err != nil {
		why = err.Error()
	}
	if !s.Note(why, took, time.Now(), health.Rule{Rise: snap.Health.Rise, Fall: snap.Health.Fall}) {
		return
	}
	srv.SetDown(s.Down)
	if s.Down {
		k.p.log.Warn("server is down", "server", srv.Address, "port", srv.Port, "check", snap.Health.Kind, "why", why)
	} else {
		k.p.log.Warn("server is up again", "server", srv.Address, "port", srv.Port, "check", snap.Health.Kind)
	}
}

// check asks a server for its health. It takes none of the server's places.
func (k *checker) check(snap *snapshot, srv *backend.Server) error {
	by := time.Now().Add(snap.Health.Timeout)
	sock, err := k.p.dial(srv, dialFrom{source: snap.Source}, snap.Health.Timeout)
	if err != nil {
		return plainly(err)
	}
	defer sock.Close()
	if err := sock.SetDeadline(by); err != nil {
		return plainly(err)
	}
	if snap.ProxyOut > 0 { // the connection is our own
		head, err := proxyproto.Format(snap.ProxyOut, proxyproto.Header{})
		if err == nil {
			_, err = sock.Write(head)
		}
		if err != nil {
			return plainly(err)
		}
	}
	var conn net.Conn = sock
	if snap.Health.Kind != "tcp" && snap.upstream != nil {
		ctx, cancel := context.WithDeadline(k.p.alive, by)
		defer cancel()
		t, err := snap.upstream.Handshake(ctx, sock, srv.Address)
		if err != nil {
			return plainly(err)
		}
		conn = relay.NewStream(sock, t).Conn()
	}
	if snap.Health.Kind != "http" {
		return nil
	}
	return ask(conn, &snap.Health, srv, snap.HeadMax)
}

// ask sends a request, and reads the head of the answer.
func ask(conn net.Conn, h *Health, srv *backend.Server, headMax int) error {
	host := h.Host
	if host == "" && !srv.IsUnix() {
		host = hostOf(srv.Address)
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: edgepen-health\r\nConnection: close\r\n\r\n", h.Path, host); err != nil {
		return plainly(err)
	}
	good, err := health.ParseStatuses(h.Status)
	if err != nil {
		return err
	}
	var r httpx.Response
	var head []byte
	part := make([]byte, 4096)
	for {
		n, err := conn.Read(part)
		head = append(head, part[:n]...)
		length, bad := r.Parse(head, headMax, false)
		switch {
		case bad != nil:
			return fmt.Errorf("its answer cannot be used: %v", bad)
		case length > 0 && r.Interim():
			head = head[length:]
			r.Reset()
		case length > 0 && good.Good(r.Status):
			return nil
		case length > 0:
			return fmt.Errorf("status %d", r.Status)
		}
		if err != nil {
			return plainly(err)
		}
	}
}

// hostOf is an address as Host wants it.
func hostOf(address string) string {
	for _, ch := range address {
		if ch == ':' {
			return "[" + address + "]"
		}
	}
	return address
}

// plainly puts what usually goes wrong into words.
func plainly(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return errors.New("it took too long")
	case errors.Is(err, io.EOF):
		return errors.New("it closed the connection without an answer")
	}
	return err
}

// ServerHealth is what checks have found of a server.
type ServerHealth struct {
	Server *backend.Server
	Known  bool // it has been checked
	health.State
}

// Health lists what checks have found of the servers that there are.
func (d *Draft) ServersHealth() []ServerHealth {
	snap, k := d.proxy.now.Load(), d.proxy.checker
	if snap == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []ServerHealth
	for _, srv := range snap.set.Servers {
		if srv.Port == 0 && !srv.IsUnix() {
			continue
		}
		one := ServerHealth{Server: srv}
		if s := k.known[srv.State]; s != nil {
			one.Known, one.State = true, s.State
		}
		all = append(all, one)
	}
	return all
}

// checkHealth finds what checks cannot be.
func (c *Config) checkHealth() error {
	switch {
	case c.Health.Kind == "":
		return nil
	case c.UDP || c.DSRInterface != "":
		return errors.New("health_check makes connections: it goes with neither UDP (-U) nor direct server return (dsr_if)")
	case c.Health.Kind == "tls" && !c.Upstream.On:
		return errors.New("health_check tls does the handshake of --backend-tls, which is not set")
	}
	return nil
}
