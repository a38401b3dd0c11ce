package trafficlog

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var moment = time.Unix(1795342144, 0)

func TestLines(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{"GET /abc?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /abc?x=1 HTTP/1.1"},
		{"hello\xe9\x01 world\tx\nsecond line\n", "hello.\x01 world\tx"},
		{strings.Repeat("A", 300) + "\n", strings.Repeat("A", 100)},
		{"\r\nabc", ""},
		{"", ""},
		{"no end", "no end"},
		{"a\x00b", "a.b"},
	} {
		if got, want := string(appendLine(nil, moment, "192.0.2.1", "10.0.0.1", []byte(c.data))), "192.0.2.1 1795342144 10.0.0.1 "+c.want+"\n"; got != want {
			t.Errorf("%q\n got %q\nwant %q", c.data, got, want)
		}
		if got, want := string(appendDatagram(nil, "192.0.2.1", "10.0.0.1", []byte(c.data))), "+ 192.0.2.1 10.0.0.1 "+c.want+"\n"; got != want {
			t.Errorf("%q\n got %q\nwant %q", c.data, got, want)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFileIsReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := Open(path, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	l.Record(moment, "a", "b", []byte("one\n"))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Record(moment, "a", "b", []byte("two\n"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path+".1") + read(t, path); got != "a 1795342144 b one\na 1795342144 b two\n" {
		t.Errorf("%q", got)
	}
}

// TestLinesAreWrittenSoon: nobody has to send HUP to see the last line. The original holds them back.
func TestLinesAreWrittenSoon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := Open(path, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Record(moment, "a", "b", []byte("one\n"))
	for deadline := time.Now().Add(10 * time.Second); read(t, path) == ""; {
		if time.Now().After(deadline) {
			t.Fatal("nothing was written")
		}
	}
}

func TestReopenKeepsTheOldFileWhereTheNewOneCannotBe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := Open(filepath.Join(dir, "log"), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err == nil {
		t.Error("a file in no directory was opened")
	}
	l.Record(moment, "a", "b", []byte("one\n"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(dir+".away", "log")); got != "a 1795342144 b one\n" {
		t.Errorf("%q", got)
	}
}

func TestDatagrams(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	l, err := Open(pc.LocalAddr().String(), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Record(moment, "192.0.2.1", "10.0.0.1", []byte("GET / HTTP/1.1\r\n"))
	b := make([]byte, 1000)
	pc.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, _, err := pc.ReadFrom(b)
	if err != nil || string(b[:n]) != "+ 192.0.2.1 10.0.0.1 GET / HTTP/1.1\n" {
		t.Errorf("%q, %v", b[:n], err)
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	l, err := Open(filepath.Join(t.TempDir(), "log"), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data := []byte("GET / HTTP/1.1\r\n")
	if n := testing.AllocsPerRun(100, func() { l.Record(moment, "192.0.2.1", "10.0.0.1", data) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestPipes: a pipe that nobody reads is refused, and one whose reader has stopped holds nobody up.
func TestPipes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(name, nil); err == nil || !strings.Contains(err.Error(), "nobody reads") {
		t.Fatalf("a pipe without a reader: %v", err)
	}
	reader, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	lost := make(chan error, 1)
	l, err := Open(name, func(err error) { lost <- err })
	if err != nil {
		t.Fatal(err)
	}
	for range 10000 { // more than a pipe and the buffer hold
		l.Record(moment, "192.0.2.1", "10.0.0.1", []byte(strings.Repeat("A", 100)))
	}
	if err := <-lost; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("lines were lost: %v", err)
	}
	l.Close() //nolint:errcheck // its lines are lost
}
