package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"edgepen/httpx"
	"edgepen/proxy/backend"
	"edgepen/proxy/h2client"
	"edgepen/proxy/health"
	"edgepen/proxy/proxyproto"
	"edgepen/tls/upstream"
)

// healthTargets is the servers that health checks look after. The emergency and the abuse server are not among them: there is nobody to be tried in
// their place. Those of routes are asked for a connection only, since what is spoken with them is the clients' affair.
func (s *snapshot) healthTargets() (all []health.Target) {
	if s.Health.Kind == health.Off {
		return nil
	}
	add := func(set *backend.Set, connectOnly bool) {
		for _, srv := range set.Servers {
			if srv.Port != 0 && srv.Address != "" {
				all = append(all, health.Target{Server: srv, ConnectOnly: connectOnly})
			}
		}
	}
	add(s.set, false)
	for _, set := range s.routes {
		add(set, true)
	}
	return all
}

// probe is a health check: what a connection for a client does up to its first request, and that request. It takes no place of the server's, nor
// one among the connections.
func (p *Proxy) probe(ctx context.Context, t health.Target, c health.Config) (said string, err error) {
	snap := p.now.Load()
	conn, err := dialCheck(ctx, t.Server, snap)
	if err == nil {
		defer conn.Close() //nolint:errcheck // what it says comes too late to matter
		stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
		defer stop()
		said, err = converse(ctx, conn, t, c, snap)
	}
	return said, explainCheck(err, c)
}

// dialCheck connects to a server for a check as for a client, and where servers are told of clients by a PROXY header, says that there is none.
func dialCheck(ctx context.Context, srv *backend.Server, snap *snapshot) (net.Conn, error) {
	conn, err := dialAny(ctx, srv, dialFrom{source: snap.Source})
	if err != nil || snap.ProxyOut == 0 {
		return conn, err
	}
	head, err := proxyproto.Format(snap.ProxyOut, proxyproto.Header{}) // UNKNOWN, or LOCAL
	if err == nil {
		by, _ := ctx.Deadline()
		conn.SetWriteDeadline(by) //nolint:errcheck // then the write says so
		_, err = conn.Write(head)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// converse does the rest of a check on a connection.
func converse(ctx context.Context, conn net.Conn, t health.Target, c health.Config, snap *snapshot) (said string, err error) {
	if t.ConnectOnly || c.Kind == health.TCP {
		return "connected", nil
	}
	client, err := tlsForChecks(c, snap)
	if err != nil {
		return "", err
	}
	if client != nil {
		secure, err := client.Handshake(ctx, conn, t.Server.Address)
		if err != nil {
			return "", err
		}
		defer secure.Close() //nolint:errcheck // as above
		conn = secure
	}
	if c.Kind == health.TLS {
		return "handshake done", nil
	}
	request := checkRequest(t.Server, c, client != nil)
	if !snap.http2ToServers() {
		return askStatus(conn, request, &c.Statuses, snap.HeadMax)
	}
	h, err := h2client.Begin(ctx, conn, client != nil, snap.HeadMax)
	if err != nil {
		return "", err
	}
	defer h.Close()
	if err := h.Reserve(); err != nil {
		return "", err
	}
	stream := h.Open(nil)
	by, _ := ctx.Deadline()
	stream.SetDeadline(by) //nolint:errcheck // it has been open for no time
	return askStatus(stream, request, &c.Statuses, snap.HeadMax)
}

// tlsForChecks does the handshakes of checks, whole ones each time; nil: none. Where we ourselves speak no TLS with the servers, but our clients do, it
// is for these to verify.
func tlsForChecks(c health.Config, snap *snapshot) (*upstream.Client, error) {
	switch {
	case snap.upstream != nil:
		return snap.upstream.Fresh(), nil
	case c.Kind == health.TLS:
		client, err := upstream.New(upstream.Options{SkipVerify: true}, upstream.Material{})
		return client.Fresh(), err
	}
	return nil, nil
}

// checkRequest is the request of a check.
func checkRequest(srv *backend.Server, c health.Config, secure bool) string {
	host := c.Host
	if host == "" {
		host = hostOf(srv, secure)
	}
	return "GET " + c.Path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: pen-health-check\r\nAccept: */*\r\nConnection: close\r\n\r\n"
}

// hostOf is a server's name as browsers put it into Host.
func hostOf(srv *backend.Server, secure bool) string {
	usual := uint16(80)
	if secure {
		usual = 443
	}
	switch {
	case srv.IsUnix():
		return "localhost"
	case srv.Port != usual:
		return net.JoinHostPort(srv.Address, strconv.Itoa(int(srv.Port)))
	case strings.Contains(srv.Address, ":"):
		return "[" + srv.Address + "]"
	}
	return srv.Address
}

// askStatus sends a request and reads the head of the answer, of limit bytes at most with all interim ones before it.
func askStatus(conn net.Conn, request string, good *health.Statuses, limit int) (said string, err error) {
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	var head httpx.Response
	b, from := make([]byte, 0, 4096), 0
	for {
		n, err := head.Parse(b[from:], limit-from, false)
		switch {
		case err != nil:
			return "", fmt.Errorf("its answer cannot be read: %w", err)
		case n > 0 && head.Interim():
			from += n
			head.Reset()
			continue
		case n > 0 && good.Has(head.Status):
			return fmt.Sprintf("status %d", head.Status), nil
		case n > 0:
			return "", fmt.Errorf("status %d, expected %s", head.Status, good)
		}
		if b, err = readMore(conn, b); err != nil {
			return "", err
		}
	}
}

// readMore appends what one read brings.
func readMore(conn net.Conn, b []byte) ([]byte, error) {
	if len(b) == cap(b) {
		b = append(b, make([]byte, len(b))...)[:len(b)]
	}
	n, err := conn.Read(b[len(b):cap(b)])
	if n > 0 {
		return b[:len(b)+n], nil
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("it closed the connection without an answer")
	}
	return b, err
}

// explainCheck says of what failed whose fault it is, and in the case of silence how long it was waited for.
func explainCheck(err error, c health.Config) error {
	switch {
	case err == nil:
		return nil
	case ourFault(err), errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: %.500s", health.ErrUnasked, err.Error())
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("timed out after %v", c.Timeout)
	}
	if op, ok := err.(*net.OpError); ok {
		return op.Err // without the address, which the log has beside it
	}
	return fmt.Errorf("%.500s", err.Error())
}

// ServerHealth is what checks have found out about a server.
type ServerHealth struct {
	backend.Spec
	Route string // whose server it is; "": one of the table
	Slot  int    // its number there
	health.Report
	Watched bool // it is looked after
}

// HealthStatus lists what checks have found out, the servers of the table first.
func (d *Draft) HealthStatus() (all []ServerHealth) {
	s := d.proxy.now.Load()
	if s == nil {
		return nil
	}
	add := func(route string, set *backend.Set) {
		for i, srv := range set.Servers {
			one := ServerHealth{Spec: srv.Spec, Route: route, Slot: i}
			one.Report, one.Watched = d.proxy.health.Report(srv)
			all = append(all, one)
		}
	}
	add("", s.set)
	for _, route := range s.Routes {
		add(route.Name, s.routes[route.Name])
	}
	return all
}

// healthWord is what checks have found out about a slot in a word; "": nothing is known, or asked.
func (d *Draft) healthWord(slot int) string {
	s := d.proxy.now.Load()
	if s == nil || slot >= len(s.set.Servers) {
		return ""
	}
	if r, ok := d.proxy.health.Report(s.set.Servers[slot]); ok {
		return r.String()
	}
	return ""
}
