package control

import (
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// openPort serves a control port on a Unix socket for the length of a test.
func openPort(t *testing.T) (*Interpreter, string) {
	t.Helper()
	in := interpreter()
	path := filepath.Join(t.TempDir(), "control")
	p, err := Listen(path, in, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	p.Serve()
	t.Cleanup(p.Close)
	return in, path
}

func ask(t *testing.T, path, text string) string {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	c.(*net.UnixConn).CloseWrite()
	reply, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(reply)
}

func TestPort(t *testing.T) {
	in, path := openPort(t)
	for _, c := range []struct{ text, reply string }{
		{"blacklist 5\n", "5\n"},
		{"blacklist 6", "6\n"},
		{"blacklist 7\r\nblacklist 8\n", "7\n"}, // one line a connection
		{"\n", ""},
		{"", ""},
		{"blacklist x\n", "error: blacklist: \"x\" is no number; expected seconds from 0 to 1000000000\n"},
		{"foo\n", "do_cmd: ignoring command starting with 'foo'\n"},
	} {
		if reply := ask(t, path, c.text); reply != c.reply {
			t.Errorf("%q: reply %q, want %q", c.text, reply, c.reply)
		}
	}
	if got := inSeconds(in.Proxy.Config().Blacklist); got != 7 {
		t.Errorf("blacklist is %d", got)
	}
}

func TestPortRefusesAnOverlongLine(t *testing.T) {
	_, path := openPort(t)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go io.Copy(c, strings.NewReader(strings.Repeat("x", 2*lineMax))) //nolint:errcheck // it is cut off
	reply := make([]byte, 256)
	n, _ := io.ReadAtLeast(c, reply, len("error: the command line is too long"))
	if !strings.HasPrefix(string(reply[:n]), "error: the command line is too long") {
		t.Errorf("reply %q", reply[:n])
	}
}

// TestPortServesOthersBesideASilentClient: the original's balancer stands still for one.
func TestPortServesOthersBesideASilentClient(t *testing.T) {
	_, path := openPort(t)
	for range portClients - 1 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if reply := ask(t, path, "blacklist\n"); reply != "30\n" {
		t.Errorf("reply %q", reply)
	}
}

func TestPortIsItsOwnersAlone(t *testing.T) {
	_, path := openPort(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := ownUser(uint32(os.Geteuid())); err != nil {
		t.Error(err)
	}
	if err := ownUser(uint32(os.Geteuid()) + 12345); err == nil {
		t.Error("a stranger may use the port")
	}
}

// TestListenKeepsAFileThatIsNoSocket: a control port removes an old socket, nothing else.
func TestListenKeepsAFileThatIsNoSocket(t *testing.T) {
	path := file(t, "precious", "text")
	_, err := Listen(path, interpreter(), slog.Default())
	if err == nil || !strings.Contains(err.Error(), "it exists and is no socket") {
		t.Error(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "text" {
		t.Errorf("the file holds %q now", text)
	}
}
