package trafficlog

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"edgepen/proxy/logfile"
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
	l, err := Open(path, none(t))
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
	l, err := Open(path, none(t))
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
	l, err := Open(filepath.Join(dir, "log"), none(t))
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

func TestRecordAllocatesNothing(t *testing.T) {
	l, err := Open(filepath.Join(t.TempDir(), "log"), none(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data := []byte("GET / HTTP/1.1\r\n")
	if n := testing.AllocsPerRun(100, func() { l.Record(moment, "192.0.2.1", "10.0.0.1", data) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// losses collects what a Log reports.
type losses chan logfile.Loss

func (l losses) report(loss logfile.Loss) { l <- loss }

// none is told of losses that there are not to be.
func none(t *testing.T) func(logfile.Loss) {
	return func(l logfile.Loss) { t.Errorf("%+v", l) }
}

// TestPipes: a pipe that nobody reads is refused, and one whose reader has stopped holds nobody up. When it reads again its lines go on, whole ones.
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
	lost := make(losses, 100)
	l, err := Open(name, lost.report)
	if err != nil {
		t.Fatal(err)
	}
	line := "192.0.2.1 1795342144 10.0.0.1 " + strings.Repeat("A", 100)
	for range 30000 { // more than a pipe and the buffers hold
		l.Record(moment, "192.0.2.1", "10.0.0.1", []byte(strings.Repeat("A", 100)))
	}
	if loss := <-lost; loss.Lines == 0 || loss.Err != nil {
		t.Errorf("%+v", loss)
	}
	read := bufio.NewScanner(reader)
	for n := range 1000 {
		if !read.Scan() || read.Text() != line {
			t.Fatalf("line %d is %q, %v", n, read.Text(), read.Err())
		}
	}
	l.Record(moment, "a", "b", []byte("one"))
	go l.Close()
	last := ""
	for read.Scan() {
		if last = read.Text(); last != line && last != "a 1795342144 b one" {
			t.Fatalf("a line became %q", last)
		}
	}
	if last != "a 1795342144 b one" {
		t.Errorf("the last line is %q", last)
	}
}

// TestReopenAfterLosses: that lines have been lost does not keep the log from going on in a new file.
func TestReopenAfterLosses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this needs /dev/full")
	}
	dir := t.TempDir()
	name, lost := filepath.Join(dir, "log"), make(losses, 100)
	if err := os.Symlink("/dev/full", name); err != nil {
		t.Fatal(err)
	}
	l, err := Open(name, lost.report)
	if err != nil {
		t.Fatal(err)
	}
	l.Record(moment, "a", "b", []byte("one\n"))
	if loss := <-lost; loss.Lines != 1 || !errors.Is(loss.Err, syscall.ENOSPC) {
		t.Errorf("%+v", loss)
	}
	l.Record(moment, "a", "b", []byte("two\n")) // lost by Reopen itself
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	l.Record(moment, "a", "b", []byte("three\n"))
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if got := read(t, name); got != "a 1795342144 b three\n" {
		t.Errorf("%q", got)
	}
	if loss := <-lost; loss.Lines != 1 {
		t.Errorf("%+v", loss)
	}
}
