// Package smugglingtest reads the corpus of requests in testdata/smuggling, for the tests that send them.
//
// A file is a family. A case is its name behind "## ", the clause of the RFC behind "# ", the bytes of the request behind "| ", where \r \n \t
// \0 \xNN and \\ stand for bytes and \(N*text) for N times the text, and its verdict behind "> ", one line each:
//
//	forward METHOD TARGET HOST [BODY]   the server sees this request, as many as there are lines; HOST - is none
//	refuse STATUS                       the client gets this status instead, and the connection ends
//	cut                                 the client leaves before the request is complete, and no server sees it as one
//	without TEXT, with TEXT             of the fields that servers get, as lines "name: value" in lower case
//	nginx answers, apache answers       that server answers what we forward itself, by a refusal or not, and passes nothing on; so does net-http
//	apache sees METHOD TARGET HOST      that server makes this of what we forward
//
// Below testdata/smuggling/h2 are requests of HTTP/2. There "@ " stands before a field's name and, behind a blank, its value, where \x20 is a blank of the
// name's own; "| " before the payload of a DATA frame. Fields behind DATA are a trailer. The last frame ends the stream, unless a line "~" says that it
// does not. Of the verdicts, refuse leaves the connection as it is, cut is by RST_STREAM, and there is one more:
//
//	reset CODE                          the client gets RST_STREAM, whatever servers have seen, and the connection goes on
package smugglingtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A Seen is a request as a server understood it.
type Seen struct{ Method, Target, Host, Body string }

// A Case is a stream of bytes from a client, or one of HTTP/2, and what is to become of it.
type Case struct {
	File, Name, Clause string
	Raw                []byte
	Stream
	Forward       []Seen
	Refuse        int // the status; 0: it is not refused
	Cut           bool
	With, Without []string
	Differs       map[string][]Seen // what a kind of server passes on, where that is not the same
}

// String is how a failure names a case.
func (c *Case) String() string { return c.File + ": " + c.Name + " (" + c.Clause + ")" }

// Load reads the corpus below the directory of the module, root.
func Load(t testing.TB, root string) []*Case {
	t.Helper()
	all := load(t, root, "*.txt")
	for _, c := range all {
		if c.Clause == "" || len(c.Raw) == 0 || len(c.Forward) == 0 && c.Refuse == 0 && !c.Cut {
			t.Fatalf("%v lacks its clause, bytes or verdict", c)
		}
	}
	return all
}

func load(t testing.TB, root string, pattern ...string) []*Case {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(append([]string{root, "testdata", "smuggling"}, pattern...)...))
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus below %s (%v)", root, err)
	}
	var all []*Case
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(b), "\n") {
			if name, is := strings.CutPrefix(line, "## "); is {
				all = append(all, &Case{File: filepath.Base(file), Name: name})
				continue
			}
			if line == "" || strings.HasPrefix(line, "// ") {
				continue
			}
			if err := all[len(all)-1].add(line); err != nil {
				t.Fatalf("%s:%d: %v", file, i+1, err)
			}
		}
	}
	return all
}

// add takes one line of a case.
func (c *Case) add(line string) error {
	mark, rest, _ := strings.Cut(line, " ")
	switch mark {
	case "#":
		c.Clause = rest
		return nil
	case "|":
		raw, err := unescape(rest)
		c.Raw, c.Data = append(c.Raw, raw...), append(c.Data, raw)
		return err
	case "@":
		return c.field(rest)
	case "~":
		c.Open = true
		return nil
	case ">":
		return c.verdict(rest)
	}
	return fmt.Errorf("neither name, clause, bytes, field nor verdict: %q", line)
}

func (c *Case) verdict(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "forward":
		seen, err := parseSeen(rest)
		c.Forward = append(c.Forward, seen)
		return err
	case "refuse":
		status, err := strconv.Atoi(rest)
		c.Refuse = status
		return err
	case "reset":
		return c.reset(rest)
	case "cut":
		c.Cut = true
	case "with":
		c.With = append(c.With, rest)
	case "without":
		c.Without = append(c.Without, rest)
	case "net-http", "nginx", "apache":
		return c.differs(word, rest)
	default:
		return fmt.Errorf("unknown verdict %q", line)
	}
	return nil
}

func (c *Case) differs(kind, rest string) error {
	if c.Differs == nil {
		c.Differs = map[string][]Seen{}
	}
	if rest == "answers" {
		c.Differs[kind] = nil
		return nil
	}
	rest, is := strings.CutPrefix(rest, "sees ")
	if !is {
		return fmt.Errorf("expected answers or sees: %q", rest)
	}
	seen, err := parseSeen(rest)
	c.Differs[kind] = append(c.Differs[kind], seen)
	return err
}

func parseSeen(s string) (Seen, error) {
	part := append(strings.SplitN(s, " ", 4), "")
	if len(part) < 4 {
		return Seen{}, fmt.Errorf("expected METHOD TARGET HOST: %q", s)
	}
	if part[2] == "-" {
		part[2] = ""
	}
	body, err := unescape(part[3])
	return Seen{part[0], part[1], part[2], string(body)}, err
}

// SeenBy is what a kind of server is to see.
func (c *Case) SeenBy(kind string) []Seen {
	if seen, differs := c.Differs[kind]; differs {
		return seen
	}
	return c.Forward
}

var escapes = map[byte]byte{'r': '\r', 'n': '\n', 't': '\t', '0': 0, '\\': '\\'}

func unescape(s string) (b []byte, err error) {
	for s != "" {
		if s[0] != '\\' {
			b, s = append(b, s[0]), s[1:]
			continue
		}
		if len(s) < 2 {
			return nil, fmt.Errorf("nothing behind a backslash")
		}
		c, simple := escapes[s[1]]
		switch {
		case simple:
			b, s = append(b, c), s[2:]
		case s[1] == 'x' && len(s) >= 4:
			n, err := strconv.ParseUint(s[2:4], 16, 8)
			if err != nil {
				return nil, err
			}
			b, s = append(b, byte(n)), s[4:]
		case s[1] == '(':
			times, rest, _ := strings.Cut(s[2:], "*")
			text, rest, closed := strings.Cut(rest, ")")
			n, err := strconv.Atoi(times)
			if err != nil || !closed {
				return nil, fmt.Errorf("expected \\(N*text): %q", s)
			}
			one, err := unescape(text)
			if err != nil {
				return nil, err
			}
			for range n {
				b = append(b, one...)
			}
			s = rest
		default:
			return nil, fmt.Errorf("unknown escape %q", s[:2])
		}
	}
	return b, nil
}
