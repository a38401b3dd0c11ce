package control

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
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

// takes is how many words may follow, as args says; "…" stands for any number. Behind "no NAME" most take none.
func (c *command) takes(no bool) int {
	switch {
	case no:
		return map[string]int{"acl": 1, "cert": 1, "key": 1, "crl": 1, "acme": 1, "acme_on_demand": 1, "acme_challenges": 1, "sni_route": 1, "error_page": 1, "client_deny": 2}[c.name]
	case strings.Contains(c.args, "…"):
		return math.MaxInt
	}
	return len(strings.Fields(c.args))
}

// table is all commands: built once, since they refer to it themselves ("help").
var table struct {
	once   sync.Once
	rows   []*command // by name
	byName map[string]*command
}

func commands() []*command {
	table.once.Do(func() {
		table.rows = slices.Concat(settings(), forwardingSettings(), clientSettings(), tlsSettings(), inert())
		slices.SortStableFunc(table.rows, func(a, b *command) int { return strings.Compare(a.name, b.name) })
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
		{"abuse", "HOST[:PORT…]", "server for clients that client_acl denies; no abuse: none", true, (*call).abuse},
		{"access_log", "[FILE|-]", "where a line for each request and connection goes, - is standard output; no access_log: nowhere", true, (*call).accessLog},
		{"access_log_format", "[common|combined|json|'FORMAT']", "what the lines of access_log are; no access_log_format: combined", true, (*call).accessLogFormat},
		{"access_log_full", "[drop|block]", "what becomes of lines that come faster than they can be written: drop and count them, or let requests wait", false, (*call).accessLogFull},
		{"acl", "N permit|deny ENTRY… | list | test ADDRESS… | apply", "append an entry to access list N, show its entries, ask it, or end the connections that it refuses; no acl N[-M] empties lists", true, (*call).acl},
		toggle("ascii", "debug dumps in ASCII rather than hex", func(c *proxy.Config) *bool { return &c.ASCII }),
		number1("backlog", "connections that may wait to be accepted, for listeners opened from now on", 50, func(c *proxy.Config) *int { return &c.Backlog }),
		setting("blacklist", "how long a failed server is left alone", 0, func(c *proxy.Config) *time.Duration { return &c.Blacklist }),
		list("client_acl", "access list for clients", func(c *proxy.Config) *int { return &c.ClientACL }),
		{"body_max", "[BYTES]", "largest HTTP request body, 0 any size", false, (*call).bodyMax},
		growing("clients_max", "size of the client table; it only grows", func(c *proxy.Config) *int { return &c.ClientsMax }),
		{"close", "[N]", "end connection N", false, (*call).closeConnection},
		{"connection", "[N]", "describe connection N", false, (*call).connection},
		growing("conn_max", "simultaneous connections; it only grows", func(c *proxy.Config) *int { return &c.ConnMax }),
		{"control", "", "print the control address", false, (*call).control},
		list("control_acl", "access list for the control port", func(c *proxy.Config) *int { return &c.ControlACL }),
		{"debug", "[N]", "debug level: 0, 1 (what happens to clients and servers), 2 (commands, and dumps of what passes)", false, (*call).debug},
		text("dsr_if", "IF", "direct server return on an interface; at the start only", func(c *proxy.Config) *string { return &c.DSRInterface }),
		text("dsr_ip", "ADDRESS", "kept, without effect", func(c *proxy.Config) *string { return &c.DSRAddress }),
		setting("drain_timeout", "how long connections may go on when pen is told to end, 0 not at all", 0, func(c *proxy.Config) *time.Duration { return &c.DrainTimeout }),
		toggle("dummy", "answer every request with a few words of our own", func(c *proxy.Config) *bool { return &c.Dummy }),
		{"emergency", "HOST[:PORT…]", "server for when no other is left; no emergency: none", true, (*call).emergency},
		{"exit", "", "end pen, if -X allows it", false, (*call).exit},
		{"geoip", "[FILE…]", "databases for country, continent and asn entries; no geoip closes them", true, (*call).geoip},
		setting("handshake_timeout", "how long a TLS handshake may take, 0 for ever", 0, func(c *proxy.Config) *time.Duration { return &c.HandshakeTimeout }),
		toggle("hash", "first choice by a hash on the client's address", func(c *proxy.Config) *bool { return &c.Mode.Hash }),
		toggle("hash_only", "do not remember the client's server; with hash this is -N", func(c *proxy.Config) *bool { return &c.Forgetful }),
		{"head_max", "[BYTES]", "largest HTTP request or response head", false, (*call).headMax},
		setting("head_timeout", "how long an HTTP request head may take, 0 for ever", 0, func(c *proxy.Config) *time.Duration { return &c.HeadTimeout }),
		{"help", "", "list the commands", false, (*call).help},
		{"health", "", "what health checks have found out about the servers", false, (*call).health},
		{"health_check", "[tcp|tls|http PATH]", "check servers, so that those that are down are passed over before a client meets them; no health_check: do not", true, (*call).healthCheck},
		number1("health_fall", "failed health checks in a row that take a server down", 1, func(c *proxy.Config) *int { return &c.Health.Fall }),
		{"health_host", "[NAME]", "the Host that health checks ask for; no health_host: the server's name", true, (*call).healthHost},
		setting("health_interval", "how often each server is checked", 1, func(c *proxy.Config) *time.Duration { return &c.Health.Interval }),
		number1("health_rise", "good health checks in a row that bring a server up", 1, func(c *proxy.Config) *int { return &c.Health.Rise }),
		{"health_status", "[N|N-M…]", "statuses of an answer to a health check that are good; no health_status: 200-399", true, (*call).healthStatus},
		setting("health_timeout", "how long a health check may take", 1, func(c *proxy.Config) *time.Duration { return &c.Health.Timeout }),
		toggle("http", "HTTP mode: X-Forwarded-For and its like", func(c *proxy.Config) *bool { return &c.HTTP }),
		{"hsts", "[SECONDS [includesubdomains] [preload]]", "tell browsers to use TLS only from now on, for so long; no hsts: say nothing", true, (*call).hsts},
		toggle("http2", "offer HTTP/2 to clients, in HTTP mode with TLS", func(c *proxy.Config) *bool { return &c.HTTP2 }),
		toggle("http3", "offer HTTP/3 as well, in HTTP mode with TLS: over UDP on the same address and port", func(c *proxy.Config) *bool { return &c.HTTP3 }),
		number1("http3_retry", "handshakes under way from which on clients of HTTP/3 have to show first that their address is their own, 0 always", 0, func(c *proxy.Config) *int { return &c.HTTP3Retry }),
		toggle("http2_websocket", "tell clients of HTTP/2 that they may open WebSockets on streams", func(c *proxy.Config) *bool { return &c.HTTP2WebSocket }),
		number1("http2_streams", "requests that a client of HTTP/2 or HTTP/3 may have under way at once", 1, func(c *proxy.Config) *int { return &c.HTTP2Streams }),
		toggle("http_reuse", "use connections to HTTP servers for other clients as well; no http_reuse: each belongs to one client's", func(c *proxy.Config) *bool { return &c.Reuse }),
		{"idle_timeout", "[SECONDS]", "close a connection on which nothing moves, 0 never; no idle_timeout: the default of the mode", true, (*call).idleTimeout},
		{"idlers", "[N]", "keep N connections to the servers open in advance", false, (*call).idlers},
		{"include", "FILE", "run the commands of a file", false, (*call).includeFile},
		{"listen", "[ADDRESS]", "print the listening address, or replace it", false, (*call).listen},
		{"log", "[FILE|HOST:PORT]", "where requests are recorded; no log: nowhere", true, (*call).logTo},
		{"mode", "", "print how servers are chosen", false, (*call).mode},
		toggle("peek", "choose a server only once the client has said something", func(c *proxy.Config) *bool { return &c.Peek }),
		{"pending_max", "N", "unfinished connects to servers", false, (*call).pendingMax},
		{"pid", "", "print the process id", false, (*call).pid},
		toggle("prio", "choose by priority", func(c *proxy.Config) *bool { return &c.Mode.Prio }),
		{"proxy_out", "[v1|v2 [BYTES]]", "introduce clients to servers by a PROXY header of that version, of version 2 with their certificates if it is then of no more BYTES; no proxy_out: by none", true, (*call).proxyOut},
		{"proxy_protocol", "[CIDR… [required|optional|refused]]", "peers that have to introduce their clients by a PROXY header, may, or must not; the first that fits counts; no proxy_protocol: none", true, (*call).proxyProtocol},
		number1("requests_max", "requests of a client's connection, 0 any number", 0, func(c *proxy.Config) *int { return &c.RequestsMax }),
		{"response_remove", "[NAME…]", "fields of servers' responses that are left out; no response_remove: none", true, (*call).responseRemove},
		{"recent", "[SECONDS]", "clients of the last 300 or so many seconds", false, (*call).recent},
		{"reload", "", "do what HUP does: read the -F file and all others again", false, (*call).reload},
		setting("resolve_interval", "how often the servers' names are looked up again, 0 only at HUP", 0, func(c *proxy.Config) *time.Duration { return &c.Resolve }),
		toggle("roundrobin", "round robin without client tracking", func(c *proxy.Config) *bool { return &c.Mode.RoundRobin }),
		{"server", "N [acl A] [address A] [port P] [max M] [hard H] [weight W] [prio P] [blacklist T]", "change or create server N", false, (*call).server},
		{"servers", "", "print the servers", false, (*call).servers},
		{"socket", "N", "the connection that descriptor N belongs to", false, (*call).socket},
		{"socket_mode", "[MODE]", "permissions of Unix sockets that are listened on from now on, in octal; no socket_mode: by the umask", true, (*call).socketMode},
		{"source", "ADDRESS", "our address towards the servers; no source: the system's choice", true, (*call).source},
		{"status", "", "the status page, if web_stats names its file", false, (*call).status},
		toggle("stubborn", "no failover", func(c *proxy.Config) *bool { return &c.Mode.Stubborn }),
		{"tarpit_acl", "[N]", "with dsr_if: answer for the addresses that list N permits; no tarpit_acl: for none", true, (*call).tarpit},
		{"tcp_fastclose", "up|down|both|off", "close both sides as soon as the server's, the client's or either one has closed", false, (*call).fastClose},
		setting("timeout", "connect time-out", 1, func(c *proxy.Config) *time.Duration { return &c.ConnectTimeout }),
		setting("tracking", "how long a client is remembered, 0 for ever", 0, func(c *proxy.Config) *time.Duration { return &c.Tracking }),
		toggle("transparent", "connect to servers from the client's address (Linux, IPv4)", func(c *proxy.Config) *bool { return &c.Transparent }),
		{"trusted_proxies", "[CIDR…]", "peers whose X-Forwarded-For is kept and appended to; no trusted_proxies: none", true, (*call).trustedProxies},
		number1("udp_unanswered", "datagrams without an answer that make a server count as failed, 0 any number", 0, func(c *proxy.Config) *int { return &c.UDPUnanswered }),
		text("web_stats", "[FILE]", "file for status pages", func(c *proxy.Config) *string { return &c.WebStats }),
		toggle("weight", "choose by weight", func(c *proxy.Config) *bool { return &c.Mode.Weight }),

		{"write", "[FILE]", "write all settings into a file that -F reads", false, (*call).write},

		toggle("abort_on_error", "kept, without effect", func(c *proxy.Config) *bool { return &c.AbortOnError }),
		toggle("keepalive", "kept, without effect: there are always keep-alive probes", func(c *proxy.Config) *bool { return &c.KeepAlive }),
		toggle("tcp_nodelay", "kept, without effect: it is always so", func(c *proxy.Config) *bool { return &c.TCPNoDelay }),
	}
}

// deaf is the original's commands that it passes over in silence behind "no": a file of its that says so has to be read.
var deaf = map[string]bool{
	"blacklist": true, "client_acl": true, "clients_max": true, "close": true, "conn_max": true, "connection": true, "control": true, "control_acl": true, "debug": true, "epoll": true,
	"exit": true, "idlers": true, "include": true, "kqueue": true, "listen": true, "mode": true, "pending_max": true, "pid": true,
	"poll": true, "recent": true, "select": true, "server": true, "servers": true, "socket": true, "ssl_client_renegotiation_interval": true, "status": true,
	"tcp_fastclose": true, "timeout": true, "tracking": true, "write": true,
}

// inert is the commands that old files may hold and that change nothing here.
func inert() []*command {
	var rows []*command
	for _, name := range []string{"block", "delayed_forward"} {
		rows = append(rows, &command{name, "", "accepted, without effect", true, func(*call) error { return nil }})
	}
	for _, name := range []string{"epoll", "kqueue", "poll", "select"} {
		rows = append(rows, &command{name, "", "accepted, without effect", false, func(*call) error { return nil }})
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

// number1 is a plain number.
func number1(name, help string, min int, field func(*proxy.Config) *int) *command {
	return &command{name, "[N]", help, false, func(c *call) error {
		f := field(&c.Config)
		if len(c.words) > 0 {
			n, err := number(c.words[0], "a number", min, 1<<31-1)
			if err != nil {
				return fmt.Errorf("%s: %v", name, err)
			}
			*f = n
		}
		c.printf("%d\n", *f)
		return nil
	}}
}

// text is a word, most often the name of a file; "no NAME" empties it. It is printed if it may be asked for without one.
func text(name, args, help string, field func(*proxy.Config) *string) *command {
	return &command{name, args, help + "; no " + name + ": none", true, func(c *call) error {
		f := field(&c.Config)
		switch {
		case c.no:
			*f = ""
		case len(c.words) > 0:
			*f = c.words[0]
		case args[0] != '[':
			return fmt.Errorf("%s wants a value: %s", name, c.cmd.usage())
		}
		if !c.no && args[0] == '[' && *f != "" {
			c.printf("%s\n", *f)
		}
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
