package main

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"edgepen/proxy/control"
)

// TestCommandsAreThoseOfTheControlPort: commands.txt is what the control port's table prints; what the test prints is what
// belongs there.
func TestCommandsAreThoseOfTheControlPort(t *testing.T) {
	if commands != control.Help() {
		t.Errorf("commands.txt is not what help prints; it should be:\n%s", control.Help())
	}
}

// answer is a control port that says the same to everybody.
func answer(t *testing.T, reply string) (address string, asked chan string) {
	t.Helper()
	address = filepath.Join(t.TempDir(), "control")
	ln, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	asked = make(chan string, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 1000)
		n, _ := c.Read(b)
		asked <- string(b[:n])
		io.WriteString(c, reply) //nolint:errcheck // the test sees what came
	}()
	return address, asked
}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		reply  string
		status int
	}{
		{"30\n", 0},
		{"", 0},
		{"error: blacklist: \"x\" is no number\n", 1},
		{"do_cmd: ignoring command starting with 'foo'\n", 1},
		{"Exit is not enabled; restart with -X flag\n", 1},
		{"Unable to create webstats\n", 1},
		{"unable to set source address to 'x'", 1},
		{"127.0.0.1 connects 1 sx 2 rx 3\n", 0},
	} {
		address, asked := answer(t, c.reply)
		var stdout, stderr strings.Builder
		status := run([]string{address, "blacklist", "30"}, &stdout, &stderr)
		if line := <-asked; line != "blacklist 30\n" {
			t.Errorf("asked %q", line)
		}
		if status != c.status || stdout.String() != c.reply || stderr.String() != "" {
			t.Errorf("%q: status %d, stdout %q, stderr %q", c.reply, status, stdout.String(), stderr.String())
		}
	}
}

func TestWithoutACommand(t *testing.T) {
	for _, args := range [][]string{nil, {"127.0.0.1:1"}} {
		var stdout, stderr strings.Builder
		if status := run(args, &stdout, &stderr); status != 0 || stdout.String() != usage {
			t.Errorf("%q: status %d, stdout %q", args, status, stdout.String())
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	var stdout, stderr strings.Builder
	status := run([]string{filepath.Join(t.TempDir(), "nobody"), "pid"}, &stdout, &stderr)
	if status != 1 || !strings.HasPrefix(stderr.String(), "error connecting to server") || stdout.String() != "" {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout.String(), stderr.String())
	}
}
