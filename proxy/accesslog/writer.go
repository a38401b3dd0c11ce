package accesslog

import (
	"errors"
	"os"
	"sync"
	"time"
)

const (
	// bufferMax is how many bytes of lines may wait to be written, beside those that are being written.
	bufferMax = 1 << 20
	// flushAt is how many are written at once; fewer wait for flushEvery.
	flushAt    = 64 << 10
	flushEvery = 250 * time.Millisecond
	// patience is how long a write to a pipe may take before there is a look at what else is to be done.
	patience = 100 * time.Millisecond
	// retryEvery is how long nothing is written after an error.
	retryEvery = 500 * time.Millisecond
	// reportEvery is how often lost lines are reported.
	reportEvery = 10 * time.Second
	// closePatience is how long Close waits for the last lines to be written.
	closePatience = 2 * time.Second
)

// Loss is what a Writer could not write.
type Loss struct {
	Lines uint64 // lost since the last report
	Err   error  // why, where it was not that the file is slow
}

// Writer takes lines to a file. Its methods may be called at the same time.
type Writer struct {
	name    string
	report  func(Loss)
	scratch sync.Pool // *[]byte: where lines are made

	mu      sync.Mutex
	room    sync.Cond // there is room for lines, or no more waiting
	lines   []byte    // that wait
	blocks  bool      // lines without room wait for it
	letGo   bool      // they do not any more
	closing bool
	next    *os.File // what to go on in; nil: the same
	turn    int      // lines[:turn] are still for the file before next
	written uint64
	lost    uint64
	tide    chan struct{} // lines wait, or there is something else to do
	full    chan struct{} // many do
	ended   chan struct{} // closed when the goroutine has gone

	closeBy time.Time // with closing: when the last line has to be written

	flusher // the goroutine's own
}

// Open begins a log in a file, which is appended to, or for "-" on standard output. Lost lines are reported by the way, from a goroutine of the
// log's own.
func Open(name string, report func(Loss)) (*Writer, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	w := newWriter(name, f, report)
	go w.run()
	return w, nil
}

func newWriter(name string, f *os.File, report func(Loss)) *Writer {
	w := &Writer{name: name, report: report, flusher: flusher{file: f},
		tide: make(chan struct{}, 1), full: make(chan struct{}, 1), ended: make(chan struct{})}
	w.room.L = &w.mu
	w.scratch.New = func() any { return new([]byte) }
	return w
}

// Name is what the log was opened by.
func (w *Writer) Name() string { return w.name }

// Blocks says what becomes of a line when the buffer is full: it waits for room, or is dropped and counted.
func (w *Writer) Blocks(yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blocks = yes
	w.room.Broadcast()
}

// LetGo has no line wait any more, now and later.
func (w *Writer) LetGo() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.letGo = true
	w.room.Broadcast()
}

// Counts is how many lines were written and lost since the log was opened.
func (w *Writer) Counts() (written, lost uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written, w.lost
}

// keepScratch is how much memory for a line is kept for the next.
const keepScratch = 16 << 10

// Record writes the line of a record. It allocates nothing.
func (w *Writer) Record(f *Format, r *Record) {
	scratch := w.scratch.Get().(*[]byte)
	*scratch = f.Append((*scratch)[:0], r)
	w.add(*scratch)
	if cap(*scratch) <= keepScratch {
		w.scratch.Put(scratch)
	}
}

// add has a line written when it is its turn.
func (w *Writer) add(line []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.lines)+len(line) > bufferMax && w.blocks && !w.letGo && len(w.lines) > 0 {
		w.room.Wait()
	}
	if len(w.lines)+len(line) > bufferMax || w.closing {
		w.lost++
		return
	}
	before := len(w.lines)
	w.lines = append(w.lines, line...)
	switch {
	case before == 0:
		wake(w.tide)
	case before < flushAt && len(w.lines) >= flushAt:
		wake(w.full)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is awake
	}
}

// Reopen goes on in a new file of the same name, after the old one was moved away: with every line that comes from now on. Where that cannot be
// opened the old one stays in use.
func (w *Writer) Reopen() error {
	if w.name == Stdout {
		return nil
	}
	f, err := open(w.name)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next != nil {
		w.next.Close()
	} else {
		w.turn = len(w.lines)
	}
	w.next = f
	wake(w.tide)
	wake(w.full) // at once: the old file may be compressed soon
	return nil
}

// errUnfinished is Close's error where lines were left.
var errUnfinished = errors.New("not all lines could be written before the end")

// Close writes what is left and ends the log. What cannot be written soon is lost, and reported.
func (w *Writer) Close() error {
	w.mu.Lock()
	w.closing, w.letGo, w.closeBy = true, true, time.Now().Add(closePatience)
	w.room.Broadcast()
	w.mu.Unlock()
	wake(w.tide)
	wake(w.full)
	select {
	case <-w.ended:
		return nil
	case <-time.After(closePatience + time.Second): // standard output may be a pipe that cannot be told not to wait
		return errUnfinished
	}
}
