package main

import (
	"io"
	"net"
	"os"
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
		if status := run(args, &stdout, &stderr); status != 0 || stdout.String() != usage+more {
			t.Errorf("%q: status %d, stdout %q", args, status, stdout.String())
		}
	}
}

// TestNobodyAnswers: behind the original's words stand the address as it was given, and the reason.
func TestNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	nobody := filepath.Join(dir, "nobody")
	for _, c := range []struct{ address, want string }{
		{nobody, nobody + ": no such file or directory"},
		{file, file + ": connection refused"},
		{"127.0.0.1:1", "127.0.0.1:1: connection refused"},
		{"127.0.0.1:ftpx", "127.0.0.1:ftpx: lookup tcp/ftpx: unknown port"},
		{"http://127.0.0.1:1", "http://127.0.0.1:1: no such file or directory"},
	} {
		var stdout, stderr strings.Builder
		status := run([]string{c.address, "pid"}, &stdout, &stderr)
		if want := "error connecting to server: " + c.want + "\n"; status != 1 || stderr.String() != want || stdout.String() != "" {
			t.Errorf("status %d, stdout %q, stderr %q, want %q", status, stdout.String(), stderr.String(), want)
		}
	}
}
