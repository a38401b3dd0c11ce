package logfile

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// losses collects what a Writer reports.
type losses chan Loss

func (l losses) report(loss Loss) { l <- loss }

// open opens a file as logs are.
func open(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o600)
}

func opened(t *testing.T, name string) (*Writer, losses) {
	t.Helper()
	f, err := open(name)
	if err != nil {
		t.Fatal(err)
	}
	l := make(losses, 100)
	return New(f, l.report), l
}

// reopened goes on in a new file of the name.
func reopened(t *testing.T, w *Writer, name string) {
	t.Helper()
	if err := w.Reopen(func() (*os.File, error) { return open(name) }); err != nil {
		t.Fatal(err)
	}
}

func closed(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// until waits for what is bound to happen.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestLinesAreWrittenSoon(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	w, l := opened(t, name)
	w.Add([]byte("line\n"))
	until(t, "the line", func() bool { return read(t, name) == "line\n" })
	closed(t, w)
	if written, lost := w.Counts(); written != 1 || lost != 0 || len(l) > 0 {
		t.Errorf("%d written, %d lost", written, lost)
	}
	w.Add([]byte("too late\n"))
	if _, lost := w.Counts(); lost != 1 {
		t.Errorf("%d lost", lost)
	}
}

// TestRotation: from Reopen on lines are in the new file, and those before are in the old one, however many wait.
func TestRotation(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	w, _ := opened(t, name)
	before, after := strings.Repeat("before\n", 1000), strings.Repeat("after\n", 1000)
	for range 20 {
		w.Add([]byte(before))
	}
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	reopened(t, w, name)
	for range 20 {
		w.Add([]byte(after))
	}
	closed(t, w)
	if strings.Contains(read(t, name+".1"), "after") || strings.Count(read(t, name), "after\n") != 20000 || strings.Count(read(t, name+".1")+read(t, name), "before\n") != 20000 {
		t.Error("lines are in the wrong file")
	}
}

// TestReopenEmptiesTheOldFileFirst: there is no new file before the lines of the old one are in it, and what comes meanwhile is for the new one.
func TestReopenEmptiesTheOldFileFirst(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	w, _ := opened(t, name)
	for n := range 100 {
		w.Add(fmt.Appendf(nil, "before %d\n", n))
		old := fmt.Sprintf("%s.%d", name, n)
		if err := os.Rename(name, old); err != nil {
			t.Fatal(err)
		}
		err := w.Reopen(func() (*os.File, error) {
			if got := read(t, old); !strings.HasSuffix(got, fmt.Sprintf("before %d\n", n)) {
				t.Errorf("the old file has only %q", got)
			}
			w.Add([]byte("meanwhile\n"))
			return open(name)
		})
		if err != nil || read(t, name) != "meanwhile\n" {
			t.Fatalf("the new file has %q, %v", read(t, name), err)
		}
		if got := read(t, old); strings.Count(got, "meanwhile") > 1 {
			t.Fatalf("the old file has got %q", got)
		}
	}
	closed(t, w)
}

func TestReopenKeepsTheOldFileWhereThereIsNoNewOne(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	w, _ := opened(t, name)
	err := w.Reopen(func() (*os.File, error) {
		w.Add([]byte("meanwhile\n"))
		return nil, os.ErrPermission
	})
	if !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
	w.Add([]byte("line\n"))
	closed(t, w)
	if got := read(t, name); got != "meanwhile\nline\n" {
		t.Errorf("%q", got)
	}
}

// TestFilesThatCannotBeClosed: a network's may say only then what it has lost. It is no reason not to go on in the next.
func TestFilesThatCannotBeClosed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	w, l := opened(t, name)
	w.file.Close()
	reopened(t, w, name)
	if loss := <-l; loss.Lines != 0 || !errors.Is(loss.Err, os.ErrClosed) {
		t.Errorf("%+v", loss)
	}
	w.Add([]byte("line\n"))
	closed(t, w)
	if got := read(t, name); got != "line\n" {
		t.Errorf("%q", got)
	}
}

// pipe is a named pipe with a reader that does not read.
func pipe(t *testing.T) (name string, reader *os.File) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	return name, reader
}

var someLine = []byte(strings.Repeat("A", 99) + "\n")

// TestSlowReaders: who has stopped to read holds nobody up; what has no room is counted, and what has is there in whole lines.
func TestSlowReaders(t *testing.T) {
	name, reader := pipe(t)
	w, l := opened(t, name)
	const lines = 3 * bufferMax / 100
	for range lines {
		w.Add(someLine)
	}
	if loss := <-l; loss.Lines == 0 || loss.Err != nil {
		t.Errorf("%+v", loss)
	}
	_, lost := w.Counts()
	got := make(chan int)
	go func() {
		n := 0
		for s := bufio.NewScanner(reader); s.Scan(); n++ {
			if s.Text() != strings.TrimSuffix(string(someLine), "\n") {
				t.Errorf("a line became %q", s.Text())
			}
		}
		got <- n
	}()
	closed(t, w)
	if n := <-got; uint64(n) != lines-lost || lost > lines*3/4 {
		t.Errorf("%d of %d lines were read, and %d lost", n, lines, lost)
	}
}

// TestReadersThatNeverRead: the end does not wait for them.
func TestReadersThatNeverRead(t *testing.T) {
	name, _ := pipe(t)
	w, l := opened(t, name)
	w.Blocks(true)
	waited := make(chan bool)
	go func() {
		for range 3 * bufferMax / 100 {
			w.Add(someLine)
		}
		waited <- true
	}()
	select {
	case <-waited:
		t.Error("lines without room did not wait")
	case <-time.After(300 * time.Millisecond):
	}
	w.LetGo()
	<-waited
	closed(t, w)
	sum := uint64(0)
	for len(l) > 0 {
		sum += (<-l).Lines
	}
	if written, lost := w.Counts(); written+lost != 3*bufferMax/100 || sum != lost {
		t.Errorf("%d written, %d lost, %d reported", written, lost, sum)
	}
}

// TestReopenLeavesAStuckPipe: lines that wait for its reader go into the new file, whole.
func TestReopenLeavesAStuckPipe(t *testing.T) {
	name, reader := pipe(t)
	w, _ := opened(t, name)
	for range 5000 {
		w.Add(someLine)
	}
	until(t, "the pipe to be full", func() bool { n, _ := w.Counts(); return n > 0 })
	if err := os.Rename(name, name+".old"); err != nil {
		t.Fatal(err)
	}
	reopened(t, w, name)
	closed(t, w)
	written, lost := w.Counts()
	for s := range strings.Lines(read(t, name)) {
		if s != string(someLine) {
			t.Fatalf("a line became %q", s)
		}
	}
	if written+lost != 5000 || lost > 1 {
		t.Errorf("%d written, %d lost", written, lost)
	}
	reader.Close()
}

// TestFullDevices: lines are lost and counted, or wait until there is another file.
func TestFullDevices(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this needs /dev/full")
	}
	w, l := opened(t, "/dev/full")
	w.Add([]byte("one\ntwo\n"))
	if loss := <-l; loss.Lines != 2 || !errors.Is(loss.Err, syscall.ENOSPC) {
		t.Errorf("%+v", loss)
	}
	w.Add([]byte("three\n"))
	until(t, "a third lost line", func() bool { _, lost := w.Counts(); return lost == 3 })
	w.Blocks(true)
	w.Add([]byte("four\n"))
	time.Sleep(2 * flushEvery)
	if _, lost := w.Counts(); lost != 3 {
		t.Errorf("%d lines lost where they were to wait", lost)
	}
	w.LetGo()
	closed(t, w)
	if _, lost := w.Counts(); lost != 4 {
		t.Errorf("%d lines lost", lost)
	}
}

func TestAddAllocatesNothing(t *testing.T) {
	w, _ := opened(t, filepath.Join(t.TempDir(), "log"))
	defer closed(t, w)
	w.lines = make([]byte, 0, bufferMax)
	if n := testing.AllocsPerRun(100, func() { w.Add(someLine) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
