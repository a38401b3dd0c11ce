package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// backendServer is one of the servers that are balanced over. All it receives is written to NAME.log, without the CRs, and
// a line for every connection to NAME.conns.
type backendServer struct {
	name string
	dir  string
	ln   net.Listener

	mu    sync.Mutex
	conns map[net.Conn]bool
	log   *os.File
	turn  int // of the statuses of /turns
}

// servers starts HTTP servers: servers NAME=[v2:][tls:]PORT|/path/to/socket|HOST:PORT… See answer for what they say, and withTLS for
// which certificate they show. With v2: each connection has to begin with a PROXY header of that version.
func servers(ts *testscript.TestScript, neg bool, args []string) {
	startServers(ts, neg, args, func(b *backendServer) {
		srv := &http.Server{Handler: http.HandlerFunc(b.answer),
			ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }}
		srv.Serve(b) //nolint:errcheck // it ends when the listener is closed
	})
}

// greeters starts servers without HTTP: each says its name in a line as soon as somebody connects, echoes what it is told,
// and says how much that was once its client has finished.
func greeters(ts *testscript.TestScript, neg bool, args []string) {
	startServers(ts, neg, args, func(b *backendServer) {
		for {
			c, err := b.Accept()
			if err != nil {
				return
			}
			go b.greet(c)
		}
	})
}

func startServers(ts *testscript.TestScript, neg bool, args []string, serve func(*backendServer)) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: servers|greeters NAME=[v2:][tls:]PORT|/path/to/socket…")
	}
	w := worldOf(ts)
	for _, arg := range args {
		name, address, _ := strings.Cut(arg, "=")
		address, introduced := strings.CutPrefix(address, "v2:")
		address, secure := strings.CutPrefix(address, "tls:")
		network := "tcp"
		switch {
		case strings.Contains(address, "/"):
			network = "unix"
		case !strings.Contains(address, ":"):
			address = "127.0.0.1:" + address
		}
		ln, err := listenSoon(network, address)
		ts.Check(err)
		if introduced {
			ln = introducedListener{ln}
		}
		if secure {
			ln = withTLS(ts, ln)
		}
		log, err := os.OpenFile(ts.MkAbs(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		ts.Check(err)
		b := &backendServer{name: name, dir: ts.MkAbs("."), ln: ln, log: log, conns: map[net.Conn]bool{}}
		w.backends[name] = b
		go serve(b)
	}
}

// listenSoon listens on an address that another server of this process may just have left: a program that is being started
// meanwhile holds a copy of the old listener until its exec closes it.
func listenSoon(network, address string) (ln net.Listener, err error) {
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if ln, err = net.Listen(network, address); !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(end) {
			return ln, err
		}
	}
}

// stopServer ends servers together with their connections: stop-server NAME…
func stopServer(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		b := worldOf(ts).backends[name]
		if b == nil || neg {
			ts.Fatalf("usage: stop-server NAME…")
		}
		b.stop()
		delete(worldOf(ts).backends, name)
	}
}

func (b *backendServer) stop() {
	b.ln.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		c.Close()
	}
	b.log.Close()
}

// Accept, Close and Addr make it the listener that net/http serves.
func (b *backendServer) Accept() (net.Conn, error) {
	c, err := b.ln.Accept()
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	rc := &recordedConn{Conn: c, b: b}
	b.conns[rc] = true
	f, err := os.OpenFile(filepath.Join(b.dir, b.name+".conns"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		fmt.Fprintf(f, "connection from %s\n", c.RemoteAddr())
		f.Close()
	}
	return rc, nil
}

func (b *backendServer) Close() error   { return b.ln.Close() }
func (b *backendServer) Addr() net.Addr { return b.ln.Addr() }

type connKey struct{}

// recordedConn writes down what is read.
type recordedConn struct {
	net.Conn
	b    *backendServer
	mu   sync.Mutex
	seen []byte // since the beginning of the request in hand
	all  int
}

// recordMax is how much of a connection is written to the log, in bytes.
const recordMax = 256 << 10

func (c *recordedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.mu.Lock()
		if c.all += n; c.all <= recordMax {
			c.seen = append(c.seen, p[:n]...)
			c.b.log.Write(bytes.ReplaceAll(p[:n], []byte("\r"), nil)) //nolint:errcheck // the server may have been stopped
		}
		c.mu.Unlock()
	}
	return n, err
}

func (c *recordedConn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

// head is the head of the request in hand as it came.
func (c *recordedConn) head() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	head, _, _ := bytes.Cut(c.seen, []byte("\r\n\r\n"))
	return append(bytes.Clone(head), "\r\n"...)
}

func (c *recordedConn) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = nil
}

func (b *backendServer) greet(c net.Conn) {
	defer c.Close()
	fmt.Fprintf(c, "%s\n", b.name)
	n, _ := io.Copy(c, c)
	fmt.Fprintf(c, "%s has read %d bytes\n", b.name, n)
}

// answer is "NAME METHOD TARGET" in a line, but for some paths.
func (b *backendServer) answer(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connKey{}).(*recordedConn)
	head := c.head()
	if r.ContentLength == 0 {
		c.forget()
	} else {
		defer c.forget()
	}
	what, arg, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	n, _ := strconv.Atoi(arg)
	switch what {
	case "head": // the head of the request as it came
		w.Write(head) //nolint:errcheck // as all answers below: the client may have left
	case "body": // the request's body
		io.Copy(w, r.Body) //nolint:errcheck // as above
	case "sum": // the body's length and sum
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		fmt.Fprintf(w, "%d bytes %x %v\n", n, h.Sum(nil), err)
	case "bytes": // that many, with Content-Length
		w.Header().Set("Content-Length", arg)
		w.Write(pattern(n)) //nolint:errcheck // as above
	case "chunks": // that many, chunked
		w.(http.Flusher).Flush()
		w.Write(pattern(n)) //nolint:errcheck // as above
	case "status": // an answer with that status
		w.Header().Set("Etag", `"x"`)
		w.WriteHeader(n)
	case "health": // 200, or 503 while there is a file NAME.ill
		if _, err := os.Stat(filepath.Join(b.dir, b.name+".ill")); err == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	case "turns": // answers with these statuses in turn, as in /turns/200,503
		b.inTurn(w, strings.Split(arg, ","))
	case "reject": // an answer that does not wait for the body
		w.Header().Set("Connection", "close")
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
	case "hints": // an interim answer before the final one
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprintf(w, "%s after hints\n", b.name)
	case "hop": // header fields that concern one connection, and some that do not
		w.Header().Set("Keep-Alive", "timeout=1")
		w.Header().Set("Proxy-Connection", "keep-alive")
		w.Header().Set("X-Kept", "yes")
		fmt.Fprintln(w, "hop")
	case "gate": // half of an answer, the other half once a file of that name exists
		b.gate(w, arg)
	case "events": // an event, and another once a file of that name exists (server-sent events)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: first\n\n")
		w.(http.Flusher).Flush()
		b.await(arg)
		fmt.Fprintf(w, "data: second\n\n")
	case "wait": // the request's body, which is not read before a file of that name exists
		b.await(arg)
		io.Copy(w, r.Body) //nolint:errcheck // as above
	case "raw": // bytes of a file, whatever they are, and then the end
		b.hijack(w, arg)
	case "introduction": // the PROXY header that the connection began with, as describeHead writes it
		io.WriteString(w, introductionOf(c.Conn)) //nolint:errcheck // as above
	case "whence": // the address that the connection came from, as in NAME.conns
		fmt.Fprintf(w, "connection from %s\n", r.RemoteAddr)
	case "ws": // a WebSocket that echoes
		b.websocket(w, r)
	default:
		fmt.Fprintf(w, "%s %s %s\n", b.name, r.Method, r.RequestURI)
	}
}

func (b *backendServer) inTurn(w http.ResponseWriter, statuses []string) {
	b.mu.Lock()
	n, _ := strconv.Atoi(statuses[b.turn%len(statuses)])
	b.turn++
	b.mu.Unlock()
	w.WriteHeader(n)
}

func (b *backendServer) gate(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Length", "200000")
	whole := pattern(200000)
	w.Write(whole[:100000]) //nolint:errcheck // the client may have left
	w.(http.Flusher).Flush()
	if b.await(name) {
		w.Write(whole[100000:]) //nolint:errcheck // as above
	}
}

// await waits until a file exists.
func (b *backendServer) await(name string) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(b.dir, name)); err == nil {
			return true
		}
	}
	return false
}

func (b *backendServer) hijack(w http.ResponseWriter, name string) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	text, err := os.ReadFile(filepath.Join(b.dir, filepath.Base(name)))
	if err == nil {
		c.Write(unescape(text)) //nolint:errcheck // the client may have left
	}
}

// websocket accepts and then sends every frame back, unmasked, until the client leaves (RFC 6455).
func (b *backendServer) websocket(w http.ResponseWriter, r *http.Request) {
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		acceptKey(r.Header.Get("Sec-WebSocket-Key")))
	for {
		op, payload, err := readFrame(rw.Reader)
		if err != nil {
			return
		}
		c.Write(append([]byte{op, byte(len(payload))}, payload...)) //nolint:errcheck // the next read says so
	}
}

// acceptKey is RFC 6455 section 4.2.2.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// readFrame reads a short frame, masked or not (RFC 6455 section 5.2).
func readFrame(r *bufio.Reader) (op byte, payload []byte, err error) {
	var h [2]byte
	if _, err = io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	var mask [4]byte
	if h[1]&0x80 != 0 {
		if _, err = io.ReadFull(r, mask[:]); err != nil {
			return 0, nil, err
		}
	}
	payload = make([]byte, h[1]&0x7f)
	_, err = io.ReadFull(r, payload)
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return h[0], payload, err
}

// deaf listens at ports and never accepts, with the queue full, so that a connect gets no answer: deaf PORT…
func deaf(ts *testscript.TestScript, neg bool, args []string) {
	for _, port := range args {
		quiet(ts, port, 0)
		for failed := 0; failed < 2; { // once alone, a busy machine may have been to blame
			c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, 200*time.Millisecond)
			if err != nil {
				failed++
				continue
			}
			failed = 0
			ts.Defer(func() { c.Close() })
		}
	}
}

// occupy listens at ports and never accepts: occupy PORT… Connects succeed, nothing is said.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	for _, port := range args {
		quiet(ts, port, 50)
	}
}

func quiet(ts *testscript.TestScript, port string, backlog int) {
	ln, err := net.Listen("tcp", "127.0.0.1:"+port)
	ts.Check(err)
	ts.Defer(func() { ln.Close() })
	raw, err := ln.(*net.TCPListener).SyscallConn()
	ts.Check(err)
	ts.Check(raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), backlog) }))
	ts.Check(err)
}
