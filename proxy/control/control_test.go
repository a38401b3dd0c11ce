package control

import (
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edgepen/proxy"
)

func interpreter() *Interpreter {
	level := new(slog.LevelVar)
	return &Interpreter{Proxy: proxy.New(slog.New(slog.NewTextHandler(io.Discard, nil)), level), Control: "127.0.0.1:8888"}
}

// TestReplies runs commands one after another against one proxy; the replies are those of penctl(1).
func TestReplies(t *testing.T) {
	in := interpreter()
	for _, c := range []struct{ line, reply, err string }{
		{line: "", reply: ""},
		{line: "   \t ", reply: ""},
		{line: "# a comment", reply: ""},
		{line: "blacklist", reply: "30\n"},
		{line: "blacklist 33", reply: "33\n"},
		{line: "blacklist\t34 # tabs and comments", reply: "34\n"},
		{line: "blacklist x", err: `blacklist: "x" is no number; expected seconds from 0 to 1000000000`},
		{line: "blacklist -1", err: "blacklist: -1 is out of range; expected seconds from 0 to 1000000000"},
		{line: "blacklist", reply: "34\n"},
		{line: "timeout", reply: "5\n"},
		{line: "timeout 0", err: "timeout: 0 is out of range; expected seconds from 1 to 1000000000"},
		{line: "tracking 60", reply: "60\n"},
		{line: "client_acl", reply: "0\n"},
		{line: "client_acl 255", reply: "255\n"},
		{line: "client_acl 256", err: "client_acl: 256 is out of range; expected an access list from 0 to 255"},
		{line: "control_acl 3", reply: "3\n"},
		{line: "clients_max", reply: "2048\n"},
		{line: "clients_max 100", reply: "2048\n"},
		{line: "clients_max 5000", reply: "5000\n"},
		{line: "conn_max 600", reply: "600\n"},
		{line: "conn_max 10", reply: "600\n"},
		{line: "pending_max 7", reply: ""},
		{line: "pending_max", err: "pending_max wants a number: pending_max N"},
		{line: "control", reply: "127.0.0.1:8888\n"},
		{line: "proxy_out", reply: ""},
		{line: "proxy_out v2", reply: ""},
		{line: "proxy_out", reply: "v2\n"},
		{line: "proxy_out v2 4096", reply: ""},
		{line: "proxy_out", reply: "v2 4096\n"},
		{line: "proxy_out v2,1024", reply: ""},
		{line: "proxy_out", reply: "v2 1024\n"},
		{line: "proxy_out v2 65552", err: "proxy_out: 65552 is out of range; expected bytes of a header with a certificate from 1 to 65551"},
		{line: "proxy_out v2,1,2", err: `proxy_out: unexpected word "2"`},
		{line: "proxy_out v1 232", err: "proxy_out: headers of version 1 have no certificates: only v2 takes a number"},
		{line: "proxy_out v3", err: `proxy_out: "v3": expected v1 or v2`},
		{line: "proxy_out 232", err: `proxy_out: "232": expected v1 or v2`},
		{line: "proxy_out", reply: "v2 1024\n"},
		{line: "proxy_out v2", reply: ""},
		{line: "proxy_out", reply: "v2\n"},
		{line: "proxy_out v1", reply: ""},
		{line: "proxy_out", reply: "v1\n"},
		{line: "no proxy_out", reply: ""},
		{line: "proxy_out", reply: ""},
		{line: "debug", reply: "0\n"},
		{line: "debug 2", reply: "2\n"},
		{line: "exit", reply: "Exit is not enabled; restart with -X flag\n"},
		{line: "idle_timeout", reply: "Idle timeout: 0 seconds\n"},
		{line: "http", reply: ""},
		{line: "idle_timeout", reply: "Idle timeout: 60 seconds\n"},
		{line: "no http", reply: ""},
		{line: "idle_timeout 7", reply: "Idle timeout: 7 seconds\n"},
		{line: "listen", reply: ""},
		{line: "listen :::8080", reply: ":::8080\n"},
		{line: "listen nowhere:x", err: `listening address "nowhere:x": "x" is no port; expected [host:]port or /path/to/socket`},
		{line: "mode", reply: "no hash no roundrobin no stubborn no weight no prio\n"},
		{line: "hash", reply: ""},
		{line: "weight", reply: ""},
		{line: "mode", reply: "hash no roundrobin no stubborn weight no prio\n"},
		{line: "no hash", reply: ""},
		{line: "mode", reply: "no hash no roundrobin no stubborn weight no prio\n"},
		{line: "recent", reply: ""},
		{line: "servers", reply: ""},
		{line: "server 1 address 127.0.0.1 port 99 max 3 hard 4 weight 5 prio 6 acl 7", reply: ""},
		{line: "servers", reply: "0 addr (unknown address family 0 port 0 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 0\n" +
			"1 addr 127.0.0.1 port 99 conn 0 max 3 hard 4 weight 5 prio 6 sx 0 rx 0\n"},
		{line: "server", err: "server wants the number of a server: server N [acl A] [address A] [port P] [max M] [hard H] [weight W] [prio P] [blacklist T]"},
		{line: "server x", err: `server: "x" is no number; expected a server from 0 to 65535`},
		{line: "server 2147483647 port 1", err: "server: 2147483647 is out of range; expected a server from 0 to 65535"},
		{line: "server 1 colour red", err: `server 1: unknown word "colour"; expected acl, address, port, max, hard, weight, prio or blacklist`},
		{line: "server 1 max 9 hard", err: "server 1: hard wants a value"},
		{line: "server 1 max 9 hard x", err: `server 1: hard: "x" is no number`},
		{line: "servers", reply: "0 addr (unknown address family 0 port 0 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 0\n" +
			"1 addr 127.0.0.1 port 99 conn 0 max 3 hard 4 weight 5 prio 6 sx 0 rx 0\n"},
		{line: "acl 1 permit 10.0.0.0/8", reply: ""},
		{line: "acl 1 permit 10.0.0.0/8 more words", err: "acl 1: "},
		{line: "acl", err: "acl wants the number of a list"},
		{line: "acl 1", err: "acl 1: "},
		{line: "no acl 1", reply: ""},
		{line: "no acl 10-255", reply: ""},
		{line: "no acl 10-256", err: "no acl: 256 is out of range"},
		{line: "no acl 10-9", err: "no acl: 9 is out of range"},
		{line: "no acl", err: "acl wants the number of a list"},
		{line: "trusted_proxies 10.0.0.0/8,192.0.2.1 2001:db8::/32", reply: ""},
		{line: "trusted_proxies", reply: "10.0.0.0/8 192.0.2.1/32 2001:db8::/32\n"},
		{line: "trusted_proxies 10.0.0.0/33", err: `trusted_proxies: "10.0.0.0/33" is no network`},
		{line: "no trusted_proxies", reply: ""},
		{line: "head_max 100", err: "head_max: 100 is out of range; expected bytes from 1024 to 16777216"},
		{line: "geoip", reply: "\n"},
		{line: "foo bar", reply: "do_cmd: ignoring command starting with 'foo'\n"},
		{line: "no foo", err: "no foo: there is no such setting"},
		{line: "no", err: `"no" wants the setting to switch off`},
		{line: "no servers"}, // as the original does
		{line: "no ssl_client_renegotiation_interval"},
		{line: "no drain_timeout", err: "no drain_timeout: drain_timeout cannot be switched off; usage: drain_timeout [SECONDS]"},
		{line: "tarpit_acl", reply: "tarpit_acl = -1"},
		{line: "tarpit_acl 3", reply: "tarpit_acl = 3"},
		{line: "tarpit_acl 256", err: "tarpit_acl: 256 is out of range"},
		{line: "no tarpit_acl", reply: ""},
		{line: "dsr_if", err: "dsr_if wants a value: dsr_if IF"},
		{line: "dsr_if eth0", reply: ""},
		{line: "no dsr_if", reply: ""},
		{line: "udp_unanswered 5", reply: "5\n"},
		{line: "socket_mode", reply: ""},
		{line: "socket_mode 660", reply: "660\n"},
		{line: "socket_mode 680", err: `socket_mode: "680" is no mode`},
		{line: "no socket_mode", reply: ""},
		{line: "resolve_interval", reply: "60\n"},
		{line: "epoll", reply: ""},
		{line: "connection", reply: "Connection 0:\nstate = 0\ndownfd = -1, upfd = -1\nclient = 0, server = 0\npend = 0\n"},
		{line: "connection 9999", reply: "Connection 9999 out of range\n"},
		{line: "connection -1", reply: "Connection -1 out of range\n"},
		{line: "close 0", reply: "Forcibly closing connection 0\n"},
		{line: "close 9999", reply: "Connection 9999 out of range\n"},
		{line: "socket 5", reply: "Socket 5 belongs to connection -1\n"},
		{line: "socket", err: "socket wants a number"},
		{line: "status", reply: "Unable to create webstats\nno file is set for it: web_stats FILE (-w)\n"},
		{line: "web_stats", reply: ""},
		{line: "web_stats /nowhere/at/all", reply: "/nowhere/at/all\n"},
		{line: "status", reply: "Unable to create webstats\n"},
		{line: "no web_stats", reply: ""},
		{line: "log", reply: ""},
		{line: "log pen.log", reply: "pen.log\n"},
		{line: "log", reply: "pen.log\n"},
		{line: "no log", reply: ""},
		{line: "source 1.2.3.4", reply: ""},
		{line: "source bad.invalid", reply: "unable to set source address to 'bad.invalid'"},
		{line: "source localhost", reply: ""},
		{line: "source", err: "source wants an address"},
		{line: "no source", reply: ""},
		{line: "tcp_fastclose", reply: "do_cmd: ignoring tcp_fastclose without argument\n"},
		{line: "tcp_fastclose up", reply: ""},
		{line: "tcp_fastclose sideways", err: `tcp_fastclose: unknown word "sideways"; expected up, down, both or off`},
		{line: "idlers", reply: "Idlers: 0/0\n"},
		{line: "idlers 3", reply: "Idlers: 0/3\n"},
		{line: "idlers", reply: "Idlers: 0/3\n"},
		{line: "idlers x", err: `idlers: "x" is no number`},
		{line: "keepalive", reply: ""},
		{line: "no keepalive", reply: ""},
		{line: "ssl_ciphers", err: "ssl_ciphers wants a value: ssl_ciphers CIPHERS"},
		{line: "ssl_ciphers HIGH", reply: ""},
		{line: "ssl_option foo", err: `ssl_option: unknown option "foo"`},
		{line: "ssl_option no_sslv3", reply: ""},
		{line: "ssl_sni_path /etc/pen", reply: ""},
		{line: "ssl_ocsp_response", err: "ssl_ocsp_response wants a value"},
		{line: "ssl_client_renegotiation_interval 60", reply: ""},
		{line: "ssl_client_renegotiation_interval", err: "ssl_client_renegotiation_interval wants seconds"},
		{line: "emergency", err: "emergency wants a server"},
		{line: "emergency www:80", reply: ""},
		{line: "no emergency", reply: ""},
		{line: "tls_min ssl9", err: "protocol version ssl9 not known"},
		{line: "health_check", reply: ""},
		{line: "health_check http /health", reply: ""},
		{line: "health_check", reply: "http /health\n"},
		{line: "health_check http,/a,b", reply: ""},
		{line: "health_check", reply: "http /a,b\n"},
		{line: "health_check tls", reply: ""},
		{line: "health_check", reply: "tls\n"},
		{line: "health_check udp", err: `health_check: "udp"; expected tcp, tls, or http and a path, as in http,/health`},
		{line: "health_check tcp /", err: `health_check: "tcp /"; expected tcp, tls, or http and a path, as in http,/health`},
		{line: "health_check http", err: `health_check: "" is no path; expected one that begins with /`},
		{line: "health_check http health", err: `health_check: "health" is no path`},
		{line: `health_check "http /a b"`, err: `health_check: "/a b" is no path`},
		{line: "health_check http /é", err: `health_check: "/é" is no path`},
		{line: "health_check", reply: "tls\n"},
		{line: "health_status", reply: "200-399\n"},
		{line: "health_status 200,204 300-302,301", reply: ""},
		{line: "health_status", reply: "200,204,300-302\n"},
		{line: "health_status 99", err: "health_status: 99 is out of range; expected a status from 100 to 599"},
		{line: "health_status 300-200", err: "health_status: 200 is out of range; expected a status from 300 to 599"},
		{line: "health_status 200-", err: `health_status: "" is no number; expected a status from 200 to 599`},
		{line: "health_status ,", err: "health_status: no status; expected N or N-M"},
		{line: "no health_status", reply: ""},
		{line: "health_status", reply: "200-399\n"},
		{line: "health_interval", reply: "5\n"},
		{line: "health_interval 0", err: "health_interval: 0 is out of range; expected seconds from 1 to"},
		{line: "health_timeout 3", reply: "3\n"},
		{line: "health_rise", reply: "2\n"},
		{line: "health_fall 0", err: "health_fall: 0 is out of range; expected a number from 1 to"},
		{line: "health_host www.example:80", reply: ""},
		{line: "health_host", reply: "www.example:80\n"},
		{line: "health_host a/b", err: `health_host: "a/b" is no host; expected NAME or NAME:PORT`},
		{line: "no health_host", reply: ""},
		{line: "health_host", reply: ""},
		{line: "no health_check", reply: ""},
		{line: "health_check", reply: ""},
		{line: "health", reply: ""},
		{line: "hash off", err: `hash: unexpected word "off"; usage: hash`},
		{line: "no hash off", err: `hash: unexpected word "off"`},
		{line: "blacklist 1 second", err: `blacklist: unexpected word "second"; usage: blacklist [SECONDS]`},
		{line: "no acl 1 2", err: `acl: unexpected word "2"`},
		{line: "mode", reply: "no hash no roundrobin no stubborn weight no prio\n"},
		{line: "delayed_forward", reply: ""},
		{line: "no block", reply: ""},
		{line: `server 0 address "a`, err: "a quote is not closed"},
		{line: "reload", err: "reload: there is nothing running to reload"},
	} {
		reply, err := in.Run(c.line)
		switch {
		case c.err == "" && err != nil:
			t.Errorf("%s: error %v", c.line, err)
		case c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), c.err)):
			t.Errorf("%s: error %v, want %s", c.line, err, c.err)
		case reply != c.reply:
			t.Errorf("%s\n got %q\nwant %q", c.line, reply, c.reply)
		}
	}
}

// TestSourceMayBeAName: of its addresses the first one of IPv4 is what write writes.
func TestSourceMayBeAName(t *testing.T) {
	in := interpreter()
	if reply, err := in.Run("source localhost"); reply != "" || err != nil {
		t.Fatalf("%q, %v", reply, err)
	}
	if got := in.Proxy.Config().Source; got != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("localhost is %s", got)
	}
}

// TestHelpNamesEveryCommand: what can be run is in the help text.
func TestHelpNamesEveryCommand(t *testing.T) {
	help := strings.ReplaceAll("\n"+Help(), "\n[no] ", "\n")
	for _, c := range commands() {
		if !strings.Contains(help, "\n"+c.usage()+"\n") {
			t.Errorf("%s is not listed", c.name)
		}
	}
}

// loadFile is what a start does with -F.
func loadFile(in *Interpreter, path string) (string, error) {
	text, _, err := ReadFirst(path)
	if err != nil {
		return "", err
	}
	return in.Load(path, text)
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	inner := file(t, "inner", "tracking 9\n")
	for _, c := range []struct{ name, text, reply, err string }{
		{name: "plain", text: "# comment\n\nblacklist 7\n  hash # why not\n", reply: "7\n"},
		{name: "line ends", text: "blacklist 7\r\ntracking 8\rtimeout 9", reply: "7\n8\n9\n"},
		{name: "include", text: "include " + inner + "\nblacklist 7\n", reply: "9\n7\n"},
		{name: "unknown commands are passed over", text: "foo\nblacklist 7\n", reply: "do_cmd: ignoring command starting with 'foo'\n7\n"},
		{name: "a bad argument", text: "blacklist 7\nhash\nblacklist x\n", err: ":3: blacklist: \"x\" is no number"},
		{name: "a bad argument in an included file", text: "blacklist 7\ninclude " + file(t, "bad", "\ntimeout 0\n") + "\n", err: "bad:2: timeout: 0 is out of range"},
		{name: "a file that is not there", text: "include /nowhere/at/all\n", err: ":1: cannot read configuration file /nowhere/at/all: no such file"},
		{name: "what is for the moment", text: "ech\nech rotate\n", err: ":2: ech rotate is for penctl"},
		{name: "a directory", text: "include /\n", err: ":1: configuration file /: expected a regular file"},
	} {
		in := interpreter()
		reply, err := loadFile(in, file(t, "cfg", c.text))
		switch {
		case c.err == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: error %v, want …%s…", c.name, err, c.err)
		case c.err == "" && reply != c.reply:
			t.Errorf("%s: reply %q, want %q", c.name, reply, c.reply)
		}
		if got := inSeconds(in.Proxy.Config().Blacklist); (got == 7) != (c.err == "" && strings.Contains(c.text, "7")) {
			t.Errorf("%s: blacklist is %d: a file is all or nothing", c.name, got)
		}
	}
}

func TestFilesThatIncludeThemselves(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for path, text := range map[string]string{a: "include " + b + "\n", b: "hash\ninclude " + a + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := interpreter()
	if _, err := loadFile(in, a); err == nil || !strings.HasSuffix(err.Error(), "b:2: "+a+" includes itself") {
		t.Error(err)
	}
	if in.Proxy.Config().Mode.Hash {
		t.Error("hash is on: a file is all or nothing")
	}
}

func TestSplitReadsBackWhatQuoteWrites(t *testing.T) {
	for _, word := range []string{"a", "", "a b", "a\tb", "#x", "x#y", "/path/with blank", "é"} {
		words, err := split("x " + Quote(word) + " # end")
		if err != nil || len(words) != 2 || words[1] != word {
			t.Errorf("%q became %q, %v", word, words, err)
		}
	}
}

func FuzzRun(f *testing.F) {
	for _, c := range commands() {
		f.Add(c.usage())
		f.Add("no " + c.name)
	}
	f.Add("server 2147483647 port 1")
	f.Add("server -1 address x")
	f.Add("no acl")
	f.Fuzz(func(t *testing.T, line string) {
		if strings.Contains(line, "include") || strings.Contains(line, "write") || strings.Contains(line, "status") {
			t.Skip("it would read or write files of whoever runs this")
		}
		in := interpreter()
		before := in.Proxy.Config()
		if _, err := in.Run(line); err == nil {
			return
		}
		if after := in.Proxy.Config(); len(after.Servers) != len(before.Servers) || after.Mode != before.Mode || after.Blacklist != before.Blacklist {
			t.Errorf("%q failed and changed something", line)
		}
	})
}
