package main

import (
	"bufio"
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// crowd is clients that keep a server busy.
type crowd struct {
	address string
	once    sync.Once
	quit    chan struct{}
	members sync.WaitGroup

	mu                             sync.Mutex
	came, returned, resumed, asked int
	failed                         []error
}

// gather has clients keep an HTTPS server busy until "disperse", or the end: gather NAME HOST:PORT ROOTS. Some come and go, by TLS 1.2 and
// 1.3, and resume their sessions; some keep a connection and ask again and again.
func gather(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: gather NAME HOST:PORT ROOTS")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ts.ReadFile(args[2])))
	c := &crowd{address: args[1], quit: make(chan struct{})}
	worldOf(ts).crowds[args[0]] = c
	for _, version := range []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13} {
		for _, member := range []func(*stdtls.Config) error{c.comeAndGo, c.comeAndGo, c.stay} {
			config := &stdtls.Config{RootCAs: roots, ServerName: "localhost", MaxVersion: version,
				ClientSessionCache: stdtls.NewLRUClientSessionCache(1)}
			c.members.Go(func() { c.fails(member(config)) })
		}
	}
	ts.Defer(c.leave)
	until(ts, "everybody to be there", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.came == 4 && c.returned > 0 && c.asked > 0 || c.failed != nil
	})
}

// disperse ends a crowd and checks that nothing went wrong for it, and that of those who came back 99 % resumed: disperse NAME.
func disperse(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || worldOf(ts).crowds[args[0]] == nil {
		ts.Fatalf("usage: disperse NAME")
	}
	c := worldOf(ts).crowds[args[0]]
	c.leave()
	fmt.Fprintf(ts.Stdout(), "%d came, %d came back, %d of them resumed, %d asked over kept connections\n", c.came, c.returned, c.resumed, c.asked)
	switch {
	case c.failed != nil:
		ts.Fatalf("%v", errors.Join(c.failed...))
	case c.resumed*100 < c.returned*99:
		ts.Fatalf("%d came back and %d resumed; expected 99 %%", c.returned, c.resumed)
	}
}

// leave returns when everybody has left.
func (c *crowd) leave() {
	c.once.Do(func() { close(c.quit) })
	c.members.Wait()
}

func (c *crowd) left() bool {
	select {
	case <-c.quit:
		return true
	default:
		return false
	}
}

func (c *crowd) fails(err error) {
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failed = append(c.failed, err)
	}
}

func (c *crowd) comeAndGo(config *stdtls.Config) error {
	for first := true; !c.left(); first = false {
		v, err := c.visit(config)
		if err != nil {
			return err
		}
		err = v.ask()
		v.Close()
		if err != nil {
			return err
		}
		c.mu.Lock()
		switch {
		case first:
			c.came++
		case v.ConnectionState().DidResume:
			c.resumed++
			fallthrough
		default:
			c.returned++
		}
		c.mu.Unlock()
	}
	return nil
}

func (c *crowd) stay(config *stdtls.Config) error {
	const pause = 5 * time.Millisecond
	v, err := c.visit(config)
	if err != nil {
		return err
	}
	defer v.Close()
	for again := time.Tick(pause); ; {
		select {
		case <-c.quit:
			return nil
		case <-again:
		}
		if err := v.ask(); err != nil {
			return fmt.Errorf("over a connection that was kept: %v", err)
		}
		c.mu.Lock()
		c.asked++
		c.mu.Unlock()
	}
}

// visitor is one connection of a crowd.
type visitor struct {
	*stdtls.Conn
	r *bufio.Reader
}

func (c *crowd) visit(config *stdtls.Config) (*visitor, error) {
	conn, err := stdtls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", c.address, config)
	if err != nil {
		return nil, err
	}
	return &visitor{conn, bufio.NewReader(conn)}, nil
}

func (v *visitor) ask() error {
	if err := v.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(v, "GET /crowd HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(v.r, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != 200 || len(text) == 0) {
		err = fmt.Errorf("the answer is %s %q", answer.Status, text)
	}
	return err
}
