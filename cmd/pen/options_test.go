package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"edgepen/proxy"
	"edgepen/proxy/control"
)

// prepare reads a command line up to where things would be opened.
func prepare(args ...string) (proxy.Config, string, error) {
	var out bytes.Buffer
	p := proxy.New(slog.New(slog.NewTextHandler(io.Discard, nil)), new(slog.LevelVar))
	o := &options{in: &control.Interpreter{Proxy: p}, stdout: &out, stderr: &out}
	operands, err := o.parse(args, false)
	if err == nil {
		err = o.loadConfig()
	}
	if err == nil {
		err = o.takeOperands(operands)
	}
	return p.Config(), out.String(), err
}

// describe is what a command line came to, in a line.
func describe(c proxy.Config) string {
	var b strings.Builder
	for _, l := range c.Listeners {
		fmt.Fprintf(&b, "%s/%d ", l.Address, l.TLS)
	}
	b.WriteString(":")
	for _, s := range c.Servers {
		fmt.Fprintf(&b, " %s:%d:%d:%d:%d:%d/%d", s.Address, s.Port, s.Max, s.Hard, s.Weight, s.Prio, s.ACL)
	}
	return b.String()
}

func TestOperands(t *testing.T) {
	cfg := filepath.Join(t.TempDir(), "cfg")
	if err := os.WriteFile(cfg, []byte("server 0 max 7 acl 3\nserver 1 address 127.0.0.3 port 99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"80 a b:81", "80/0 : a:80:0:0:0:0/0 b:81:0:0:0:0/0"},
		{"127.0.0.1:80 a:81:10:20:3:4", "127.0.0.1:80/0 : a:81:10:20:3:4/0"},
		{":::8080 [::1]:99", ":::8080/0 : ::1:99:0:0:0:0/0"},
		{"/tmp/s /tmp/t", "/tmp/s/0 : /tmp/t:1:0:0:0:0/0"},
		{"http a", "http/0 : a:80:0:0:0:0/0"},
		{"-o listen\x0090 ignored b", "90/0 : b:90:0:0:0:0/0"},
		{"--listen 443,tls --listen :::80,plain a b", "443/1 :::80/2 : a:443:0:0:0:0/0 b:443:0:0:0:0/0"},
		{"-F " + cfg + " 80", "80/0 : :0:7:0:0:0/3 127.0.0.3:99:0:0:0:0/0"},
		{"-F " + cfg + " 80 a:1:2", "80/0 : a:1:2:0:0:0/3 127.0.0.3:99:0:0:0:0/0"},
	} {
		words := strings.Split(c.args, " ")
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "\x00", " ")
		}
		got, _, err := prepare(words...)
		if err != nil || describe(got) != c.want {
			t.Errorf("%q\n got %s, %v\nwant %s", c.args, describe(got), err, c.want)
		}
	}
}

func TestFlagsSetTheConfiguration(t *testing.T) {
	c, out, err := prepare("-rhWsHXaddb", "31", "-T7", "-t9", "-c10", "-x", "1", "-q1", "-E", "c.pem", "-Kk.pem", "-G", "ca", "-A", "dir", "-RZ", "-Ltls1.3",
		"--prio", "--idle-timeout=3", "--trusted-proxies", "10.0.0.0/8,::1", "--head-max=2048", "--head-timeout", "4", "--handshake-timeout=6",
		"-N", "-P", "-D", "-m0", "-S", "3", "80")
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.Mode, c.Forgetful, c.HTTP, c.ExitEnabled, c.ASCII, c.Debug, c.Blacklist, c.Tracking, c.ConnectTimeout, c.ClientsMax, c.ConnMax, c.Backlog,
		c.Certificates.Certs, c.Certificates.Keys, c.Certificates.CAFile, c.Certificates.CADir, c.TLS.ClientAuth, c.TLS.Policy.MinVersion, c.TLS.Policy.Compat, c.IdleTimeout, c.TrustedProxies, c.HeadMax, c.HeadTimeout, c.HandshakeTimeout)
	want := "{true true true true true} true true true true 2 31s 7s 9s 10 1 50 [c.pem] [k.pem]cadirrequiredtls1.3true 3s [10.0.0.0/8 ::1/128] 2048 4s 6s"
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if want := "pen: -D is obsolete and has no effect\npen: -S is obsolete and has no effect\n"; out != want {
		t.Errorf("said %q, want %q", out, want)
	}
}

func TestCommandsRunInTheOrderOfTheFlags(t *testing.T) {
	_, out, err := prepare("-o", "blacklist", "-b", "7", "-Oblacklist", "--option=mode", "-r", "-o", "mode", "80")
	if want := "30\n7\nno hash no roundrobin no stubborn no weight no prio\nno hash roundrobin no stubborn no weight no prio\n"; err != nil || out != want {
		t.Errorf("said %q, %v", out, err)
	}
}

// TestRun is what the shell sees: exit status, and where the message goes.
func TestRun(t *testing.T) {
	for _, c := range []struct {
		args           string
		status         int
		stdout, stderr string // how each begins
	}{
		{"", exitUsage, "", "pen: no address to listen on"},
		{"--help", exitOK, "pen balances TCP connections and UDP", ""},
		{"--version", exitOK, "edgepen", ""},
		{"-i service", exitOK, "", "pen: -i is for Windows only"},
		{"--tls-mim tls1.2 80 a", exitUsage, "", "pen: unknown flag --tls-mim; is it --tls-min?\nusage: pen"},
		{"--idle-timeout x 80 a", exitUsage, "", "pen: --idle-timeout: \"x\" is no number; expected seconds from 0"},
		{"--proxy-protocol 10.0.0.0/8,optinal 80 a", exitUsage, "",
			"pen: --proxy-protocol: \"optinal\" is no network; expected ADDRESS/LENGTH, as in 192.0.2.0/24 or 2001:db8::/32; or, as the last word, required, optional, refused"},
		{"--health-check http://localhost/ 80 a", exitUsage, "", "pen: --health-check: \"http://localhost/\"; expected tcp, tls, or http and a path, as in http,/health"},
		{"--check --acme a.example 443 a:80", exitFailed, "", "pen: ACME: no storage directory for the certificates: --acme-storage DIR"},
		{"--check --acme a.example --acme-storage d --acme-challenges http-01 443 a:80", exitFailed, "",
			"pen: ACME challenge http-01 needs a listener for plain HTTP, on port 80 for the authority, and there is none: --redirect ADDR"},
		{"--check 80 22081", exitFailed, "", "pen: unknown or invalid address [22081]: "},
		{"-Y 80 a", exitUsage, "", "pen: unknown flag -Y\nusage: pen"},
		{"-x 0 80", exitUsage, "", "pen: -x: 0 is out of range; expected a number from 1 to 2147483647\nusage: pen"},
		{"-c 99999999999999999999 80", exitUsage, "", "pen: -c: 99999999999999999999 is out of range"},
		{"--demo 80", exitUsage, "", "pen: --demo brings its own listener and servers; unexpected word \"80\""},
		{"-x", exitUsage, "", "pen: -x wants a value: -x N\nusage: pen"},
		{"-x ten 80 a", exitUsage, "", `pen: -x: "ten" is no number`},
		{"-t 0 80 a", exitUsage, "", "pen: -t: 0 is out of range"},
		{"-L ssl4 80 a", exitUsage, "", "pen: -L: protocol version ssl4 not known"},
		{"-f 80:x a", exitUsage, "", `pen: listening address "80:x": "x" is no port`},
		{"-f 80 a:1:2:3:4:5:6", exitUsage, "", "pen: "},
		{"--listen 80,https a", exitUsage, "", `pen: --listen: "80,https": unknown word "https" after the comma`},
		{"-o blacklist\x00soon 80 a", exitUsage, "", "pen: -o: blacklist soon: blacklist: \"soon\" is no number; expected seconds from 0 to 1000000000\n"},
		{"-f --check --access-log - -o tracking\x007 127.0.0.1:0 127.0.0.1:1", exitOK, "the configuration is good\n", "7\n"}, // stdout is the log's
		{"-f -U -H 127.0.0.1:0 127.0.0.1:1", exitFailed, "", "pen: UDP (-U) carries datagrams as they are"},
		{"-f -U --self-signed 127.0.0.1:0 127.0.0.1:1", exitFailed, "", "pen: UDP (-U) carries datagrams as they are"},
		{"-f -l /nowhere/log 127.0.0.1:0 127.0.0.1:1", exitFailed, "", "pen: log file: open /nowhere/log"},
		{"-f -F /nowhere 80 a", exitFailed, "", "pen: cannot read configuration file /nowhere: no such file"},
		{"-f -K key.pem 127.0.0.1:0 127.0.0.1:1", exitFailed, "", "pen: a key (key.pem) without a certificate: give --cert FILE (-E)"},
		{"-f -R 127.0.0.1:0 127.0.0.1:1", exitFailed, "", "pen: client certificates are asked for (-R, --client-auth), but there is no TLS"},
		{"-f -E /nowhere 127.0.0.1:0 127.0.0.1:1", exitFailed, "", "pen: "},
		{"-f --listen 0,tls 127.0.0.1:1", exitFailed, "", "pen: listener 0 is to speak TLS, but there is no certificate"},
		{"-f -u no-such-user 127.0.0.1:0 127.0.0.1:1", exitFailed, "", "pen: -u no-such-user: there is no such user"},
		{"-f -p /nowhere/pid 127.0.0.1:0 127.0.0.1:1", exitFailed, "", "pen: pid file: open /nowhere/pid"},
	} {
		var stdout, stderr bytes.Buffer
		words := strings.Fields(c.args)
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "\x00", " ")
		}
		status := run(words, &stdout, &stderr)
		if status != c.status || !strings.HasPrefix(stdout.String(), c.stdout) || !strings.HasPrefix(stderr.String(), c.stderr) ||
			(c.stdout == "") != (stdout.Len() == 0) || (c.stderr == "") != (stderr.Len() == 0) {
			t.Errorf("pen %s: status %d\nstdout %.200q\nstderr %.200q", c.args, status, stdout.String(), stderr.String())
		}
	}
}

// TestEveryFlagIsThere: the letters of the original, each once, no long name twice, and those of one heading together.
func TestEveryFlagIsThere(t *testing.T) {
	o := &options{in: &control.Interpreter{}}
	var letters []byte
	long, headings, group := map[string]bool{}, map[string]bool{}, ""
	for _, f := range o.flags() {
		if f.group != group && headings[f.group] {
			t.Errorf("--%s stands under a second heading %q", f.Long, f.group)
		}
		group = f.group
		headings[group] = true
		letters = append(letters, f.Letters...)
		if f.Long != "" && long[f.Long] {
			t.Errorf("--%s stands twice", f.Long)
		}
		long[f.Long] = true
		if f.help == "" {
			t.Errorf("-%s --%s has no help", f.Letters, f.Long)
		}
	}
	slices.Sort(letters)
	if want := "ABCDEFGHKLNOPQRSTUWXZabcdefhijlmnopqrstuwx"; string(letters) != want {
		t.Errorf("flags\n got %s\nwant %s", letters, want)
	}
}

func TestLogLines(t *testing.T) {
	var out bytes.Buffer
	h, level := newLog(&out)
	log := slog.New(h).With("pid", 7)
	log.Info("not said")
	level.Set(slog.LevelInfo)
	log.Info("said", "why", "two words", "n", 3, "empty", "", "evil", "a\nb")
	line := out.String()
	if len(line) < 21 || line[19:] != `: said pid=7 why="two words" n=3 empty="" evil="a\nb"`+"\n" {
		t.Errorf("%q", line)
	}
}
