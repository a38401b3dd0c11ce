package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProgram makes the test binary penlogd.
const asProgram = "PENLOGD_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		stderr string // how it begins
	}{
		{"", 2, "penlogd: one port is wanted, not 0 words\nusage: "},
		{"-f 1 2", 2, "penlogd: one port is wanted, not 2 words\nusage: "},
		{"-z 1", 2, "penlogd: unknown flag -z\nusage: "},
		{"-f -n", 2, "penlogd: -n wants a value: -n N\nusage: "},
		{"-f -n 0 1", 2, `penlogd: -n: "0": a number from 1 to 1000000 is wanted`},
		{"-f -n 5x 1", 2, `penlogd: -n: "5x": a number`},
		{"-f -n 1000001 1", 2, `penlogd: -n: "1000001": a number`},
		{"-f 0", 2, `penlogd: [address:]port is wanted, with a port from 1 to 65535, not "0"`},
		{"-f 70000", 2, "penlogd: [address:]port is wanted"},
		{"-f nowhere", 2, "penlogd: [address:]port is wanted"},
		{"-f ::1", 2, "penlogd: [address:]port is wanted"},
		{"-f 203.0.113.9:9999", 1, "penlogd: cannot receive at 203.0.113.9:9999: "},
		{"-f -u no-such-user 127.0.0.1:PORT", 1, "penlogd: -u no-such-user: there is no such user\n"},
		{"-f -j /nonexistent 127.0.0.1:PORT", 1, "penlogd: -j /nonexistent: "},
		{"-f -l /nonexistent/log 127.0.0.1:PORT", 1, "penlogd: -l /nonexistent/log: "},
		{"-f -p /nonexistent/pid 127.0.0.1:PORT", 1, "penlogd: -p /nonexistent/pid: "},
	} {
		var stdout, stderr strings.Builder
		status := run(strings.Fields(strings.ReplaceAll(c.args, "PORT", freePort(t))), &stdout, &stderr)
		if status != c.status || !strings.HasPrefix(stderr.String(), c.stderr) || stdout.String() != "" {
			t.Errorf("penlogd %s: status %d, stdout %q, stderr %q", c.args, status, stdout.String(), stderr.String())
		}
	}
	var stdout, stderr strings.Builder
	if run([]string{"--help"}, &stdout, &stderr) != 0 || stdout.String() != usage || stderr.String() != "" {
		t.Errorf("--help: %q, %q", stdout.String(), stderr.String())
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return strconv.Itoa(c.LocalAddr().(*net.UDPAddr).Port)
}

// process is a penlogd that runs, ours or the original, with -d.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	port   string
	stdout io.Reader
	events *bufio.Reader // of its standard error
}

func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	d := &process{t: t, port: freePort(t)}
	d.cmd = exec.Command(program, append(append([]string{"-f", "-d", "-b"}, args...), d.port)...)
	d.cmd.Env = append(os.Environ(), asProgram+"=1")
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(30*time.Second, func() { d.cmd.Process.Kill() })
	t.Cleanup(func() {
		late.Stop()
		d.cmd.Process.Kill()
		d.cmd.Wait()
	})
	d.stdout, d.events = stdout, bufio.NewReader(stderr)
	d.event("Enter main loop")
	return d
}

// event waits for a message.
func (d *process) event(text string) {
	d.t.Helper()
	for {
		line, err := d.events.ReadString('\n')
		if strings.Contains(line, text) {
			return
		}
		if err != nil {
			d.t.Fatalf("%s: no message with %q: %v", d.cmd.Path, text, err)
		}
	}
}

// send sends each datagram, and waits until all are dealt with: they are, once there is a complaint about the last.
func (d *process) send(datagrams ...string) {
	d.t.Helper()
	c, err := net.Dial("udp4", "127.0.0.1:"+d.port)
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close()
	for _, s := range append(datagrams, "the last one") {
		if _, err := io.WriteString(c, s); err != nil {
			d.t.Fatal(err)
		}
	}
	d.event("the last one")
}

func (d *process) signal(s os.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// end ends it, in good order, and returns what it has written.
func (d *process) end() string {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	d.event("Exit main loop")
	output, err := io.ReadAll(d.stdout)
	if err != nil {
		d.t.Error(err)
	}
	if err := d.cmd.Wait(); err != nil {
		d.t.Error(err)
	}
	return string(output)
}

func self(t *testing.T) string {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLogFile(t *testing.T) {
	dir := t.TempDir()
	log, pid := filepath.Join(dir, "log"), filepath.Join(dir, "pid")
	d := start(t, self(t), "-l", log, "-p", pid)
	if got := content(t, pid); got != strconv.Itoa(d.cmd.Process.Pid) {
		t.Errorf("pid file: %q", got)
	}
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	d.signal(syscall.SIGHUP)
	d.event("Reopen log file " + log)
	d.send("+ c1 127.0.0.1 A", `x "A" 1`)
	if got := content(t, log); got != "c1 \"A\" 1\n" {
		t.Errorf("log: %q", got)
	}
	d.end()
	if got := content(t, log+".1"); got != "" {
		t.Errorf("old log: %q", got)
	}
	if _, err := os.Stat(pid); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pid file stays behind: %v", err)
	}
}

func content(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestReopenFails checks that a log that cannot be opened anew goes on in the old file.
func TestReopenFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d := start(t, self(t), "-l", filepath.Join(dir, "log"))
	if err := os.Rename(dir, dir+".1"); err != nil {
		t.Fatal(err)
	}
	d.signal(syscall.SIGHUP)
	d.event("the log goes on in the old file")
	d.send(`x "A" 1`)
	if got := content(t, filepath.Join(dir+".1", "log")); got != "x \"A\" 1\n" {
		t.Errorf("log: %q", got)
	}
	d.end()
}

// TestPrivileges starts it as root and looks whose files it makes, and where.
func TestPrivileges(t *testing.T) {
	nobody, err := user.Lookup("nobody")
	if os.Geteuid() != 0 || err != nil {
		t.Skip("only root may become nobody and change the root directory")
	}
	dir := t.TempDir()
	uid, _ := strconv.Atoi(nobody.Uid)
	if err := os.Chown(dir, uid, -1); err != nil {
		t.Fatal(err)
	}
	d := start(t, self(t), "-j", dir, "-u", "nobody", "-l", "/log", "-p", "/pid")
	for _, name := range []string{"log", "pid"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != uid {
			t.Errorf("%s belongs to %d", name, owner)
		}
	}
	d.send(`x "A" 1`)
	if got := content(t, filepath.Join(dir, "log")); got != "x \"A\" 1\n" {
		t.Errorf("log: %q", got)
	}
	d.end()
}

// TestLikeTheOriginal sends both the same, within what the original survives: pen's lines name servers that resolve, and
// fewer entries than it keeps.
func TestLikeTheOriginal(t *testing.T) {
	const original = "/usr/bin/penlogd"
	if _, err := exec.LookPath(original); err != nil {
		t.Skip("the original penlogd is not installed (Debian's package pen)")
	}
	in := []string{
		"+ 10.1.1.1 127.0.0.1 GET /a HTTP/1.0",
		`127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /a HTTP/1.0" 200 5 "ref" "agent x"` + "\n",
		`127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /none HTTP/1.0" 200 6` + "\n",
		"+ 10.1.1.2 127.0.0.1 GET /b HTTP/1.0\n", "+ 10.1.1.3 127.0.0.1 GET /b HTTP/1.0\n", "+ 10.1.1.4 127.0.0.9 GET /b HTTP/1.0\n",
		"x - - \"GET /b HTTP/1.0\" 200 8\n", "x - - \"GET /b HTTP/1.0\" 200 9\n", "x - - \"GET /b\" 9\n", "x - - \"GET /b HTTP/1.00\" 9\n",
		"+ 2001:db8::1 127.0.0.1  GET  /c\r\n", "x - - \"GET  /c\" 1\n", "x - - \" GET  /c\" 1\n",
		"nothing at all\n", "no \"quote\n", "+\n", "+ a\n", "+ a b\n", "+ c 127.0.0.1 \n",
		"+ c6 127.0.0.1 " + strings.Repeat("z", 99) + "\n", `x - - "` + strings.Repeat("z", 99) + "\" 1\n", `x - - "` + strings.Repeat("z", 98) + "\" 1\n",
		"x - - \"unmatched\" \xe4\n", "x\ty \"A\" 1\n",
	}
	for n := range 40 {
		in = append(in, fmt.Sprintf("+ 10.2.0.%d 127.0.0.1 GET /%d HTTP/1.1", n, n*7%20), fmt.Sprintf("x - - \"GET /%d HTTP/1.1\" %d\n", n*11%20, n))
	}
	var got []string
	for _, program := range []string{original, self(t)} {
		d := start(t, program)
		d.send(in...)
		got = append(got, d.end())
	}
	if got[0] != got[1] {
		t.Errorf("the original: %s\nours: %s", got[0], got[1])
	}
}
