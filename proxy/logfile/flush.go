package logfile

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"time"
)

// flusher is what the goroutine that writes knows.
type flusher struct {
	file  *os.File
	begun bool            // the file ends within a line
	torn  []byte          // with begun: the rest of that line
	told  uint64          // lost lines that have been reported
	at    time.Time       // when
	cause error           // of the last loss
	due   []chan struct{} // of Writer.awaited: the lines are in hand
}

// run writes lines until the log is closed.
func (w *Writer) run() {
	defer close(w.ended)
	var chunk []byte // one is filled while the other is written
	for closing := false; !closing; {
		w.await()
		for more := true; more; {
			var old int
			chunk, old, more, closing = w.take(chunk)
			w.write(chunk[:old])
			w.turnOver()
			w.write(chunk[old:])
			w.settled()
		}
		w.tell(false)
	}
	if w.torn != nil {
		w.lose(1, w.cause)
	}
	w.tell(true)
	w.shut()
}

// settled tells those who have waited for the lines that were in hand.
func (w *Writer) settled() {
	for _, c := range w.due {
		close(c)
	}
	w.due = nil
}

// shut closes the file. Of a file on another machine that may be when it says that lines are lost.
func (w *Writer) shut() {
	if w.file == os.Stdout {
		return
	}
	if err := w.file.Close(); err != nil {
		w.report(Loss{Err: err})
	}
}

// await returns when it is time to write, or to report.
func (w *Writer) await() {
	var report <-chan time.Time
	if _, lost := w.Counts(); lost > w.told {
		report = time.After(time.Until(w.at.Add(ReportEvery)))
	}
	select {
	case <-report:
		return
	case <-w.tide:
	}
	select {
	case <-w.full:
	case <-time.After(flushEvery):
	}
}

// take takes the lines that wait and leaves an empty buffer in their place. old is how many bytes of them are still for the file before the next.
// more: there may be others by now.
func (w *Writer) take(empty []byte) (lines []byte, old int, more, closing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines, w.lines = w.lines, empty[:0]
	if old = len(lines); w.turning {
		old, w.turn = w.turn, 0
		if w.next == nil && !w.closing { // what is not for the file yet waits on
			w.lines = append(w.lines, lines[old:]...)
			lines = lines[:old]
		}
	}
	w.due, w.awaited = append(w.due, w.awaited...), nil
	w.room.Broadcast()
	return lines, old, len(lines) >= flushAt, w.closing
}

// turnOver goes on in the next file, if there is one.
func (w *Writer) turnOver() bool {
	w.mu.Lock()
	next := w.next
	if next != nil {
		w.next, w.turning = nil, false
	}
	w.mu.Unlock()
	if next == nil {
		return false
	}
	w.shut()
	w.file = next
	if w.begun && w.torn != nil {
		w.lose(1, w.cause)
	}
	w.begun, w.torn = false, nil
	return true
}

// write writes lines, behind the rest of one that could not be written whole.
func (w *Writer) write(lines []byte) {
	if len(lines) == 0 {
		return
	}
	if w.torn != nil {
		torn := w.torn
		w.torn = nil
		w.push(torn)
	}
	if w.torn != nil { // still
		w.lose(count(lines), w.cause)
		return
	}
	w.push(lines)
}

// push writes lines, the first of which the file may hold the beginning of.
func (w *Writer) push(lines []byte) {
	for len(lines) > 0 {
		w.file.SetWriteDeadline(time.Now().Add(patience)) //nolint:errcheck // files know no deadline, and do not wait for readers
		n, err := w.file.Write(lines)
		if n > 0 {
			w.wrote(lines[:n])
		}
		if lines = lines[n:]; err == nil {
			return
		}
		w.tell(false)
		if within := w.begun; w.turnOver() {
			if within { // its beginning is in the old file
				lines = behind(lines)
				w.lose(1, err)
			}
			continue
		}
		if !w.again(err) {
			w.giveUp(lines, err)
			return
		}
	}
}

// wrote counts the lines whose end has been written.
func (w *Writer) wrote(part []byte) {
	w.begun = part[len(part)-1] != '\n'
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written += uint64(count(part))
}

// again reports, after an error and perhaps a while, whether to try once more: a pipe's reader may be slow, and where no line may be lost the disk has to
// get room again.
func (w *Writer) again(err error) bool {
	w.mu.Lock()
	late := w.closing && !time.Now().Before(w.closeBy)
	waits := w.blocks && !w.letGo
	w.mu.Unlock()
	switch {
	case late:
		return false
	case errors.Is(err, os.ErrDeadlineExceeded):
		return true
	case waits:
		time.Sleep(retryEvery)
	}
	return waits
}

// giveUp loses lines, but for the rest of one that has begun in the file: the next one must not be taken for that.
func (w *Writer) giveUp(lines []byte, err error) {
	if w.begun {
		rest := behind(lines)
		w.torn = slices.Clone(lines[:len(lines)-len(rest)])
		lines = rest
	}
	w.lose(count(lines), err)
}

func (w *Writer) lose(n int, err error) {
	w.cause = err
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost += uint64(n)
}

// tell reports lost lines, unless that has been done just now.
func (w *Writer) tell(now bool) {
	_, lost := w.Counts()
	if lost == w.told || !now && time.Since(w.at) < ReportEvery {
		return
	}
	cause := w.cause
	if errors.Is(cause, os.ErrDeadlineExceeded) {
		cause = nil
	}
	w.report(Loss{Lines: lost - w.told, Err: cause})
	w.told, w.at, w.cause = lost, time.Now(), nil
}

func count(lines []byte) int { return bytes.Count(lines, []byte("\n")) }

// behind is what follows the first line.
func behind(lines []byte) []byte {
	_, rest, _ := bytes.Cut(lines, []byte("\n"))
	return rest
}
