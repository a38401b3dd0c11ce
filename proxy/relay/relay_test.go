package relay

import (
	"bytes"
	stdtls "crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edgepen/certs"
	"edgepen/httpx"
	"edgepen/tls"
)

// patience is how long a test waits for what has to happen: it is never waited out but by a failure.
const patience = 10 * time.Second

// meter counts what a relay reports.
type meter struct{ up, down atomic.Int64 }

func (m *meter) Up(n int64)   { m.up.Add(n) }
func (m *meter) Down(n int64) { m.down.Add(n) }

// pair returns the two ends of a connection over loopback TCP, or a Unix socket.
func pair(t testing.TB, network string) (a, b net.Conn) {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if a, err = net.Dial(network, ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	deadline(t, a)
	return a, b
}

// deadline keeps a broken test from hanging.
func deadline(t testing.TB, c net.Conn) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
}

func socket(t testing.TB, c net.Conn) *Socket {
	t.Helper()
	s, err := NewSocket(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// terminator is made once: a certificate for each test would only cost time.
var terminator = sync.OnceValues(func() (*tls.Terminator, error) {
	set, err := certs.NewStore().Load(certs.Source{SelfSigned: "localhost"}, time.Now())
	if err != nil {
		return nil, err
	}
	profile, err := tls.NewProfile(tls.Material{Set: set}, tls.Options{ALPN: "http/1.1"})
	if err != nil {
		return nil, err
	}
	return tls.NewTerminator(func() *tls.Profile { return profile }), nil
})

// side returns the end of a client, and the stream that the relay sees of it. kind is tcp, unix or tls.
func side(t testing.TB, kind string) (net.Conn, *Stream) {
	t.Helper()
	if kind != "tls" {
		a, b := pair(t, kind)
		return a, NewStream(socket(t, b), nil)
	}
	term, err := terminator()
	if err != nil {
		t.Fatal(err)
	}
	a, b := pair(t, "tcp")
	client := stdtls.Client(a, &stdtls.Config{InsecureSkipVerify: true})
	failed := make(chan error, 1)
	go func() { failed <- client.Handshake() }()
	s := socket(t, b)
	conn, err := term.Handshake(s, time.Now().Add(patience), tls.Checks{})
	if err := errors.Join(err, <-failed); err != nil {
		t.Fatal(err)
	}
	return client, NewStream(s, conn)
}

// until waits for an event that nothing announces.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited %v for: %s", patience, what)
		}
	}
}

// closed waits for a goroutine's end.
func closed(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		buf := make([]byte, 1<<16)
		t.Fatalf("waited %v for: %s\n%s", patience, what, buf[:runtime.Stack(buf, true)])
	}
}

// descriptors counts the process's open files.
func descriptors(t testing.TB) int {
	t.Helper()
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		if names, err := os.ReadDir(dir); err == nil {
			return len(names)
		}
	}
	t.Fatal("this system does not list a process's descriptors")
	return 0
}

func write(t testing.TB, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Errorf("write: %v", err)
	}
}

// expect reads exactly want.
func expect(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(r, got)
	if string(got[:n]) != want {
		t.Fatalf("read %q (%v), expected %q", got[:n], err, want)
	}
}

// expectEnd reads the end of data.
func expectEnd(t testing.TB, r io.Reader) {
	t.Helper()
	rest, err := io.ReadAll(r)
	if len(rest) > 0 || err != nil {
		t.Fatalf("read %q (%v), expected the end", rest, err)
	}
}

// head reads up to and with an empty line.
func head(t testing.TB, r io.Reader) string {
	t.Helper()
	h, err := readHead(r)
	if err != nil {
		t.Fatalf("read %q (%v), expected a head", h, err)
	}
	return h
}

func readHead(r io.Reader) (string, error) {
	var b []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		if _, err := io.ReadFull(r, one); err != nil {
			return string(b), err
		}
		b = append(b, one[0])
	}
	return string(b), nil
}

// front is an HTTP relay with its client and servers in the hands of a test.
type front struct {
	t       testing.TB
	client  net.Conn
	stream  *Stream
	config  HTTPConfig
	meter   meter
	servers chan net.Conn // the servers' ends of the connections that were made
	done    chan struct{} // closed when HTTP has returned
	known   net.Conn      // the server at work, where a test keeps it

	connects, disconnects atomic.Int64
	mu                    sync.Mutex
	refusals              []int
	reasons               []string
}

// newFront prepares a relay; serve starts it.
func newFront(t testing.TB, kind string) *front {
	t.Helper()
	f := &front{t: t, servers: make(chan net.Conn, 16), done: make(chan struct{})}
	f.client, f.stream = side(t, kind)
	f.config = HTTPConfig{
		Forward: httpx.Forward{Client: "192.0.2.1", Proto: "http"}, HeadLimit: 64 << 10, HeadTimeout: patience, Idle: patience,
		Connect:      f.connect,
		Disconnected: func() { f.disconnects.Add(1) },
		Refused:      f.refused,
		Meter:        &f.meter,
	}
	return f
}

func (f *front) connect(bool) (*Stream, error) {
	f.connects.Add(1)
	server, stream := side(f.t, "tcp")
	f.servers <- server
	return stream, nil
}

func (f *front) refused(status int, why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusals, f.reasons = append(f.refusals, status), append(f.reasons, why.Error())
}

func (f *front) serve() *front {
	go func() {
		defer close(f.done)
		HTTP(f.stream, &f.config)
	}()
	f.t.Cleanup(func() {
		f.client.Close()
		closed(f.t, "the relay to end with its client", f.done)
		if c, d := f.connects.Load(), f.disconnects.Load(); c != d && !f.t.Failed() {
			f.t.Errorf("%d servers were connected to, %d disconnected", c, d)
		}
	})
	return f
}

// server waits for a connection to a server.
func (f *front) server() net.Conn {
	f.t.Helper()
	select {
	case c := <-f.servers:
		return c
	case <-time.After(patience):
		f.t.Fatal("no server was connected to")
		return nil
	}
}

// status reads a response of ours, to its end, and checks it.
func (f *front) status(want string) string {
	f.t.Helper()
	got, err := io.ReadAll(f.client)
	f.client.Close()
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 "+want+" ") {
		f.t.Fatalf("the client got %q (%v), expected status %s", got, err, want)
	}
	if !strings.Contains(string(got), "\r\nConnection: close\r\n") {
		f.t.Errorf("a refusal without Connection: close: %q", got)
	}
	return string(got)
}

// refusedWith checks what Refused was told.
func (f *front) refusedWith(want int) {
	f.t.Helper()
	closed(f.t, "the relay to end", f.done)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.refusals) != 1 || f.refusals[0] != want {
		f.t.Errorf("Refused was told %v %q, expected one %d", f.refusals, f.reasons, want)
	}
}

// expectCut reads to the end, which has to be an error rather than an orderly end where cut is true.
func expectCut(t testing.TB, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err == nil {
		t.Errorf("an orderly end after %q, expected an error", b)
	} else if isTimeout(err) {
		t.Errorf("nothing ended the connection after %q", b)
	}
	return b
}
