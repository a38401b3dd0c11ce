package accesslog

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
)

// losses collects what a Writer reports.
type losses chan Loss

func (l losses) report(loss Loss) { l <- loss }

func opened(t *testing.T, name string) (*Writer, losses) {
	t.Helper()
	l := make(losses, 100)
	w, err := Open(name, l.report)
	if err != nil {
		t.Fatal(err)
	}
	return w, l
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
	w.Record(format(t, "%h"), &Record{Client: "192.0.2.1"})
	until(t, "the line", func() bool { return read(t, name) == "192.0.2.1\n" })
	closed(t, w)
	if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o027 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if written, lost := w.Counts(); written != 1 || lost != 0 || len(l) > 0 {
		t.Errorf("%d written, %d lost", written, lost)
	}
	w.add([]byte("too late\n"))
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
		w.add([]byte(before))
	}
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	if err := w.Reopen(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		w.add([]byte(after))
	}
	closed(t, w)
	if strings.Contains(read(t, name+".1"), "after") || strings.Count(read(t, name), "after\n") != 20000 || strings.Count(read(t, name+".1")+read(t, name), "before\n") != 20000 {
		t.Error("lines are in the wrong file")
	}
}

func TestReopenKeepsTheOldFileWhereTheNewOneCannotBe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w, _ := opened(t, filepath.Join(dir, "log"))
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := w.Reopen(); err == nil {
		t.Error("a file in no directory was opened")
	}
	w.add([]byte("line\n"))
	closed(t, w)
	if got := read(t, filepath.Join(dir+".away", "log")); got != "line\n" {
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
	if _, err := Open(name, nil); err == nil || !strings.Contains(err.Error(), "nobody reads") {
		t.Fatalf("a pipe without a reader: %v", err)
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
		w.add(someLine)
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
			w.add(someLine)
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
		w.add(someLine)
	}
	until(t, "the pipe to be full", func() bool { n, _ := w.Counts(); return n > 0 })
	if err := os.Rename(name, name+".old"); err != nil {
		t.Fatal(err)
	}
	if err := w.Reopen(); err != nil {
		t.Fatal(err)
	}
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
	w.add([]byte("one\ntwo\n"))
	if loss := <-l; loss.Lines != 2 || !errors.Is(loss.Err, syscall.ENOSPC) {
		t.Errorf("%+v", loss)
	}
	w.add([]byte("three\n"))
	until(t, "a third lost line", func() bool { _, lost := w.Counts(); return lost == 3 })
	w.Blocks(true)
	w.add([]byte("four\n"))
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

// TestWhatIsNoFile: links are not followed, and what cannot be a log is refused; Check says the same as Open and makes nothing.
func TestWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	link, file, pipe := filepath.Join(dir, "link"), filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.Symlink(file, link), syscall.Mkfifo(pipe, 0o600), os.Mkdir(filepath.Join(dir, "dir"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		link:                            "symbolic link",
		filepath.Join(dir, "dir"):       "dir",
		filepath.Join(dir, "no", "log"): "no such file",
	} {
		for what, err := range map[string]error{"Check": Check(name), "Open": second(Open(name, nil))} {
			if err == nil || !strings.HasPrefix(err.Error(), "access log: "+name+" ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%s of %s: %v, want %s", what, name, err, want)
			}
		}
	}
	for _, name := range []string{file, Stdout, "/dev/null", pipe} {
		if err := Check(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("Check has made a file")
	}
}

func second(_ *Writer, err error) error { return err }

func TestRecordAllocatesNothing(t *testing.T) {
	w, _ := opened(t, filepath.Join(t.TempDir(), "log"))
	defer closed(t, w)
	w.lines = make([]byte, 0, bufferMax)
	f, r := format(t, "json"), sample()
	if n := testing.AllocsPerRun(100, func() { w.Record(f, r) }); n != 0 && !raceDetector {
		t.Errorf("%v allocations", n)
	}
}
