package control

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync"
	"time"

	"edgepen/proxy"
)

// command is a row of the table.
type command struct {
	name string
	args string // what may follow, for people
	help string // what it does, in a line
	no   bool   // "no NAME" is possible
	run  func(*call) error
}

func (c *command) usage() string { return strings.TrimSpace(c.name + " " + c.args) }

// takes is how many words may follow, as args says; "…" stands for any number. Behind "no NAME" only a list's number may.
func (c *command) takes(no bool) int {
	switch {
	case no && c.name == "acl":
		return 1
	case no:
		return 0
	case strings.Contains(c.args, "…"):
		return math.MaxInt
	}
	return len(strings.Fields(c.args))
}

// table is all commands: built once, since they refer to it themselves ("help").
var table struct {
	once   sync.Once
	rows   []*command // in the order of the help text
	byName map[string]*command
}

func commands() []*command {
	table.once.Do(func() {
		table.rows = append(append(settings(), inert()...), absent()...)
		table.byName = map[string]*command{}
		for _, c := range table.rows {
			table.byName[c.name] = c
		}
	})
	return table.rows
}

func lookup(name string) *command {
	commands()
	return table.byName[name]
}

// settings is the commands that do something.
func settings() []*command {
	return []*command{
		{"acl", "N permit|deny ADDRESS…", "append an entry to access list N; no acl N empties it", true, (*call).acl},
		setting("blacklist", "how long a failed server is left alone", 0, func(c *proxy.Config) *time.Duration { return &c.Blacklist }),
		list("client_acl", "access list for clients", func(c *proxy.Config) *int { return &c.ClientACL }),
		growing("clients_max", "size of the client table; it only grows", func(c *proxy.Config) *int { return &c.ClientsMax }),
		growing("conn_max", "simultaneous connections; it only grows", func(c *proxy.Config) *int { return &c.ConnMax }),
		{"control", "", "print the control address", false, (*call).control},
		list("control_acl", "access list for the control port", func(c *proxy.Config) *int { return &c.ControlACL }),
		{"debug", "[N]", "debug level: 0, 1 (what happens to clients and servers), 2 (commands too)", false, (*call).debug},
		{"exit", "", "end pen, if -X allows it", false, (*call).exit},
		{"geoip", "FILE…", "GeoIP databases for country entries; no geoip closes them", true, (*call).geoip},
		setting("handshake_timeout", "how long a TLS handshake may take, 0 for ever", 0, func(c *proxy.Config) *time.Duration { return &c.HandshakeTimeout }),
		toggle("hash", "first choice by a hash on the client's address", func(c *proxy.Config) *bool { return &c.Mode.Hash }),
		{"head_max", "[BYTES]", "largest HTTP request or response head", false, (*call).headMax},
		setting("head_timeout", "how long an HTTP request head may take, 0 for ever", 0, func(c *proxy.Config) *time.Duration { return &c.HeadTimeout }),
		{"help", "", "list the commands", false, (*call).help},
		toggle("http", "HTTP mode: X-Forwarded-For and its like", func(c *proxy.Config) *bool { return &c.HTTP }),
		{"idle_timeout", "[SECONDS]", "close a connection on which nothing moves, 0 never", false, (*call).idleTimeout},
		{"include", "FILE", "run the commands of a file", false, (*call).includeFile},
		{"listen", "[ADDRESS]", "print the listening address, or replace it", false, (*call).listen},
		{"mode", "", "print how servers are chosen", false, (*call).mode},
		{"pending_max", "N", "unfinished connects to servers", false, (*call).pendingMax},
		{"pid", "", "print the process id", false, (*call).pid},
		toggle("prio", "choose by priority", func(c *proxy.Config) *bool { return &c.Mode.Prio }),
		{"recent", "[SECONDS]", "clients of the last 300 or so many seconds", false, (*call).recent},
		{"reload", "", "do what HUP does: read the -F file and the certificates again", false, (*call).reload},
		toggle("roundrobin", "round robin without client tracking", func(c *proxy.Config) *bool { return &c.Mode.RoundRobin }),
		{"server", "N [acl A] [address A] [port P] [max M] [hard H] [weight W] [prio P] [blacklist T]", "change or create server N", false, (*call).server},
		{"servers", "", "print the servers", false, (*call).servers},
		toggle("stubborn", "no failover", func(c *proxy.Config) *bool { return &c.Mode.Stubborn }),
		setting("timeout", "connect time-out", 1, func(c *proxy.Config) *time.Duration { return &c.ConnectTimeout }),
		setting("tracking", "how long a client is remembered, 0 for ever", 0, func(c *proxy.Config) *time.Duration { return &c.Tracking }),
		{"trusted_proxies", "CIDR…", "peers whose X-Forwarded-For is kept and appended to; no trusted_proxies: none", true, (*call).trustedProxies},
		toggle("weight", "choose by weight", func(c *proxy.Config) *bool { return &c.Mode.Weight }),

		toggle("abort_on_error", "accepted, without effect", func(c *proxy.Config) *bool { return &c.AbortOnError }),
		toggle("ascii", "accepted, without effect", func(c *proxy.Config) *bool { return &c.ASCII }),
	}
}

// inert is the commands that old files may hold and that change nothing here.
func inert() []*command {
	var rows []*command
	for _, name := range []string{"block", "delayed_forward", "tcp_nodelay"} {
		rows = append(rows, &command{name, "", "accepted, without effect", true, func(*call) error { return nil }})
	}
	for _, name := range []string{"epoll", "kqueue", "poll", "select"} {
		rows = append(rows, &command{name, "", "accepted, without effect", false, func(*call) error { return nil }})
	}
	return rows
}

// absent is the original's commands that this version does not have. They are refused by name.
func absent() []*command {
	var rows []*command
	for _, name := range []string{"close", "connection", "dsr_if", "dsr_ip", "dummy", "idlers", "keepalive", "log", "peek",
		"socket", "source", "ssl_ciphers", "ssl_client_renegotiation_interval", "ssl_ocsp_response", "ssl_option", "ssl_sni_path",
		"status", "tarpit_acl", "tcp_fastclose", "transparent", "web_stats", "write"} {
		rows = append(rows, &command{name: name, no: true})
	}
	return rows
}

// toggle is a setting that is switched on by its name and off by "no" before it.
func toggle(name, help string, field func(*proxy.Config) *bool) *command {
	return &command{name, "", help, true, func(c *call) error {
		*field(&c.Config) = !c.no
		return nil
	}}
}

// setting is a time in seconds. The reply is the figure in force.
func setting(name, help string, min int, field func(*proxy.Config) *time.Duration) *command {
	return &command{name, "[SECONDS]", help, false, func(c *call) error {
		f := field(&c.Config)
		if len(c.words) > 0 {
			d, err := seconds(c.words[0], min)
			if err != nil {
				return fmt.Errorf("%s: %v", name, err)
			}
			*f = d
		}
		c.printf("%d\n", inSeconds(*f))
		return nil
	}}
}

// growing is the size of a table. A smaller one than there is leaves it as it is.
func growing(name, help string, field func(*proxy.Config) *int) *command {
	return &command{name, "[N]", help, false, func(c *call) error {
		f := field(&c.Config)
		if len(c.words) > 0 {
			n, err := number(c.words[0], "a number", 1, 1<<31-1)
			if err != nil {
				return fmt.Errorf("%s: %v", name, err)
			}
			*f = max(*f, n)
		}
		c.printf("%d\n", *f)
		return nil
	}}
}

// list is the number of an access list.
func list(name, help string, field func(*proxy.Config) *int) *command {
	return &command{name, "[N]", help, false, func(c *call) error {
		f := field(&c.Config)
		if len(c.words) > 0 {
			n, err := number(c.words[0], "an access list", 0, proxy.Lists-1)
			if err != nil {
				return fmt.Errorf("%s: %v", name, err)
			}
			*f = n
		}
		c.printf("%d\n", *f)
		return nil
	}}
}

// prefixes reads CIDRs, separated by blanks or commas; an address alone is itself.
func prefixes(words []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, w := range strings.FieldsFunc(strings.Join(words, ","), func(r rune) bool { return r == ',' }) {
		p, err := netip.ParsePrefix(w)
		if a, aerr := netip.ParseAddr(w); aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no network; expected ADDRESS/LENGTH, as in 192.0.2.0/24 or 2001:db8::/32", w)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}
