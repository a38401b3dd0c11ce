package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestForward(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"lines", "a\nb\n", []string{"a\n", "b\n"}},
		{"no newline at the end", "a\nb", []string{"a\n", "b\n"}},
		{"nothing", "", nil},
		{"empty lines", "\n\n", []string{"\n", "\n"}},
		{"any byte", "a\x00b\xff\r\n", []string{"a\x00b\xff\r\n"}},
		{"the longest", long[1:] + "\na\n", []string{long[1:] + "\n", "a\n"}},
		{"one byte more", long + "\na\n", []string{long[1:] + "\n", "a\n"}},
		{"much more", long + long + long + "\na\n", []string{long[1:] + "\n", "a\n"}},
		{"much more, and no end", long + long, []string{long[1:] + "\n"}},
	} {
		var got []string
		var stderr strings.Builder
		err := forward(strings.NewReader(c.in), func(b []byte) error { got = append(got, string(b)); return nil }, &stderr)
		if err != nil || !slices.Equal(got, c.want) || stderr.String() != "" {
			t.Errorf("%s: %.40q, %v, %s", c.name, got, err, stderr.String())
		}
	}
}

func TestForwardReportsOnce(t *testing.T) {
	var stderr strings.Builder
	n := 0
	err := forward(strings.NewReader("a\nb\nc\nd\ne\n"), func([]byte) error {
		if n++; n == 3 {
			return nil
		}
		return errors.New("no route")
	}, &stderr)
	want := strings.Repeat("penlog: lines are lost: no route\n", 2)
	if err != nil || n != 5 || stderr.String() != want {
		t.Errorf("%v, %d lines, %s", err, n, stderr.String())
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		stderr string // how it begins
	}{
		{"", 2, "penlog: the address and the port of penlogd are wanted"},
		{"a b c d", 2, "penlog: the address and the port of penlogd are wanted"},
		{"127.0.0.1", 2, "penlog: address 127.0.0.1: missing port in address\nusage: "},
		{":10000", 2, "penlog: the address and the port of penlogd must not be empty"},
		{"-x 10000", 2, "penlog: unknown flag -x\nusage: "},
		{"127.0.0.1 nowhere", 1, "penlog: penlogd at 127.0.0.1 port nowhere: "},
		{"127.0.0.1 70000", 1, "penlog: penlogd at 127.0.0.1 port 70000: "},
		{"127.0.0.1 0", 1, "penlog: penlogd at port 0: "},
		{"127.0.0.1 9 203.0.113.9", 1, "penlog: cannot send from 203.0.113.9: "},
		{"127.0.0.1 9 ::1", 1, "penlog: our address ::1: "},
	} {
		var stdout, stderr strings.Builder
		status := run(strings.Fields(c.args), strings.NewReader("a\n"), &stdout, &stderr)
		if status != c.status || !strings.HasPrefix(stderr.String(), c.stderr) || stdout.String() != "" {
			t.Errorf("penlog %s: status %d, stdout %q, stderr %q", c.args, status, stdout.String(), stderr.String())
		}
	}
	var stdout, stderr strings.Builder
	if run([]string{"--help"}, nil, &stdout, &stderr) != 0 || !strings.HasPrefix(stdout.String(), usage) || stderr.String() != "" {
		t.Errorf("--help: %q, %q", stdout.String(), stderr.String())
	}
}

// received runs a penlog against a socket of the test and returns what arrives, up to a last line "end".
func received(t *testing.T, host string, penlog func(port string, in io.Reader) error, in string) []string {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := penlog(strconv.Itoa(c.LocalAddr().(*net.UDPAddr).Port), strings.NewReader(in+"end\n")); err != nil {
		t.Fatal(err)
	}
	var got []string
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFromUDP(buf)
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		if string(buf[:n]) == "end\n" {
			return got
		}
		got = append(got, from.IP.String()+" "+string(buf[:n]))
	}
}

func ours(args ...string) func(string, io.Reader) error {
	return func(port string, in io.Reader) error {
		words := slices.Clone(args)
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "PORT", port)
		}
		var stderr bytes.Buffer
		if status := run(words, in, io.Discard, &stderr); status != 0 {
			return errors.New(stderr.String())
		}
		return nil
	}
}

func TestSends(t *testing.T) {
	for _, args := range []string{"127.0.0.1 PORT", "127.0.0.1 PORT 127.0.0.1", "127.0.0.1:PORT"} {
		got := received(t, "127.0.0.1", ours(strings.Fields(args)...), "a\nb\n")
		if !slices.Equal(got, []string{"127.0.0.1 a\n", "127.0.0.1 b\n"}) {
			t.Errorf("%s: %q", args, got)
		}
	}
}

// TestLikeTheOriginal sends lines that both take alike: up to 1022 bytes, and without NUL.
func TestLikeTheOriginal(t *testing.T) {
	const original = "/usr/bin/penlog"
	if _, err := exec.LookPath(original); err != nil {
		t.Skip("the original penlog is not installed (Debian's package pen)")
	}
	in := "127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"curl\"\n\n \r\n\xff\t\n" + strings.Repeat("x", 1022) + "\n"
	for _, from := range [][]string{nil, {"127.0.0.1"}} {
		want := received(t, "127.0.0.1", func(port string, in io.Reader) error {
			cmd := exec.Command(original, append([]string{"127.0.0.1", port}, from...)...)
			cmd.Stdin = in
			return cmd.Run()
		}, in)
		got := received(t, "127.0.0.1", ours(append([]string{"127.0.0.1", "PORT"}, from...)...), in)
		if !slices.Equal(got, want) {
			t.Errorf("\n got %q\nwant %q", got, want)
		}
	}
}

// FuzzForward sends whatever the web server writes: as many datagrams as lines, each with its newline and the line's
// beginning.
func FuzzForward(f *testing.F) {
	f.Add([]byte("a\n\nb"), uint16(3))
	f.Add([]byte("ab"), uint16(9000))
	f.Fuzz(func(t *testing.T, in []byte, times uint16) {
		in = bytes.Repeat(in, 1+int(times)%20000/max(1, len(in)))
		lines := slices.Collect(bytes.Lines(in))
		n := 0
		err := forward(bytes.NewReader(in), func(b []byte) error {
			line := bytes.TrimSuffix(lines[n], []byte("\n"))
			if want := append(slices.Clone(line[:min(len(line), maxLine-1)]), '\n'); !bytes.Equal(b, want) {
				t.Errorf("line %d: %q for %q", n, b, line)
			}
			n++
			return nil
		}, io.Discard)
		if err != nil || n != len(lines) {
			t.Errorf("%d of %d lines: %v", n, len(lines), err)
		}
	})
}
