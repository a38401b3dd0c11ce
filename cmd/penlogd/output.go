package main

import (
	"io"
	"os"
	"sync"
)

// output is the log: a file that is opened anew at HUP, so that it can be moved away, or standard output.
type output struct {
	name   string // "": standard output
	stdout io.Writer

	mu   sync.Mutex
	file *os.File
}

// Write appends to the log at once.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file == nil {
		return o.stdout.Write(p)
	}
	return o.file.Write(p)
}

// reopen opens the file by its name; an error changes nothing.
func (o *output) reopen() error {
	if o.name == "" {
		return nil
	}
	f, err := os.OpenFile(o.name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	o.mu.Lock()
	old := o.file
	o.file = f
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
