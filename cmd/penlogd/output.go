package main

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// output is the log: a file that is opened anew at HUP, so that it can be moved away, or standard output.
type output struct {
	name   string // "": standard output
	stdout io.Writer

	mu    sync.Mutex
	file  *os.File
	stuck bool // a pipe's reader has not made room for the last line
	torn  bool // nor for the end of one that had begun
}

// How long a pipe's reader may take to make room: less once it has not, for datagrams come meanwhile.
const (
	patience   = 100 * time.Millisecond
	noPatience = time.Millisecond
)

// Write appends to the log at once. A pipe whose reader has stopped loses lines, as a disk that is full does.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file == nil {
		return o.stdout.Write(p)
	}
	wait := patience
	if o.stuck {
		wait = noPatience
	}
	o.file.SetWriteDeadline(time.Now().Add(wait)) //nolint:errcheck // files know no deadline, and do not wait for readers
	if o.torn {
		if _, err := io.WriteString(o.file, "\n"); err != nil {
			return 0, err
		}
		o.torn = false
	}
	n, err := o.file.Write(p)
	o.stuck, o.torn = err != nil, err != nil && n > 0
	return n, err
}

// reopen opens the file by its name; an error changes nothing.
func (o *output) reopen() error {
	if o.name == "" {
		return nil
	}
	// Not to wait for a pipe's reader: HUP and TERM would wait as well.
	f, err := os.OpenFile(o.name, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o644)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return errors.New("it is a pipe that nobody reads")
	case err != nil:
		return err
	}
	o.mu.Lock()
	old := o.file
	o.file, o.stuck, o.torn = f, false, false
	o.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file != nil {
		o.file.Close()
	}
}
