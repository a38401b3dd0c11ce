// Package trafficlog records what clients send, in pen's format (pen(1), -l): to a file, or by UDP to penlogd(1), which
// merges it with the web servers' own logs.
package trafficlog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// lineMax is how much of the first line of a request is recorded, in bytes.
const lineMax = 100

// flushEvery is how long a line may wait in memory.
const flushEvery = time.Second

// Log is an open log. Its methods may be called at the same time.
type Log struct {
	name   string
	report func(error)

	mu   sync.Mutex
	file *os.File // nil: the log goes to conn
	out  *bufio.Writer
	conn net.Conn
	line []byte // under construction
	lost error  // the first error since the last Reopen; later ones are not worth a word each

	stop chan struct{}
	done sync.WaitGroup
}

// Open begins a log: to the penlogd at host:port, otherwise to a file, which is appended to.
// What fails later goes to report, the first error after each opening.
func Open(name string, report func(error)) (*Log, error) {
	l := &Log{name: name, report: report, stop: make(chan struct{})}
	if IsAddress(name) {
		conn, err := net.Dial("udp", name)
		if err != nil {
			return nil, fmt.Errorf("log to %s: %v", name, err)
		}
		l.conn = conn
		return l, nil
	}
	if err := l.open(); err != nil {
		return nil, err
	}
	l.done.Go(l.flushLoop)
	return l, nil
}

// IsAddress reports whether a log's name is the address of a penlogd rather than a file.
func IsAddress(name string) bool { return strings.Contains(name, ":") && !strings.Contains(name, "/") }

// Name is what the log was opened by.
func (l *Log) Name() string { return l.name }

func (l *Log) open() error {
	// Not to wait for a pipe's reader: whoever opens the log holds what everybody needs.
	f, err := os.OpenFile(l.name, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o644)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("log file: %s is a pipe that nobody reads", l.name)
	case err != nil:
		return fmt.Errorf("log file: %v", err)
	}
	l.file, l.out = f, bufio.NewWriterSize(hurried{f}, 64<<10)
	return nil
}

// hurried is a file that is not waited for: a pipe whose reader has stopped loses what is written from then on, as a disk that is full does,
// rather than hold up the connections whose lines these are.
type hurried struct{ *os.File }

// pipePatience is how long a pipe's reader may take to make room.
const pipePatience = 100 * time.Millisecond

// Write implements io.Writer.
func (h hurried) Write(p []byte) (int, error) {
	h.SetWriteDeadline(time.Now().Add(pipePatience)) //nolint:errcheck // files know no deadline, and do not wait for readers
	return h.File.Write(p)
}

// Reopen goes on in a new file of the same name, after the old one was moved away. Where that cannot be opened the old one
// stays in use.
func (l *Log) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	old, buffered := l.file, l.out
	if err := l.open(); err != nil {
		return err
	}
	l.lost = nil
	return errors.Join(buffered.Flush(), old.Close())
}

// Close writes what is left and ends the log.
func (l *Log) Close() error {
	close(l.stop)
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return l.conn.Close()
	}
	return errors.Join(l.out.Flush(), l.file.Close())
}

func (l *Log) flushLoop() {
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-t.C:
			l.mu.Lock()
			l.note(l.out.Flush())
			l.mu.Unlock()
		}
	}
}

func (l *Log) note(err error) {
	if err != nil && l.lost == nil {
		l.lost = err
		l.report(err)
	}
}

// Record notes that a client sent data to a server. It allocates nothing.
func (l *Log) Record(now time.Time, client, server string, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		l.line = appendDatagram(l.line[:0], client, server, data)
		_, err := l.conn.Write(l.line)
		l.note(err)
		return
	}
	l.line = appendLine(l.line[:0], now, client, server, data)
	_, err := l.out.Write(l.line)
	l.note(err)
}

// appendLine makes the line of a file: CLIENT UNIXTIME SERVER FIRSTLINE.
func appendLine(b []byte, now time.Time, client, server string, data []byte) []byte {
	b = append(append(b, client...), ' ')
	b = append(strconv.AppendInt(b, now.Unix(), 10), ' ')
	b = append(append(b, server...), ' ')
	return append(appendFirst(b, data), '\n')
}

// appendDatagram makes what a penlogd reads: + CLIENT SERVER FIRSTLINE.
func appendDatagram(b []byte, client, server string, data []byte) []byte {
	b = append(append(append(b, '+', ' '), client...), ' ')
	b = append(append(b, server...), ' ')
	return append(appendFirst(b, data), '\n')
}

// appendFirst adds the first line of data, cut, with a dot for every byte that is not ASCII. Other control characters stay, as
// in the original, but for those that would end the line.
func appendFirst(b, data []byte) []byte {
	data = data[:min(len(data), lineMax)]
	if i := bytes.IndexAny(data, "\r\n"); i >= 0 {
		data = data[:i]
	}
	for _, c := range data {
		if c >= 0x80 || c == 0 {
			c = '.'
		}
		b = append(b, c)
	}
	return b
}
