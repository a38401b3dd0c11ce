package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxLine is the longest line of a log, in bytes with its newline.
const maxLine = 1 << 16

// logFile is a log that is read line by line. What is no line of such a log is left out and reported.
type logFile struct {
	name    string
	number  int // of the line that was read last, from 1
	left    int // lines left out so far
	in      io.Closer
	r       *bufio.Reader
	rejects *bufio.Writer
	stderr  io.Writer
}

func openLog(name string, rejects *bufio.Writer, stderr io.Writer) (*logFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return &logFile{name: name, in: f, r: bufio.NewReaderSize(f, maxLine), rejects: rejects, stderr: stderr}, nil
}

func (l *logFile) close() { l.in.Close() }

// read is the next line that is neither empty nor too long, without its newline; ok is false at the end.
func (l *logFile) read() (text string, ok bool, err error) {
	for {
		part, err := l.r.ReadSlice('\n')
		l.number++
		if errors.Is(err, bufio.ErrBufferFull) {
			if err := l.skip(part); err != nil {
				return "", false, err
			}
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return "", false, fmt.Errorf("%s: %v", l.name, err)
		}
		if text = strings.TrimSuffix(strings.TrimSuffix(string(part), "\n"), "\r"); text != "" {
			return text, true, nil
		}
		if err != nil {
			return "", false, nil
		}
	}
}

// skip leaves out a line that is too long, the beginning of which was read.
func (l *logFile) skip(part []byte) error {
	l.report(string(part), fmt.Sprintf("at most %d bytes", maxLine))
	for {
		l.rejects.Write(part) // an error stays until it is flushed
		var err error
		part, err = l.r.ReadSlice('\n')
		switch {
		case err == nil || errors.Is(err, io.EOF):
			l.rejects.WriteString(strings.TrimSuffix(string(part), "\n") + "\n")
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("%s: %v", l.name, err)
		}
	}
}

// reject leaves out a line that is not what was expected.
func (l *logFile) reject(text, expected string) {
	l.report(text, expected)
	l.rejects.WriteString(text + "\n") // an error stays until it is flushed
}

// report tells of the first line of a file that is left out; summary tells how many they were.
func (l *logFile) report(text, expected string) {
	if l.left == 0 {
		fmt.Fprintf(l.stderr, "mergelogs: %s:%d: left out: %.100q; expected: %s\n", l.name, l.number, text, expected)
	}
	l.left++
}

func (l *logFile) summary() {
	if l.left > 1 {
		fmt.Fprintf(l.stderr, "mergelogs: %s: %d lines left out\n", l.name, l.left)
	}
}
