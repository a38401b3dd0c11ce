package main

import (
	"bytes"
	"context"
	stdtls "crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	sourceHosts  = 40               // client addresses, 127.0.0.2 and up
	exchangeTime = 10 * time.Second // for one connection's handshake and request, or one exchange
)

// tally counts what the client goroutines did.
type tally struct {
	units  atomic.Int64 // requests, connections or bytes
	errors atomic.Int64
	first  atomic.Pointer[error]
}

func (n *tally) fail(err error) {
	n.first.CompareAndSwap(nil, &err)
	n.errors.Add(1)
}

// err is nil as long as nothing failed.
func (n *tally) err() error {
	if first := n.first.Load(); first != nil {
		return fmt.Errorf("%d errors under load, the first: %w", n.errors.Load(), *first)
	}
	return nil
}

// client makes connections to one contender.
type client struct {
	address string
	tls     *stdtls.Config // nil: plain
	page    []byte         // what pages must contain
	next    atomic.Uint32  // source address
}

// connect opens a connection, with the handshake done. Closed connections keep their port for a minute (TIME_WAIT), so the
// source addresses take turns, and the port is chosen at connect, when the kernel knows that only the pair must be new.
func (c *client) connect(ctx context.Context) (net.Conn, error) {
	source := net.IPv4(127, 0, 0, byte(2+c.next.Add(1)%sourceHosts))
	d := net.Dialer{
		Timeout:   exchangeTime,
		LocalAddr: &net.TCPAddr{IP: source},
		Control:   func(_, _ string, raw syscall.RawConn) error { return raw.Control(bindLate) },
	}
	raw, err := d.DialContext(ctx, "tcp", c.address)
	if err != nil || c.tls == nil {
		return raw, err
	}
	conn := stdtls.Client(raw, c.tls)
	raw.SetDeadline(time.Now().Add(exchangeTime))
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// generate runs conns client goroutines until ctx ends, and waits for them.
func generate(ctx context.Context, c *client, w workload, conns int, n *tally) {
	var wg sync.WaitGroup
	for range conns {
		wg.Go(func() { work(ctx, c, w, n) })
	}
	wg.Wait()
}

// work is one client goroutine. A panic counts as a failure, so that the goroutine that owns the processes can end them.
func work(ctx context.Context, c *client, w workload, n *tally) {
	defer func() {
		if p := recover(); p != nil {
			n.fail(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	request := w.request()
	for ctx.Err() == nil {
		if err := w.drive(ctx, c, request, n); err != nil && ctx.Err() == nil {
			n.fail(err)
			return
		}
	}
}

// newConnections makes one request on a new connection.
func newConnections(ctx context.Context, c *client, request []byte, n *tally) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer interruptible(ctx, conn)()
	conn.SetDeadline(time.Now().Add(exchangeTime))
	if err := c.getPage(conn, make([]byte, 4096), request); err != nil {
		return err
	}
	n.units.Add(1)
	return nil
}

// keepAlive makes requests on one connection.
func keepAlive(ctx context.Context, c *client, request []byte, n *tally) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Time{})
	defer interruptible(ctx, conn)()
	buf := make([]byte, 4096)
	for ctx.Err() == nil {
		if err := c.getPage(conn, buf, request); err != nil {
			return err
		}
		n.units.Add(1)
	}
	return nil
}

// download fetches the bulk body again and again on one connection, counting bytes as they come so that the moment at
// which the count is read does not matter.
func download(ctx context.Context, c *client, request []byte, n *tally) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Time{})
	defer interruptible(ctx, conn)()
	buf := make([]byte, 256<<10)
	for ctx.Err() == nil {
		if err := getBulk(conn, buf, request, n); err != nil {
			return err
		}
	}
	return nil
}

// interruptible makes the end of ctx end what is under way on conn, until the returned function is called.
func interruptible(ctx context.Context, conn net.Conn) func() bool {
	return context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
}

// getPage sends request and demands the page; buf must hold the whole reply.
func (c *client) getPage(conn net.Conn, buf, request []byte) error {
	body, err := get(conn, buf, request)
	if err == nil && !bytes.Equal(body, c.page) {
		return fmt.Errorf("wrong body: %.60q", body)
	}
	return err
}

// get sends request and returns the body of the reply; buf must hold the whole reply.
func get(conn net.Conn, buf, request []byte) ([]byte, error) {
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	body, length, err := readHead(conn, buf)
	if err != nil {
		return nil, err
	}
	have := len(body)
	if length > cap(body) {
		return nil, fmt.Errorf("a body of %d bytes, expected a short one", length)
	}
	if have > length {
		return nil, fmt.Errorf("%d bytes after the reply", have-length)
	}
	body = body[:length]
	_, err = io.ReadFull(conn, body[have:])
	return body, err
}

// getBulk sends request, counts the body's bytes in n and demands bulkSize of them.
func getBulk(conn net.Conn, buf, request []byte, n *tally) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	body, length, err := readHead(conn, buf)
	if err != nil {
		return err
	}
	if length != bulkSize {
		return fmt.Errorf("a body of %d bytes, expected %d", length, bulkSize)
	}
	n.units.Add(int64(len(body)))
	for have := len(body); have < length; {
		m, err := conn.Read(buf[:min(len(buf), length-have)])
		have += m
		n.units.Add(int64(m))
		if err != nil {
			return fmt.Errorf("after %d bytes of the body: %w", have, err)
		}
	}
	return nil
}

// readHead reads into buf until the end of the reply's head; it returns what came of the body, a part of buf, and the
// body's length.
func readHead(conn net.Conn, buf []byte) (body []byte, length int, err error) {
	for have := 0; have < len(buf); {
		n, err := conn.Read(buf[have:])
		have += n
		if end := bytes.Index(buf[:have], []byte("\r\n\r\n")); end >= 0 {
			length, err := parseHead(buf[:end])
			return buf[end+4 : have], length, err
		}
		if err != nil {
			return nil, 0, fmt.Errorf("after %d bytes of a reply's head: %w", have, err)
		}
	}
	return nil, 0, errors.New("a reply's head is longer than the buffer")
}

// parseHead demands status 200 and returns the Content-Length.
func parseHead(head []byte) (int, error) {
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		line, _, _ := bytes.Cut(head, []byte("\r\n"))
		return 0, fmt.Errorf("the reply is %q", line)
	}
	value := headerValue(head, "Content-Length")
	length, err := strconv.Atoi(value)
	if err != nil || length < 0 {
		return 0, fmt.Errorf("the reply's Content-Length is %q", value)
	}
	return length, nil
}
