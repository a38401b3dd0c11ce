package main

import (
	"bufio"
	"bytes"
	stdtls "crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// client is a connection that a script holds.
type client struct {
	conn   net.Conn
	r      *bufio.Reader
	unread []byte // what hear has read and not matched yet
}

// connect opens a connection to HOST:PORT, or with TLS to tls:HOST:PORT, or to a Unix socket. An address of the form
// SOURCE@HOST:PORT says which loopback address to come from.
func connect(address string) (net.Conn, error) {
	address, withTLS := strings.CutPrefix(address, "tls:")
	d := net.Dialer{Timeout: patience}
	if source, rest, ok := strings.Cut(address, "@"); ok {
		address = rest
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	if withTLS {
		return stdtls.DialWithDialer(&d, network, address, &stdtls.Config{InsecureSkipVerify: true})
	}
	return d.Dial(network, address)
}

// dial opens a connection and names it: dial NAME ADDRESS; with ! the connection has to fail.
func dial(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] dial NAME [tls:][SOURCE@]HOST:PORT|/path")
	}
	conn, err := connect(args[1])
	if neg {
		if err == nil {
			conn.Close()
			ts.Fatalf("%s accepts connections", args[1])
		}
		return
	}
	ts.Check(err)
	worldOf(ts).clients[args[0]] = &client{conn: conn, r: bufio.NewReader(conn)}
}

func clientOf(ts *testscript.TestScript, neg bool, args []string, n int, usage string) *client {
	if neg || len(args) != n {
		ts.Fatalf("usage: %s", usage)
	}
	c := worldOf(ts).clients[args[0]]
	if c == nil {
		ts.Fatalf("there is no connection %s", args[0])
	}
	c.conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a closed connection fails what comes next
	return c
}

// send sends text, with the escapes that unescape knows, or what a file holds: send NAME TEXT|@FILE.
func send(ts *testscript.TestScript, neg bool, args []string) {
	c := clientOf(ts, neg, args, 2, "send NAME TEXT|@FILE")
	text := args[1]
	if name, ok := strings.CutPrefix(text, "@"); ok {
		text = ts.ReadFile(name)
	}
	_, err := c.conn.Write(unescape([]byte(text)))
	ts.Check(err)
}

// hear waits until a pattern has come over a connection: hear NAME PATTERN. It is over with what came up to there.
func hear(ts *testscript.TestScript, neg bool, args []string) {
	c := clientOf(ts, neg, args, 2, "hear NAME PATTERN")
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	for {
		if at := re.FindIndex(c.unread); at != nil {
			fmt.Fprintf(ts.Stdout(), "%s\n", c.unread[:at[1]])
			c.unread = c.unread[at[1]:]
			return
		}
		b, err := c.r.ReadByte()
		if err != nil {
			ts.Fatalf("%s: %v instead of %q, after %q", args[0], err, args[1], c.unread)
		}
		c.unread = append(c.unread, b)
		for range c.r.Buffered() {
			b, _ := c.r.ReadByte()
			c.unread = append(c.unread, b)
		}
	}
}

// silent checks that nothing comes over a connection and that it stays open, for a while: silent NAME.
func silent(ts *testscript.TestScript, neg bool, args []string) {
	c := clientOf(ts, neg, args, 1, "silent NAME")
	if len(c.unread) > 0 {
		ts.Fatalf("%s has said %q", args[0], c.unread)
	}
	c.conn.SetDeadline(time.Now().Add(300 * time.Millisecond)) //nolint:errcheck // as above
	b, err := c.r.ReadByte()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		ts.Fatalf("%s is not silent: %q %v", args[0], b, err)
	}
}

// finish says that nothing more will be sent over a connection, which can still be heard: finish NAME.
func finish(ts *testscript.TestScript, neg bool, args []string) {
	c := clientOf(ts, neg, args, 1, "finish NAME")
	ts.Check(c.conn.(interface{ CloseWrite() error }).CloseWrite())
}

// closed waits until the other side closes a connection, and prints what it said before: closed NAME.
func closed(ts *testscript.TestScript, neg bool, args []string) {
	c := clientOf(ts, neg, args, 1, "closed NAME")
	rest, err := io.ReadAll(c.r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		ts.Fatalf("%s is still open after %v", args[0], patience)
	}
	fmt.Fprintf(ts.Stdout(), "%s%s", c.unread, rest)
	c.conn.Close()
	delete(worldOf(ts).clients, args[0])
}

// hangup closes connections: hangup NAME…
func hangup(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		clientOf(ts, neg, []string{name}, 1, "hangup NAME…").conn.Close()
		delete(worldOf(ts).clients, name)
	}
}

// raw sends a file, with the escapes that unescape knows, and prints all that comes back until the other side closes:
// raw ADDRESS FILE.
func raw(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: raw [tls:]HOST:PORT FILE")
	}
	out, err := converse(args[0], unescape([]byte(ts.ReadFile(args[1]))))
	fmt.Fprintf(ts.Stdout(), "%s", out)
	ts.Check(err)
}

// converse sends bytes and returns the answer; an error is that the other side does not close.
func converse(address string, say []byte) ([]byte, error) {
	c, err := connect(address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a closed connection fails the write
	c.Write(say)                            //nolint:errcheck // it may be closed before all is said
	out, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return out, fmt.Errorf("%s is still open after %v; it said %q", address, patience, out)
	}
	return bytes.ReplaceAll(out, []byte("\r"), nil), nil
}

// refused sends every line of a file, each over a connection of its own, and checks that one answer with the given status
// comes back, and then the end: refused STATUS ADDRESS FILE. Lines that begin with # are comments, and name what follows.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: refused STATUS [tls:]HOST:PORT FILE")
	}
	about, tried := "", 0
	for line := range strings.Lines(ts.ReadFile(args[2])) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			about = line
			continue
		}
		tried++
		out, err := converse(args[1], unescape([]byte(line)))
		if err != nil {
			ts.Fatalf("%s: %s: %v", about, line, err)
		}
		if !bytes.HasPrefix(out, []byte("HTTP/1.1 "+args[0]+" ")) || bytes.Count(out, []byte("HTTP/1.1 ")) != 1 {
			ts.Fatalf("%s: %s: the answer is %q, want one with status %s", about, line, out, args[0])
		}
	}
	fmt.Fprintf(ts.Stdout(), "%d requests refused\n", tried)
}

// ask sends the lines of a file to a control port, each over a connection of its own, and prints them with the replies:
// ask ADDRESS FILE.
func ask(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ask HOST:PORT|/path FILE")
	}
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		out, err := converse(args[0], []byte(line))
		ts.Check(err)
		fmt.Fprintf(ts.Stdout(), "> %s%s", line, out)
	}
}

// choices connects from several loopback addresses, one after the other, and prints which greeter each one met, or
// "nobody": choices [-hold] HOST:PORT SOURCE… With -hold all connections stay open until the last one is answered.
func choices(ts *testscript.TestScript, neg bool, args []string) {
	hold := slices.Contains(args, "-hold")
	args = slices.DeleteFunc(args, func(a string) bool { return a == "-hold" })
	if neg || len(args) < 2 {
		ts.Fatalf("usage: choices [-hold] HOST:PORT SOURCE…")
	}
	for _, source := range args[1:] {
		c, err := connect(source + "@" + args[0])
		ts.Check(err)
		c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a closed connection fails the read
		name, err := bufio.NewReader(c).ReadString('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			ts.Fatalf("%s: no answer and no end", source)
		}
		if err != nil {
			name = "nobody\n"
		}
		fmt.Fprintf(ts.Stdout(), "%s %s", source, name)
		if hold {
			defer c.Close()
		} else {
			c.Close()
		}
	}
}

// websocket opens a WebSocket, sends a text, and prints what comes back: ws ADDRESS PATH TEXT. With h2: it is a stream of HTTP/2.
func websocket(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: ws [tls:|h2:]HOST:PORT PATH TEXT")
	}
	if address, byHTTP2 := strings.CutPrefix(args[0], "h2:"); byHTTP2 {
		websocketByHTTP2(ts, address, args[1], args[2])
		return
	}
	c, err := connect(args[0])
	ts.Check(err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a closed connection fails the write
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	// The first frame comes along with the handshake's last byte, so that both sides have to keep what they read ahead.
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", args[1], key)
	r := bufio.NewReader(c)
	head := ""
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := r.ReadString('\n')
		ts.Check(err)
		head += line
	}
	fmt.Fprintf(ts.Stdout(), "%s", strings.ReplaceAll(head, "\r", ""))
	if !strings.Contains(head, acceptKey(key)) {
		ts.Fatalf("this is no WebSocket")
	}
	_, err = c.Write(maskedFrame(args[2]))
	ts.Check(err)
	_, payload, err := readFrame(r)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "frame: %s\n", payload)
}

// maskedFrame is a text frame from a client (RFC 6455 section 5.2).
func maskedFrame(text string) []byte {
	mask := [4]byte{1, 2, 3, 4}
	frame := append([]byte{0x81, 0x80 | byte(len(text))}, mask[:]...)
	for i := range len(text) {
		frame = append(frame, text[i]^mask[i%4])
	}
	return frame
}

// unescape drops line ends and replaces \r \n \t \0 \\ and \xNN by what they stand for; \{N} repeats what stands before it
// up to N times in all.
func unescape(text []byte) []byte {
	var out []byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\n':
			continue
		case c != '\\' || i+1 == len(text):
			out = append(out, c)
			continue
		}
		i++
		switch c := text[i]; c {
		case 'r':
			out = append(out, '\r')
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case '0':
			out = append(out, 0)
		case 'x':
			n, err := strconv.ParseUint(string(text[i+1:min(i+3, len(text))]), 16, 8)
			if err == nil {
				out = append(out, byte(n))
				i += 2
			}
		case '{':
			count, _, _ := bytes.Cut(text[i+1:], []byte("}"))
			n, err := strconv.Atoi(string(count))
			if err == nil && len(out) > 0 {
				out = append(out, bytes.Repeat(out[len(out)-1:], n-1)...)
				i += len(count) + 1
			}
		default:
			out = append(out, c)
		}
	}
	return out
}
