package accesslog

import (
	"os"
	"sync"

	"edgepen/proxy/logfile"
)

// Writer takes records to a log. Its methods may be called at the same time.
type Writer struct {
	*logfile.Writer
	name    string
	scratch sync.Pool // *[]byte: where lines are made
}

// Open begins a log in a file, which is appended to, or for "-" on standard output. Lost lines are reported by the way, from a goroutine of the
// log's own.
func Open(name string, report func(logfile.Loss)) (*Writer, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	w := &Writer{Writer: logfile.New(f, report), name: name}
	w.scratch.New = func() any { return new([]byte) }
	return w, nil
}

// Name is what the log was opened by.
func (w *Writer) Name() string { return w.name }

// keepScratch is how much memory for a line is kept for the next.
const keepScratch = 16 << 10

// Record writes the line of a record. It allocates nothing.
func (w *Writer) Record(f *Format, r *Record) {
	scratch := w.scratch.Get().(*[]byte)
	*scratch = f.Append((*scratch)[:0], r)
	w.Add(*scratch)
	if cap(*scratch) <= keepScratch {
		w.scratch.Put(scratch)
	}
}

// Reopen goes on in a new file of the same name, after the old one was moved away: with every line that comes from now on. Where that cannot be
// opened the old one stays in use.
func (w *Writer) Reopen() error {
	if w.name == Stdout {
		return nil
	}
	return w.Writer.Reopen(func() (*os.File, error) { return open(w.name) })
}
