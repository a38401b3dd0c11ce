package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// What the backend answers; paths of one length keep requests of one length.
const (
	pathPage      = "/page" // 1 KiB
	pathForwarded = "/forw" // the same, refused unless the request carries X-Forwarded-For
	pathEcho      = "/echo" // the values of X-Forwarded-For, separated by blanks
	pathBulk      = "/bulk" // bulkSize bytes
)

const (
	bulkSize     = 10 << 20
	backendHosts = 16 // addresses the backend listens on, 127.0.1.1 and up
)

func pageBody() []byte { return bytes.Repeat([]byte("0123456789abcdef"), 64) }
func bulkBody() []byte { return bytes.Repeat([]byte("0123456789abcdef"), bulkSize/16) }

// backendHost is the nth address of the backend. Contenders get different ones, because all their connections leave from
// 127.0.0.1 and the ports of those to one address are used up quickly.
func backendHost(n int) string { return "127.0.1." + strconv.Itoa(1+n%backendHosts) }

// runRole runs what this program does as a child of itself, if args ask for that.
func runRole(args []string) (ran bool, err error) {
	switch {
	case len(args) == 1 && args[0] == "backend":
		return true, serveBackend(os.Stdin, os.Stdout)
	case len(args) == 3 && args[0] == "direct":
		return true, serveDirect(args[1], args[2])
	}
	return false, nil
}

// backend is the server behind all contenders, in a process of its own so that its CPU time is counted to nobody. It also
// sees to it that no contender outlives this program, however that ends: some leave their children behind when killed.
type backend struct {
	port  int
	cmd   *exec.Cmd
	stdin io.WriteCloser // its end is the backend's
}

// startBackend starts program (this one) in the backend's role.
func startBackend(program string) (*backend, error) {
	cmd := exec.Command(program, "backend")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the backend: %w", err)
	}
	b := &backend{cmd: cmd, stdin: stdin}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	if b.port, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		b.stop()
		return nil, fmt.Errorf("the backend said %q instead of its port", line)
	}
	return b, nil
}

// guard names the process group to kill should this program end now; 0 for none.
func (b *backend) guard(group int) { fmt.Fprintln(b.stdin, group) }

// stop ends the backend and waits for it.
func (b *backend) stop() {
	b.stdin.Close()
	b.cmd.Wait()
}

// serveBackend answers on one port of every backend address, tells the port on out, and ends with in, from which it reads
// what to guard.
func serveBackend(in io.Reader, out io.Writer) error {
	first, err := net.Listen("tcp", backendHost(0)+":0")
	if err != nil {
		return err
	}
	port := first.Addr().(*net.TCPAddr).Port
	listeners := []net.Listener{first}
	for n := 1; n < backendHosts; n++ {
		ln, err := net.Listen("tcp", net.JoinHostPort(backendHost(n), strconv.Itoa(port)))
		if err != nil {
			return err
		}
		listeners = append(listeners, ln)
	}
	replies := newReplies()
	for _, ln := range listeners {
		pc, err := net.ListenPacket("udp", ln.Addr().String())
		if err != nil {
			return err
		}
		go echoDatagrams(pc)
		go acceptBackend(ln, replies)
	}
	fmt.Fprintln(out, port)
	return awaitEnd(in)
}

// awaitEnd reads process groups until in ends, and then kills the last one.
func awaitEnd(in io.Reader) error {
	group := 0
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var err error
		if group, err = strconv.Atoi(lines.Text()); err != nil {
			return err
		}
	}
	if group > 1 {
		syscall.Kill(-group, syscall.SIGKILL)
	}
	return lines.Err()
}

func acceptBackend(ln net.Listener, replies replies) {
	for {
		c, err := ln.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "backend:", err)
			return
		}
		go serveConnection(c, replies)
	}
}

// replies are the ready-made answers.
type replies struct{ page, bulk, refusal []byte }

func newReplies() replies {
	return replies{
		page:    reply("200 OK", pageBody()),
		bulk:    reply("200 OK", bulkBody()),
		refusal: reply("400 Bad Request", []byte("no X-Forwarded-For")),
	}
}

func reply(status string, body []byte) []byte {
	return append(fmt.Appendf(nil, "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", status, len(body)), body...)
}

// serveConnection answers requests without bodies, pipelined or not, until the peer closes.
func serveConnection(c net.Conn, replies replies) {
	defer c.Close()
	buf, have := make([]byte, 4096), 0
	for {
		end := bytes.Index(buf[:have], []byte("\r\n\r\n"))
		if end < 0 {
			n, err := c.Read(buf[have:])
			if err != nil || n == 0 { // n is 0 when a head fills buf
				return
			}
			have += n
			continue
		}
		if _, err := c.Write(replies.to(buf[:end+2])); err != nil {
			return
		}
		have = copy(buf, buf[end+4:have])
	}
}

// to is the answer to a request head, whose lines all end in CR LF.
func (r replies) to(head []byte) []byte {
	_, rest, _ := bytes.Cut(head, []byte(" "))
	path, _, _ := bytes.Cut(rest, []byte(" "))
	switch string(path) {
	case pathPage:
		return r.page
	case pathBulk:
		return r.bulk
	case pathForwarded:
		if headerValue(head, "X-Forwarded-For") != "" {
			return r.page
		}
		return r.refusal
	case pathEcho:
		return reply("200 OK", []byte(headerValue(head, "X-Forwarded-For")))
	}
	return reply("404 Not Found", nil)
}

// headerValue returns the values of all fields called name, separated by blanks.
func headerValue(head []byte, name string) string {
	var values []string
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		if len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			values = append(values, string(bytes.TrimSpace(line[len(name)+1:])))
		}
	}
	return strings.Join(values, " ")
}

// serveDirect relays TCP in the plainest way Go offers: a contender that is always there, for tests and as a yardstick.
func serveDirect(listen, server string) error {
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go relayDirect(c.(*net.TCPConn), server)
	}
}

func relayDirect(down *net.TCPConn, server string) {
	defer down.Close()
	c, err := net.Dial("tcp", server)
	if err != nil {
		fmt.Fprintln(os.Stderr, "direct:", err)
		return
	}
	up := c.(*net.TCPConn)
	defer up.Close()
	done := make(chan error, 2)
	pass := func(to, from *net.TCPConn) {
		_, err := io.Copy(to, from)
		done <- errors.Join(err, to.CloseWrite())
	}
	go pass(up, down)
	go pass(down, up)
	<-done
	<-done
}
