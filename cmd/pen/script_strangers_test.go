package main

import (
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// withTLS has what is accepted from ln speak TLS, with the certificate chain.pem and leaf.key of the script.
func withTLS(ts *testscript.TestScript, ln net.Listener) net.Listener {
	cert, err := stdtls.LoadX509KeyPair(ts.MkAbs("chain.pem"), ts.MkAbs("leaf.key"))
	ts.Check(err)
	return stdtls.NewListener(ln, &stdtls.Config{Certificates: []stdtls.Certificate{cert}})
}

// piecemeal does a handshake in which every SIZE bytes that the client sends come as a segment of their own, verifies the
// certificate by a root, and prints its subject and the line that the server says: piecemeal SIZE HOST:PORT NAME ROOT.
func piecemeal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: piecemeal SIZE HOST:PORT NAME ROOT")
	}
	size, err := strconv.Atoi(args[0])
	ts.Check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ts.ReadFile(args[3])))
	c, err := connect(args[1])
	ts.Check(err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a closed connection fails the handshake
	// A small ClientHello, so that one byte at a time does not take long.
	t := stdtls.Client(pieces{c, size}, &stdtls.Config{ServerName: args[2], RootCAs: roots,
		CurvePreferences: []stdtls.CurveID{stdtls.X25519}})
	ts.Check(t.Handshake())
	var line []byte
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		if _, err := t.Read(b); err != nil || b[0] == '\n' {
			break
		}
	}
	fmt.Fprintf(ts.Stdout(), "%s says %s\n", t.ConnectionState().PeerCertificates[0].Subject.CommonName, line)
}

// pieces sends what is written in pieces.
type pieces struct {
	net.Conn
	size int
}

func (p pieces) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = p.Conn.Write(b[n:min(n+p.size, len(b))])
		n += m
		time.Sleep(time.Millisecond) // or the reader would find several pieces as one
	}
	return n, err
}

// burst opens N connections, some at a time, sends what a file holds (with the escapes that unescape knows) over each, and
// waits for each to end: burst N HOST:PORT FILE.
func burst(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: burst N HOST:PORT FILE")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	say := unescape([]byte(ts.ReadFile(args[2])))
	const atOnce = 40
	var all sync.WaitGroup
	failed, turns := make(chan error, n), make(chan bool, atOnce)
	for range n {
		turns <- true
		all.Go(func() {
			if _, err := alone(args[1], say, false); err != nil {
				failed <- err
			}
			<-turns
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		ts.Fatalf("%v", err)
	}
}

// garbled sends every line of a file over a connection of its own, with the escapes that unescape knows, and prints how each
// ended: with the number of a TLS alert, or with nothing: garbled HOST:PORT FILE. Lines that begin with # are comments. After
// a line that ends with a blank and "end" the client has finished.
func garbled(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: garbled HOST:PORT FILE")
	}
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		text, finished := strings.CutSuffix(line, " end")
		out, err := alone(args[0], unescape([]byte(text)), finished)
		switch {
		case err != nil:
			ts.Fatalf("%s: %v", line, err)
		case len(out) == 0:
			fmt.Fprintf(ts.Stdout(), "nothing to %.40s\n", line)
		case len(out) == 7 && out[0] == 21: // an alert in a record of its own
			fmt.Fprintf(ts.Stdout(), "alert %d to %.40s\n", out[6], line)
		default:
			ts.Fatalf("%s: the answer is %q, want an alert or nothing", line, out)
		}
	}
}

// alone sends bytes over a connection of its own, and the end where it is finished, and returns all that comes back until the
// other side ends it.
func alone(address string, say []byte, finished bool) ([]byte, error) {
	c, err := connect(address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a closed connection fails the write
	c.Write(say)                            //nolint:errcheck // it may be closed before all is said
	if finished {
		c.(*net.TCPConn).CloseWrite() //nolint:errcheck // as above
	}
	out, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, fmt.Errorf("%s is still open after %v", address, patience)
	}
	return out, nil
}
