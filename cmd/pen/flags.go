package main

import (
	"fmt"
	"strings"

	"edgepen/certs"
	"edgepen/proxy"
)

// The headings of the help text, in its order.
const (
	groupListen  = "Listening and running"
	groupServers = "Choosing a server"
	groupLimits  = "Limits and times"
	groupTLS     = "TLS"
	groupHTTP    = "HTTP"
	groupClients = "Clients"
	groupIgnored = "Accepted without effect"
)

// flags is every flag, in the order of the help text.
func (o *options) flags() []flag {
	var all []flag
	for _, part := range [][]flag{o.listenFlags(), o.serverFlags(), o.limitFlags(), o.tlsFlags(), o.httpFlags(), o.otherFlags()} {
		all = append(all, part...)
	}
	return all
}

func (o *options) listenFlags() []flag {
	return []flag{
		on("", "help", groupListen, "print this help", func() { o.help = true }),
		on("", "version", groupListen, "print the version", func() { o.version = true }),
		on("", "demo", groupListen, "try it: two servers and an HTTPS front on this machine, until Ctrl-C", func() { o.demo = true }),
		on("f", "foreground", groupListen, "stay in the foreground, messages on stderr", func() { o.foreground = true }),
		with("", "listen", "ADDR[,tls|,plain]", groupListen, "listen here; repeat for more. All operands are then servers", o.addListener),
		o.edit("U", "udp", "", groupListen, "balance UDP", func(c *proxy.Config, _ string) error { c.UDP = true; return nil }),
		o.setting("", "socket-mode", "MODE", "socket_mode", groupListen, "permissions of a Unix socket that is listened on, as 660"),
		text("F", "config", "FILE", groupListen, "read commands from FILE, now and at HUP", &o.config),
		with("Oo", "option", "COMMAND", groupListen, "run a control command now, in the order of the flags", o.runCommand),
		text("C", "control", "ADDR", groupListen, "control port: port, host:port or /path/to/socket", &o.control),
		o.edit("X", "exit", "", groupListen, "allow the control command exit", func(c *proxy.Config, _ string) error { c.ExitEnabled = true; return nil }),
		o.setting("l", "log", "FILE|HOST:PORT", "log", groupListen, "record requests in FILE, or send them to a penlogd"),
		o.setting("w", "web-stats", "FILE", "web_stats", groupListen, "write status pages to FILE, at USR1 and penctl status"),
		text("p", "pid-file", "FILE", groupListen, "write the process id to FILE", &o.pidFile),
		text("u", "user", "USER", groupListen, "run as USER once everything is open", &o.user),
		text("j", "chroot", "DIR", groupListen, "change the root to DIR once everything is open", &o.chroot),
		o.edit("d", "debug", "", groupListen, "say more; twice: dump what passes", func(c *proxy.Config, _ string) error { c.Debug++; return nil }),
		o.toggle("a", "ascii", "ascii", groupListen, "dump in ASCII rather than hex"),
	}
}

func (o *options) serverFlags() []flag {
	return []flag{
		o.toggle("r", "roundrobin", "roundrobin", groupServers, "round robin without client tracking"),
		o.toggle("h", "hash", "hash", groupServers, "first choice by a hash on the client's address"),
		o.edit("N", "hash-only", "", groupServers, "the same, and do not remember the client's server",
			func(c *proxy.Config, _ string) error { c.Mode.Hash, c.Forgetful = true, true; return nil }),
		o.toggle("W", "weight", "weight", groupServers, "by weight"),
		o.toggle("", "prio", "prio", groupServers, "by priority"),
		o.toggle("s", "stubborn", "stubborn", groupServers, "no failover: the first choice or nothing"),
		text("e", "emergency", "HOST[:PORT]", groupServers, "server for when no other is left", &o.emergency),
		text("B", "abuse", "HOST[:PORT]", groupServers, "server for clients that client_acl denies", &o.abuse),
	}
}

func (o *options) limitFlags() []flag {
	return []flag{
		o.count("x", "conn-max", groupLimits, "simultaneous connections [500]", 1, func(c *proxy.Config) *int { return &c.ConnMax }),
		o.count("c", "clients-max", groupLimits, "size of the client table [2048]", 1, func(c *proxy.Config) *int { return &c.ClientsMax }),
		o.count("q", "backlog", groupLimits, "connections that may wait to be accepted, at least 50 [500]", 50, func(c *proxy.Config) *int { return &c.Backlog }),
		o.setting("b", "blacklist", "SECONDS", "blacklist", groupLimits, "how long a failed server is left alone [30]"),
		o.setting("T", "tracking", "SECONDS", "tracking", groupLimits, "how long a client is remembered, 0 for ever [0]"),
		o.setting("t", "timeout", "SECONDS", "timeout", groupLimits, "connect time-out [5]"),
		o.setting("", "idle-timeout", "SECONDS", "idle_timeout", groupLimits, "close idle connections, 0 never [with -H 60, else 0]"),
	}
}

func (o *options) tlsFlags() []flag {
	return []flag{
		o.edit("E", "cert", "FILE", groupTLS, "certificate, best with its whole chain, in PEM", func(c *proxy.Config, v string) error { c.Certificates.Cert = v; return nil }),
		o.edit("K", "key", "FILE", groupTLS, "its key in PEM, if it is not in the same file", func(c *proxy.Config, v string) error { c.Certificates.Key = v; return nil }),
		o.edit("", "self-signed", "[NAME,…]", groupTLS, "make a certificate in memory, for trying things out", selfSigned),
		o.edit("G", "ca-file", "FILE", groupTLS, "CAs for client certificates, or the word system", func(c *proxy.Config, v string) error { c.Certificates.CAFile = v; return nil }),
		o.edit("A", "ca-dir", "DIR", groupTLS, "the same as a directory in hashed form (openssl rehash)", func(c *proxy.Config, v string) error { c.Certificates.CADir = v; return nil }),
		o.edit("R", "require-client-cert", "", groupTLS, "require a valid client certificate", func(c *proxy.Config, _ string) error { c.TLS.RequireClientCert = true; return nil }),
		o.edit("L", "tls-min", "PROTOCOL", groupTLS, "tls1.2 or tls1.3 at least; ssl23, ssl2, ssl3, tls1 mean the default, tls1.2", tlsMin),
		o.edit("Z", "tls-compat", "", groupTLS, "allow TLS 1.0, 1.1 and CBC suites, for very old clients", func(c *proxy.Config, _ string) error { c.TLS.Compat = true; return nil }),
		o.setting("", "handshake-timeout", "SECONDS", "handshake_timeout", groupTLS, "how long a handshake may take [10]"),
	}
}

func selfSigned(c *proxy.Config, names string) error {
	if c.Certificates.SelfSigned = names; names == "" {
		c.Certificates.SelfSigned = certs.DefaultNames
	}
	return nil
}

func tlsMin(c *proxy.Config, v string) error {
	switch v {
	case "ssl23", "ssl2", "ssl3", "tls1", "tls1.2", "tls1.3":
		c.TLS.MinVersion = v
		return nil
	}
	return fmt.Errorf("protocol version %s not known; expected tls1.2 or tls1.3 (or ssl23, ssl2, ssl3, tls1 for the default)", v)
}

func (o *options) httpFlags() []flag {
	return []flag{
		o.toggle("H", "http", "http", groupHTTP, "HTTP mode: check every request, tell servers the client in X-Forwarded-For"),
		o.setting("", "trusted-proxies", "CIDR,…", "trusted_proxies", groupHTTP, "peers whose X-Forwarded-For is kept and appended to"),
		o.setting("", "head-max", "BYTES", "head_max", groupHTTP, "largest request or response head [65536]"),
		o.setting("", "head-timeout", "SECONDS", "head_timeout", groupHTTP, "how long a request head may take [30]"),
		o.setting("", "geoip", "FILE", "geoip", groupClients, "MaxMind database for country entries in access lists; repeat for more"),
	}
}

func (o *options) otherFlags() []flag {
	return []flag{
		on("P", "", groupIgnored, "the kernel's best way to wait is always used", func() {}),
		with("m", "multi-accept", "N", groupIgnored, "connections are always accepted as they come", func(string) error { return nil }),
		o.obsolete("D", ""), o.obsolete("n", ""), o.obsolete("Q", ""), o.obsolete("S", "N"),
		with("i", "", "NAME", groupIgnored, "Windows only", func(string) error { o.windowsService = true; return nil }),
	}
}

const synopsis = `usage: pen [flags] [host:]port|/path/to/socket server...
       pen [flags] --listen ADDR[,tls|,plain] server...
a server is host[:port[:max[:hard[:weight[:prio]]]]], [v6addr]:port... or /path/to/socket
`

// helpText is what --help prints.
func (o *options) helpText() string {
	var b strings.Builder
	b.WriteString("pen balances TCP connections and UDP datagrams over servers; with -E and -H it puts HTTPS before a farm of plain HTTP servers.\n\n" +
		synopsis + "example: pen -f -E cert.pem -K key.pem -H 8443 host1:8080 host2:8080\n")
	group := ""
	for _, f := range o.flags() {
		if f.group != group {
			group = f.group
			fmt.Fprintf(&b, "\n%s\n", group)
		}
		names := []string{}
		for _, l := range f.Letters {
			names = append(names, "-"+string(l))
		}
		if f.Long != "" {
			names = append(names, "--"+f.Long)
		}
		line := strings.Join(names, ", ")
		switch {
		case strings.HasPrefix(f.Arg, "["):
			line += "[=" + f.Arg[1:]
		case f.Arg != "":
			line += " " + f.Arg
		}
		fmt.Fprintf(&b, "  %-34s %s\n", line, f.help)
	}
	b.WriteString("\nThe manual pages pen(1) and penctl(1) say more; penctl ADDR help lists the control commands.\n")
	return b.String()
}
