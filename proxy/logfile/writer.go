// Package logfile takes lines to a file without anybody's having to wait for the file. Lines gather in a bounded buffer, and a goroutine, which alone
// meets the file, writes them; what has no room, or what the file does not take, is lost, counted, and reported now and then.
package logfile

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
	// ReportEvery is how often lost lines are reported.
	ReportEvery = 10 * time.Second
	// reopenPatience is how long Reopen waits for lines to be written.
	reopenPatience = 500 * time.Millisecond
	// closePatience is how long Close waits for the last lines to be written.
	closePatience = 2 * time.Second
)

// Loss is what a Writer could not write.
type Loss struct {
	Lines uint64 // lost since the last report; 0: some, by the file that could not be closed
	Err   error  // why, where it was not that the file is slow
}

// Writer takes lines to a file. Its methods may be called at the same time.
type Writer struct {
	report    func(Loss)
	reopening sync.Mutex // one at a time

	mu      sync.Mutex
	room    sync.Cond // there is room for lines, or no more waiting
	lines   []byte    // that wait
	blocks  bool      // lines without room wait for it
	letGo   bool      // they do not any more
	closing bool
	turning bool     // there is to be another file, for what stands behind lines[:turn]
	turn    int      // with turning
	next    *os.File // the other file; nil: it is not open yet
	written uint64
	lost    uint64
	awaited []chan struct{} // to be closed when the lines that wait are written, or lost
	tide    chan struct{}   // lines wait, or there is something else to do
	full    chan struct{}   // many do
	ended   chan struct{}   // closed when the goroutine has gone

	closeBy time.Time // with closing: when the last line has to be written

	flusher // the goroutine's own
}

// New begins to write to a file, which becomes the Writer's: it closes it, unless that is standard output. A pipe should be open without blocking.
// Losses are reported by the way, from a goroutine of the Writer's own.
func New(f *os.File, report func(Loss)) *Writer {
	w := &Writer{report: report, flusher: flusher{file: f},
		tide: make(chan struct{}, 1), full: make(chan struct{}, 1), ended: make(chan struct{})}
	w.room.L = &w.mu
	go w.run()
	return w
}

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

// Counts is how many lines were written and lost so far.
func (w *Writer) Counts() (written, lost uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written, w.lost
}

// Add has a line, with its newline, written when it is its turn. It does not keep it, and in the long run allocates nothing.
func (w *Writer) Add(line []byte) {
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

// Reopen goes on in the file that open opens, with every line that comes from now on. Those that have come before are in the old one by the time that
// open is called, for it may be compressed as soon as there is a new one; a file that is too slow for that is not waited for. Where open fails the old
// one stays in use.
func (w *Writer) Reopen(open func() (*os.File, error)) error {
	w.reopening.Lock()
	defer w.reopening.Unlock()
	by := time.Now().Add(reopenPatience)
	w.turnFrom()
	w.settle(by)
	f, err := open()
	w.turnTo(f)
	w.settle(by)
	return err
}

// turnFrom has the lines that come from now on wait for another file.
func (w *Writer) turnFrom() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.turning { // otherwise it has not come to the last one yet, which gets nothing then
		w.turning, w.turn = true, len(w.lines)
	}
}

// turnTo says which file it is; nil: there is none.
func (w *Writer) turnTo(f *os.File) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case f == nil:
		w.turning = w.next != nil
		return
	case w.closing:
		f.Close()
		return
	case w.next != nil:
		w.next.Close()
	}
	w.next = f
}

// settle waits until the lines that wait are written, or lost, and the file is the one to go on in.
func (w *Writer) settle(by time.Time) {
	settled := make(chan struct{})
	w.mu.Lock()
	w.awaited = append(w.awaited, settled)
	w.mu.Unlock()
	wake(w.tide)
	wake(w.full)
	select {
	case <-settled:
	case <-w.ended:
	case <-time.After(time.Until(by)):
	}
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
