// Package trafficlog records what clients send, in pen's format (pen(1), -l): to a file, or by UDP to penlogd(1), which
// merges it with the web servers' own logs.
package trafficlog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"edgepen/proxy/logfile"
)

// lineMax is how much of the first line of a request is recorded, in bytes.
const lineMax = 100

// Log is an open log. Its methods may be called at the same time.
type Log struct {
	name string
	file *logfile.Writer // nil: the log goes to far
	far  *sender
}

// Open begins a log: to the penlogd at host:port, otherwise to a file, which is appended to. What is lost later is reported, at most every
// logfile.ReportEvery.
func Open(name string, report func(logfile.Loss)) (*Log, error) {
	if IsAddress(name) {
		far, err := newSender(name, report)
		if err != nil {
			return nil, err
		}
		return &Log{name: name, far: far}, nil
	}
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	return &Log{name: name, file: logfile.New(f, report)}, nil
}

// IsAddress reports whether a log's name is the address of a penlogd rather than a file.
func IsAddress(name string) bool { return strings.Contains(name, ":") && !strings.Contains(name, "/") }

// Name is what the log was opened by.
func (l *Log) Name() string { return l.name }

func open(name string) (*os.File, error) {
	// Not to wait for a pipe's reader: whoever opens the log holds what everybody needs.
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o644)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return nil, fmt.Errorf("log file: %s is a pipe that nobody reads", name)
	case err != nil:
		return nil, fmt.Errorf("log file: %v", err)
	}
	return f, nil
}

// Reopen goes on in a new file of the same name, after the old one was moved away, or looks up anew where the penlogd is. Where that fails all stays as
// it is; that the old file has lost lines is no reason.
func (l *Log) Reopen() error {
	if l.far != nil {
		return l.far.reopen()
	}
	return l.file.Reopen(func() (*os.File, error) { return open(l.name) })
}

// Close writes what is left and ends the log. What cannot be written soon is lost, and reported.
func (l *Log) Close() error {
	if l.far != nil {
		return l.far.close()
	}
	return l.file.Close()
}

// lineSize is more than a line takes: addresses are short, a Unix socket's path has at most 108 bytes.
const lineSize = 512

// Record notes that a client sent data to a server. It allocates nothing, and does not wait for the file.
func (l *Log) Record(now time.Time, client, server string, data []byte) {
	if l.far != nil {
		l.far.send(client, server, data)
		return
	}
	var b [lineSize]byte
	l.file.Add(appendLine(b[:0], now, client, server, data))
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
