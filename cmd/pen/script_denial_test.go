package main

import (
	"bufio"
	stdtls "crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// reset connects and waits until the other side ends the connection, over which nothing is to come, and checks that it is reset, or with ! that it
// is closed in an orderly way: [!] reset [SOURCE@]HOST:PORT.
func reset(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] reset [SOURCE@]HOST:PORT")
	}
	var text []byte
	c, err := connect(args[0]) // which may see the reset already
	if err == nil {
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a closed connection fails the read
		text, err = io.ReadAll(c)
	}
	was := errors.Is(err, syscall.ECONNRESET)
	switch {
	case len(text) > 0:
		ts.Fatalf("%s has said %q", args[0], text)
	case err != nil && !was:
		ts.Fatalf("%s: %v", args[0], err)
	case was == neg:
		ts.Fatalf("%s ended the connection with %v", args[0], err)
	}
}

// hello opens a connection, sends a ClientHello over it, and leaves the handshake there: hello NAME [SOURCE@]HOST:PORT.
func hello(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hello NAME [SOURCE@]HOST:PORT")
	}
	conn := begun(ts, args[1])
	worldOf(ts).clients[args[0]] = &client{conn: conn, r: bufio.NewReader(conn)}
}

// flood opens N connections that stop after their ClientHello and stay until the script ends: flood N [SOURCE@]HOST:PORT.
func flood(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flood N [SOURCE@]HOST:PORT")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for range n {
		conn := begun(ts, args[1])
		ts.Defer(func() { conn.Close() })
	}
}

// begun is a connection on which a handshake has begun.
func begun(ts *testscript.TestScript, address string) net.Conn {
	conn, err := connect(address)
	ts.Check(err)
	conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a closed connection fails the write
	err = stdtls.Client(deafened{conn}, &stdtls.Config{ServerName: "localhost"}).Handshake()
	if !errors.Is(err, errDeafened) {
		ts.Fatalf("the ClientHello to %s: %v", address, err)
	}
	return conn
}

var errDeafened = errors.New("nothing is heard here")

// deafened is a connection over which things are only said.
type deafened struct{ net.Conn }

func (deafened) Read([]byte) (int, error) { return 0, errDeafened }
