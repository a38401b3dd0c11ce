package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"edgepen/cmd/penlogd/weblog"
)

// merger writes the lines of several web servers in the order of time, with the clients that pen knows.
type merger struct {
	pen     *window
	servers []*server
	shift   func(time.Time) int64 // of a line's time to pen's
	out     *bufio.Writer
	debug   int
	stderr  io.Writer
}

// server is one web server's log and its next line.
type server struct {
	name string
	log  *logFile
	next line
	more bool
}

func (m *merger) run() error {
	for _, s := range m.servers {
		if err := s.advance(); err != nil {
			return err
		}
	}
	for {
		s := m.earliest()
		if s == nil {
			break
		}
		if err := m.write(s); err != nil {
			return err
		}
		if err := s.advance(); err != nil {
			return err
		}
	}
	for _, s := range m.servers {
		s.log.summary()
	}
	m.pen.log.summary()
	return nil
}

// earliest is the server whose next line is the oldest, the first of them where several are; nil at the end.
func (m *merger) earliest() *server {
	var first *server
	for _, s := range m.servers {
		if s.more && (first == nil || s.next.at.Before(first.next.at)) {
			first = s
		}
	}
	return first
}

// write puts a server's next line out. Without a match the server's address stands for the client's, so that it shows.
func (m *merger) write(s *server) error {
	at := m.shift(s.next.at)
	said := weblog.AsPen(s.next.request)
	client, found, err := m.pen.client(s.name, said, at)
	if err == nil && !found && said != s.next.request { // the server may write no escapes
		client, found, err = m.pen.client(s.name, s.next.request, at)
	}
	if err != nil {
		return err
	}
	if !found {
		client = s.name
	}
	if m.debug > 1 || m.debug > 0 && !found {
		fmt.Fprintf(m.stderr, "%s:%d: client = '%s' => '%s'\n", s.log.name, s.log.number, s.next.client, client)
	}
	if _, err := m.out.WriteString(s.next.format(client)); err != nil {
		return fmt.Errorf("cannot write: %v", err)
	}
	return nil
}

// advance reads on to the next line that is one of a web server's log.
func (s *server) advance() error {
	for {
		text, ok, err := s.log.read()
		if s.more = ok; err != nil || !ok {
			return err
		}
		if s.next, ok = parseLine(text); ok {
			return nil
		}
		s.log.reject(text, `client ... [02/Jan/2006:15:04:05 +0000] "request" ...`)
	}
}

// line is a line of a web server's log in the common format, or the combined one, which begins like it.
type line struct {
	client  string
	who     string // between client and the last "[" before the request, without leading blanks
	at      time.Time
	between string // between "]" and the request's first quote
	request string // up to the next double quote that is not escaped
	rest    string
}

// dateLayout is how a log writes a time.
const dateLayout = "02/Jan/2006:15:04:05 -0700"

// parseLine takes a line apart. The user's name comes before the time and the request, and strangers choose it: it may hold brackets, and quotes as
// servers write them.
func parseLine(text string) (l line, ok bool) {
	client, text, blank := strings.Cut(text, " ")
	before, text, quoted := cutQuote(text)
	request, rest, unquoted := cutQuote(text)
	closed := strings.LastIndexByte(before, ']')
	open := strings.LastIndexByte(before[:max(closed, 0)], '[')
	if client == "" || !blank || open < 0 || !quoted || !unquoted {
		return l, false
	}
	at, ok := parseDate(before[open+1 : closed])
	return line{client, strings.TrimLeft(before[:open], " "), at, before[closed+1:], request, rest}, ok
}

// cutQuote cuts text around its first double quote that is not escaped.
func cutQuote(text string) (before, after string, found bool) {
	i := weblog.Quote(text)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}

// parseDate takes a time without a zone for UTC, as the original does. Logs count whole seconds; a fraction, which
// time.Parse reads behind any of them, is cut off.
func parseDate(date string) (time.Time, bool) {
	if len(date) == len("02/Jan/2006:15:04:05") {
		date += " +0000"
	}
	t, err := time.Parse(dateLayout, date)
	t = t.UTC().Truncate(time.Second)
	if err != nil || t.Year() < 0 || t.Year() > 9999 {
		return t, false
	}
	return t, true
}

// format is the line with another client, with its newline. The time is UTC, as in the original's output.
func (l *line) format(client string) string {
	return client + " " + l.who + "[" + l.at.Format(dateLayout) + "]" + l.between + `"` + l.request + `"` + l.rest + "\n"
}
