package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pipe makes a pipe that somebody holds open and does not read.
func pipe(t *testing.T) (name string, reader *os.File) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&output{name: name}).reopen(); err == nil || err.Error() != "it is a pipe that nobody reads" {
		t.Fatalf("a pipe without a reader: %v", err)
	}
	reader, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	return name, reader
}

// TestPipes: a pipe whose reader has stopped loses lines, in whole, and holds nobody up for long.
func TestPipes(t *testing.T) {
	name, reader := pipe(t)
	o := &output{name: name}
	if err := o.reopen(); err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("A", 9999) + "\n"
	var failed error
	for began := time.Now(); failed == nil; {
		if _, failed = io.WriteString(o, line); time.Since(began) > 10*time.Second {
			t.Fatal("a pipe without end")
		}
	}
	if !errors.Is(failed, os.ErrDeadlineExceeded) {
		t.Error(failed)
	}
	began := time.Now()
	for range 100 {
		io.WriteString(o, line) //nolint:errcheck // they are lost
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("100 lost lines took %v", took)
	}
	end := make(chan string)
	go func() {
		whole := 0
		s := bufio.NewScanner(reader)
		for s.Scan() && s.Text() != "end" {
			if s.Text()+"\n" == line {
				whole++
			}
		}
		if whole == 0 {
			t.Error("no line came through")
		}
		end <- s.Text()
	}()
	for err := errors.New("not yet"); err != nil; {
		_, err = io.WriteString(o, "end\n")
	}
	if got := <-end; got != "end" {
		t.Errorf("the last line is %q", got)
	}
	o.close()
}

// TestAPipeDoesNotHoldTheEndUp has lines lost in a program, and signals heard meanwhile.
func TestAPipeDoesNotHoldTheEndUp(t *testing.T) {
	name, _ := pipe(t)
	d := start(t, self(t), "-l", name)
	c, err := net.Dial("udp4", "127.0.0.1:"+d.port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 20 {
		io.WriteString(c, `x "`+strings.Repeat("A", 9000)+`" 1`) //nolint:errcheck // one that does not arrive is not missed
	}
	d.event("log lines are lost: write " + name + ": i/o timeout")
	d.signal(syscall.SIGHUP)
	d.event("Reopen log file")
	d.end()
}
