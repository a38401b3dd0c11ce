package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

const (
	pen = "127.0.0.1" // where datagrams of the tables come from: pen, and servers
	web = "127.0.0.2"
)

func TestConsolidate(t *testing.T) {
	z := func(n int) string { return strings.Repeat("z", n) }
	for _, c := range []struct {
		name  string
		size  int      // 0: 1000
		in    []string // "FROM|DATA"
		want  string
		notes int // messages that nobody asked for
	}{
		{name: "the client's address", in: []string{pen + "|+ 10.1.1.1 127.0.0.2 GET /a HTTP/1.1",
			web + `|127.0.0.1 - joe [01/Jan/2026:00:00:00 +0000] "GET /a HTTP/1.1" 200 5 "ref" "agent x"` + "\n"},
			want: `10.1.1.1 - joe [01/Jan/2026:00:00:00 +0000] "GET /a HTTP/1.1" 200 5 "ref" "agent x"` + "\n"},
		{name: "the latest, more than once", in: []string{pen + "|+ c1 127.0.0.2 A", pen + "|+ c2 127.0.0.2 A",
			web + `|x "A" 1`, web + `|x "A" 2`}, want: "c2 \"A\" 1\nc2 \"A\" 2\n"},
		{name: "another server", in: []string{pen + "|+ c1 127.0.0.3 A", web + `|x "A" 1`}, want: "x \"A\" 1\n"},
		{name: "too early", in: []string{web + `|x "A" 1`, pen + "|+ c1 127.0.0.2 A"}, want: "x \"A\" 1\n"},
		{name: "IPv6", in: []string{pen + "|+ 2001:db8::7 2001:DB8:0::2 A", `2001:db8::2|x "A" 1`}, want: "2001:db8::7 \"A\" 1\n"},
		{name: "v4-mapped", in: []string{pen + "|+ c1 127.0.0.2 A", `::ffff:127.0.0.2|x "A" 1`}, want: "c1 \"A\" 1\n"},
		{name: "pen's may be longer", in: []string{pen + "|+ c1 127.0.0.2 GET /longer", web + `|x "GET /long" 1`}, want: "c1 \"GET /long\" 1\n"},
		{name: "pen's may not be shorter", in: []string{pen + "|+ c1 127.0.0.2 GET /lo", web + `|x "GET /long" 1`}, want: "x \"GET /long\" 1\n"},
		{name: "unless pen cut it", in: []string{pen + "|+ c1 127.0.0.2 " + z(100), web + `|x "` + z(150) + `" 1`}, want: `c1 "` + z(150) + "\" 1\n"},
		{name: "carriage return", in: []string{pen + "|+ c1 127.0.0.2 A\r\n", web + "|x \"A\" 1\r\n"}, want: "c1 \"A\" 1\n"},
		{name: "more blanks, or none", in: []string{pen + "|+   c1   127.0.0.2   A\n+c2 127.0.0.2 B", web + "|x \"A\"\nx \"B\""}, want: "c1 \"A\"\nc2 \"B\"\n"},
		{name: "an empty request matches nothing", in: []string{pen + "|+ c1 127.0.0.2 A", web + `|x "" 1`}, want: "x \"\" 1\n"},
		{name: "control characters", in: []string{web + "|x \t\"\x1b[2J\x00\" \x7f\xff"}, want: "x \t\".[2J.\" .\xff\n"},
		{name: "the oldest goes", size: 2, in: []string{pen + "|+ c1 127.0.0.2 A\n+ c2 127.0.0.2 B\n+ c3 127.0.0.2 C",
			web + "|x \"A\"\nx \"B\"\nx \"C\""}, want: "x \"A\"\nc2 \"B\"\nc3 \"C\"\n"},
		{name: "quotes in a user's name", in: []string{pen + "|+ c1 127.0.0.2 A\n+ c2 127.0.0.2 B", web + `|x - a\"B\" [] "A" 1` + "\n" + `x - \\\"B\"\\ "A" 1`},
			want: `c1 - a\"B\" [] "A" 1` + "\n" + `c1 - \\\"B\"\\ "A" 1` + "\n"},
		{name: "quotes in a request", in: []string{pen + `|+ c1 127.0.0.2 A\"B`, web + `|x "A\"B" 1`}, want: `c1 "A\"B" 1` + "\n"},
		{name: "what servers write as escapes", in: []string{pen + `|+ c1 127.0.0.2 GET /a"b\c..` + "\n" + `+ c2 127.0.0.2 GET /\x22`, web + `|x "GET /a\"b\\c\xc3\xa9" 1`, web + "|x \"GET /a\\x22b\\x5Cc\u00e9\" 1",
			web + `|x "GET /\x22" 1`}, want: `c1 "GET /a\"b\\c\xc3\xa9" 1` + "\n" + "c1 \"GET /a\\x22b\\x5Cc\u00e9\" 1\n" + `c2 "GET /\x22" 1` + "\n"},
		{name: "words that look like an escape", in: []string{pen + `|+ c1 127.0.0.2 /a\x22`, pen + `|+ c2 127.0.0.2 /a"`, web + `|x "/a\x22" 1`, web + `|x "/a\x5Cx22" 1`},
			want: `c2 "/a\x22" 1` + "\n" + `c1 "/a\x5Cx22" 1` + "\n"},
		{name: "bogus web lines", in: []string{web + "|nothing at all\nno \"quote\n\n\"A\" 1\nx\"A\" 1\n\"\nx \"A\\\" 1\nx \\\"A\"", web + "|"}, notes: 8},
		{name: "bogus pen lines", in: []string{web + "|+\n+ a\n+ a b\n+ c 127.0.0.2 \n+ c localhost A\n+ c 127.2 A\n+\tc\t127.0.0.2\tA\n+ " +
			z(100) + " 127.0.0.2 A\n+ \x1b 127.0.0.2 A", web + `|x "A"`}, want: "x \"A\"\n", notes: 9},
	} {
		var out strings.Builder
		notes := 0
		n := &consolidator{size: max(c.size, 1), out: &out, note: func(level int, _ string, _ ...any) {
			if level == 0 {
				notes++
			}
		}}
		if c.size == 0 {
			n.size = 1000
		}
		for _, d := range c.in {
			from, data, _ := strings.Cut(d, "|")
			if err := n.datagram(addr(from), []byte(data)); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if out.String() != c.want || notes != c.notes {
			t.Errorf("%s: %d messages\n got %q\nwant %q", c.name, notes, out.String(), c.want)
		}
	}
}

// TestKeeps holds the ring to what a plain list would answer: the last entries, as many as it keeps.
func TestKeeps(t *testing.T) {
	for size := 1; size <= 5; size++ {
		c := &consolidator{size: size, out: io.Discard, note: func(int, string, ...any) {}}
		for n := range 12 {
			if err := c.datagram(addr(pen), fmt.Appendf(nil, "+ c%d 127.0.0.2 /%c", n, 'a'+n)); err != nil {
				t.Fatal(err)
			}
			for i := range n + 1 {
				v := c.find(addr(web), fmt.Sprintf("/%c", 'a'+i))
				if kept := i > n-size; kept != (v != nil) || kept && v.client != fmt.Sprintf("c%d", i) {
					t.Errorf("%d kept, %d stored: entry %d is %v", size, n+1, i, v)
				}
			}
		}
		if len(c.visits) > size {
			t.Errorf("%d entries, not %d", len(c.visits), size)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriteError(t *testing.T) {
	c := &consolidator{size: 1, out: broken{}, note: func(int, string, ...any) {}}
	if err := c.datagram(addr(web), []byte(`x "A"`)); err == nil || err.Error() != "disk full" {
		t.Error(err)
	}
}

// FuzzDatagram sends whatever strangers may: every line that comes out is whole and fit for a terminal, and memory is
// bounded.
func FuzzDatagram(f *testing.F) {
	f.Add([]byte("+ 10.1.1.1 127.0.0.2 GET / HTTP/1.1\n"), []byte(`x - - "GET / HTTP/1.1" 200 5`))
	f.Add([]byte("+ 10.1.1.1 ::1 GET /\n"), []byte(`x - \\\"GET /\" "GET /\\" \`))
	f.Add([]byte("+ ::1 ::1 A"), []byte("\"\n+\n\x00\" \"\""))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		var out strings.Builder
		c := &consolidator{size: 3, out: &out, note: func(_ int, format string, args ...any) { _ = fmt.Sprintf(format, args...) }}
		for _, d := range [][]byte{one, two, one, two} {
			if err := c.datagram(addr(web), d); err != nil {
				t.Fatal(err)
			}
		}
		if len(c.visits) > 3 || out.Len() > 2*(len(one)+len(two)+2+wordMax*(2+len(one)+len(two))) {
			t.Errorf("%d entries, %d bytes", len(c.visits), out.Len())
		}
		if s := out.String(); s != "" && !strings.HasSuffix(s, "\n") || strings.ContainsAny(s, "\x00\x1b\r\x7f") {
			t.Errorf("%q", s)
		}
		for _, v := range c.visits {
			if len(v.client) > wordMax || len(v.request) > requestKept || !plain(v.client) {
				t.Errorf("%+v", v)
			}
		}
	})
}
