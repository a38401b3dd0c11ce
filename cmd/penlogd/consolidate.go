package main

import (
	"bytes"
	"io"
	"net/netip"
	"strings"

	"edgepen/cmd/penlogd/weblog"
)

// requestKept is how much of a request is compared, in bytes: pen cuts the first line at 100, the original penlogd keeps 99.
const requestKept = 99

// wordMax is the longest address in a line from pen, in bytes.
const wordMax = 99

// visit is what pen told: this client asked this server for that.
type visit struct {
	client  string
	server  netip.Addr
	request string
}

// consolidator replaces the client's address in lines from web servers by the one that pen told. Its memory is the
// visits it keeps, about 300 bytes each.
type consolidator struct {
	visits []visit // a ring once it is full
	next   int     // where the next one goes
	size   int     // at least 1
	out    io.Writer
	// note reports at a level: 0 always, 2 for what -dd shows.
	note func(level int, format string, args ...any)
	line []byte // the one that is being written
}

// datagram takes in what a server or pen has sent: lines, the last of which may lack its newline. Only writing fails.
func (c *consolidator) datagram(from netip.Addr, data []byte) error {
	from = from.Unmap().WithZone("")
	for line := range bytes.Lines(data) {
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		var err error
		if bytes.HasPrefix(line, []byte("+")) {
			c.fromPen(from, line)
		} else {
			err = c.fromServer(from, line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fromPen remembers a visit.
func (c *consolidator) fromPen(from netip.Addr, line []byte) {
	v, ok := parseVisit(line)
	if !ok {
		c.note(0, "discarding bogus pen line %q from %v; expected: + client-address server-address request", excerpt(line), from)
		return
	}
	c.note(2, "store_pen(%d: %s, %v, %s)", c.next, v.client, v.server, v.request)
	if len(c.visits) < c.size {
		c.visits = append(c.visits, v)
	} else {
		c.visits[c.next] = v
	}
	c.next = (c.next + 1) % c.size
}

// parseVisit reads "+ CLIENT SERVER REQUEST".
func parseVisit(line []byte) (v visit, ok bool) {
	client, rest, _ := strings.Cut(strings.TrimLeft(string(line[1:]), " "), " ")
	server, request, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	request = strings.TrimLeft(request, " ")
	if client == "" || len(client) > wordMax || !plain(client) || request == "" {
		return v, false
	}
	// A name is not looked up: whoever can send a datagram could make us ask a name server.
	addr, err := netip.ParseAddr(server)
	if err != nil {
		return v, false
	}
	// Clones: a visit must not hold on to a whole datagram.
	return visit{strings.Clone(client), addr.Unmap().WithZone(""), strings.Clone(request[:min(len(request), requestKept)])}, true
}

// plain tells whether a word is fit for the log: printable ASCII.
func plain(word string) bool {
	for i := range len(word) {
		if word[i] <= ' ' || word[i] >= 0x7f {
			return false
		}
	}
	return true
}

// fromServer writes a web server's line with the client's address, or as it is where no visit matches.
func (c *consolidator) fromServer(from netip.Addr, line []byte) error {
	c.note(2, "store_web(%q, %d)", excerpt(line), len(line))
	rest, request, ok := parseLine(line)
	if !ok {
		c.note(0, "bogus web line %q from %v; expected: client-address ... \"request\" ...", excerpt(line), from)
		return nil
	}
	c.line = c.line[:0]
	said := weblog.AsPen(string(request))
	v := c.find(from, said)
	if v == nil && said != string(request) { // the server may write no escapes
		v = c.find(from, string(request))
	}
	if v != nil {
		c.line = append(append(c.line, v.client...), rest...)
	} else {
		c.line = append(c.line, line...)
	}
	defuse(c.line)
	c.line = append(c.line, '\n')
	_, err := c.out.Write(c.line)
	return err
}

// parseLine finds what follows the client's address in a line of a common or combined log, and the request: the first
// text in double quotes. Strangers choose the user's name, which comes before: servers put a backslash before its quotes.
func parseLine(line []byte) (rest, request []byte, ok bool) {
	blank := bytes.IndexByte(line, ' ')
	if blank < 0 || bytes.IndexByte(line[:blank], '"') >= 0 {
		return nil, nil, false
	}
	rest = line[blank:]
	open := weblog.Quote(rest)
	if open < 0 {
		return nil, nil, false
	}
	length := weblog.Quote(rest[open+1:])
	if length < 0 {
		return nil, nil, false
	}
	return rest, rest[open+1:][:length], true
}

// find is the latest visit to a server whose request begins with the given one, nil where there is none. A visit may
// match more than once: pen tells of a connection's first request, and the original has it so.
func (c *consolidator) find(server netip.Addr, request string) *visit {
	request = request[:min(len(request), requestKept)]
	if len(request) == 0 {
		return nil // would match anything
	}
	for i := range c.visits {
		v := &c.visits[(c.next-1-i+2*len(c.visits))%len(c.visits)]
		if v.server == server && len(v.request) >= len(request) && v.request[:len(request)] == request {
			return v
		}
	}
	return nil
}

// defuse replaces control characters, which would act on the terminal of whoever reads the log.
func defuse(line []byte) {
	for i, b := range line {
		if b < ' ' && b != '\t' || b == 0x7f {
			line[i] = '.'
		}
	}
}

// excerpt is as much of a line as a message holds.
func excerpt(line []byte) []byte { return line[:min(len(line), 200)] }
