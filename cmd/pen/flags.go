package main

import (
	"errors"
	"fmt"
	"strings"

	"edgepen/certs"
	"edgepen/proxy"
	"edgepen/proxy/control"
)

// The headings of the help text, in its order.
const (
	groupListen   = "Listening and running"
	groupServers  = "Choosing a server"
	groupLimits   = "Limits and times"
	groupTLS      = "TLS"
	groupAuth     = "Client certificates"
	groupACME     = "Certificates by ACME"
	groupUpstream = "TLS to the servers"
	groupHTTP     = "HTTP"
	groupClients  = "Clients"
	groupIgnored  = "Accepted without effect"
)

// flags is every flag, in the order of the help text.
func (o *options) flags() []flag {
	var all []flag
	for _, part := range [][]flag{o.listenFlags(), o.serverFlags(), o.limitFlags(), o.tlsFlags(), o.clientFlags(), o.acmeFlags(), o.upstreamFlags(), o.httpFlags(), o.otherFlags()} {
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
		on("", "check", groupListen, "check the command line and every file it names, and exit", func() { o.check = true }),
		on("", "explain", groupListen, "say what it would do in terms of security, and exit", func() { o.explain = true }),
		with("", "listen", "ADDR[,tls|,plain|,redirect]", groupListen, "listen here; repeat for more. All operands are then servers", o.addListener),
		with("", "redirect", "ADDR", groupListen, "send plain HTTP to HTTPS and answer ACME here, most often on 80; repeat for more", o.addRedirect),
		o.edit("U", "udp", "", groupListen, "balance UDP", func(c *proxy.Config, _ string) error { c.UDP = true; return nil }),
		o.setting("", "socket-mode", "MODE", "socket_mode", groupListen, "permissions of a Unix socket that is listened on, as 660"),
		o.setting("", "proxy-protocol", "CIDR,…[,HOW]", "proxy_protocol", groupListen, "peers that introduce clients by a PROXY header: required, optional, refused [required]; repeat for more"),
		text("F", "config", "FILE", groupListen, "read commands from FILE, now and at HUP", &o.config),
		with("Oo", "option", "COMMAND", groupListen, "run a control command now, in the order of the flags", o.runCommand),
		o.edit("C", "control", "ADDR", groupListen, "control port: port, host:port or /path/to/socket", func(c *proxy.Config, v string) error {
			if v == "" {
				return errors.New("an empty value; expected ADDR")
			}
			o.control, c.ControlPort = v, true
			return nil
		}),
		o.edit("X", "exit", "", groupListen, "allow the control command exit", func(c *proxy.Config, _ string) error { c.ExitEnabled = true; return nil }),
		o.setting("l", "log", "FILE|HOST:PORT", "log", groupListen, "record requests in FILE, or send them to a penlogd"),
		o.setting("", "access-log", "FILE|-", "access_log", groupListen, "a line for each request and connection to FILE, or to standard output"),
		o.accessLogFormat(),
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
		o.setting("", "health-check", "tcp|tls|http,PATH", "health_check", groupServers, "check servers, so that no client meets one that is down"),
		o.setting("", "health-interval", "SECONDS", "health_interval", groupServers, "how often [5]"),
		o.setting("", "health-timeout", "SECONDS", "health_timeout", groupServers, "how long a check may take [2]"),
		o.setting("", "health-rise", "N", "health_rise", groupServers, "good checks in a row that bring a server up [2]"),
		o.setting("", "health-fall", "N", "health_fall", groupServers, "failed checks in a row that take a server down [3]"),
		o.setting("", "health-status", "N[-M],…", "health_status", groupServers, "statuses that are good [200-399]"),
		o.setting("", "health-host", "NAME", "health_host", groupServers, "Host that checks ask for [the server's name]"),
		o.setting("", "proxy-out", "v1|v2[,N]", "proxy_out", groupServers, "introduce clients to servers by a PROXY header, with UDP (v2) before each datagram; with certificates (v2) where it then has at most N bytes"),
		text("e", "emergency", "HOST[:PORT]", groupServers, "server for when no other is left", &o.emergency),
		text("B", "abuse", "HOST[:PORT]", groupServers, "server for clients that client_acl denies", &o.abuse),
	}
}

func (o *options) limitFlags() []flag {
	return []flag{
		o.count("x", "conn-max", groupLimits, "simultaneous connections [500]", 1, 1, func(c *proxy.Config) *int { return &c.ConnMax }),
		o.count("c", "clients-max", groupLimits, "size of the client table [2048]", 1, 1, func(c *proxy.Config) *int { return &c.ClientsMax }),
		o.count("q", "backlog", groupLimits, "connections that may wait to be accepted, at least 50 [500]", 0, 50, func(c *proxy.Config) *int { return &c.Backlog }),
		o.setting("b", "blacklist", "SECONDS", "blacklist", groupLimits, "how long a failed server is left alone [30]"),
		o.setting("T", "tracking", "SECONDS", "tracking", groupLimits, "how long a client is remembered, 0 for ever [0]"),
		o.setting("t", "timeout", "SECONDS", "timeout", groupLimits, "connect time-out [5]"),
		o.setting("", "drain-timeout", "SECONDS", "drain_timeout", groupLimits, "how long connections may go on when pen is told to end [0]"),
		o.setting("", "idle-timeout", "SECONDS", "idle_timeout", groupLimits, "close idle connections, 0 never [with -H 60, else 0]"),
	}
}

func (o *options) tlsFlags() []flag {
	return []flag{
		o.edit("E", "cert", "FILE", groupTLS, "certificate, best with its whole chain, in PEM; repeat for more", func(c *proxy.Config, v string) error {
			c.Certificates.Certs = append(c.Certificates.Certs, v)
			return nil
		}),
		o.edit("K", "key", "FILE", groupTLS, "its key in PEM, if it is not in the same file; repeat for more", func(c *proxy.Config, v string) error {
			c.Certificates.Keys = append(c.Certificates.Keys, v)
			return nil
		}),
		o.setting("", "sni-path", "DIR", "ssl_sni_path", groupTLS, "certificates by name: NAME.crt, NAME.key, NAME.ca, NAME.ocsp"),
		o.toggle("", "strict-sni", "strict_sni", groupTLS, "refuse clients that name no host, or one without a certificate"),
		o.edit("", "self-signed", "[NAME,…]", groupTLS, "make a certificate in memory, for trying things out", selfSigned),
		o.edit("L", "tls-min", "PROTOCOL", groupTLS, "tls1.2 or tls1.3 at least; ssl23, ssl2, ssl3, tls1 mean the default, tls1.2", tlsMin),
		o.toggle("Z", "tls-compat", "tls_compat", groupTLS, "allow TLS 1.0, 1.1 and CBC suites, for very old clients"),
		o.setting("", "tls-profile", "PROFILE", "tls_profile", groupTLS, "modern or intermediate, after Mozilla's recommendations [intermediate]"),
		o.setting("", "ciphers", "CIPHERS", "ssl_ciphers", groupTLS, "cipher suites of TLS 1.2, as an OpenSSL cipher string"),
		o.setting("", "tls-groups", "GROUP:…", "tls_groups", groupTLS, "groups for the key exchange"),
		o.toggle("", "require-pq", "tls_require_pq", groupTLS, "refuse clients without a hybrid post-quantum key exchange"),
		o.setting("", "handshake-timeout", "SECONDS", "handshake_timeout", groupTLS, "how long a handshake may take [10]"),
		o.setting("", "ticket-keys", "FILE", "ticket_keys", groupTLS, "session ticket keys that machines share [made and changed by itself]"),
		o.setting("", "ocsp", "FILE", "ssl_ocsp_response", groupTLS, "OCSP response for the certificate [fetched]"),
		o.toggle("", "no-ocsp-fetch", "no ocsp_fetch", groupTLS, "ask no OCSP responder"),
		o.setting("", "ech-keys", "FILE", "ech_keys", groupTLS, "keys for Encrypted Client Hello"),
		o.setting("", "ech-name", "NAME", "ech_name", groupTLS, "make them, with this public name, if the file is not there"),
		o.setting("", "plain-http", "HOW", "plain_http", groupTLS, "what plain HTTP on a TLS port gets: redirect or error [redirect]"),
		o.setting("", "watch", "SECONDS", "watch_interval", groupTLS, "how often the files of certificates, lists and databases are looked at, 0 never [5]"),
		o.routeFlag(),
	}
}

// accessLogFormat is --access-log-format; a command, and so the file that write writes, can hold one kind of quotes only.
func (o *options) accessLogFormat() flag {
	const help = "common, combined, json or a string as '%h %t \"%r\" %>s' [combined]"
	return with("", "access-log-format", "FORMAT", groupListen, help, func(v string) error {
		if strings.Contains(v, `"`) && strings.Contains(v, "'") {
			return errors.New("a format has either double or single quotes, not both")
		}
		return o.do("access_log_format " + control.Quote(v))
	})
}

// routeFlag is --sni-route: a name and, behind the sign, servers separated by commas.
func (o *options) routeFlag() flag {
	return with("", "sni-route", "NAME=SERVER,…", groupTLS, "pass clients that ask for NAME on without ending TLS; repeat for more", func(v string) error {
		name, servers, ok := strings.Cut(v, "=")
		if !ok {
			return fmt.Errorf("%q: expected NAME=SERVER,…", v)
		}
		return o.do("sni_route " + control.Quote(name) + " " + strings.ReplaceAll(servers, ",", " "))
	})
}

func (o *options) clientFlags() []flag {
	return []flag{
		o.setting("G", "ca-file", "FILE", "ca_file", groupAuth, "CAs for client certificates, or the word system"),
		o.setting("A", "ca-dir", "DIR", "ca_dir", groupAuth, "the same as a directory in hashed form (openssl rehash)"),
		o.toggle("R", "require-client-cert", "client_auth required", groupAuth, "require a valid client certificate"),
		o.setting("", "client-auth", "HOW", "client_auth", groupAuth, "off, optional or required [off]"),
		o.setting("", "crl", "FILE", "crl", groupAuth, "revocation list for client certificates; repeat for more"),
		o.setting("", "crl-check", "HOW", "crl_check", groupAuth, "what a missing or outdated list means: off, soft, hard [hard]"),
		o.toggle("", "crl-fetch", "crl_fetch", groupAuth, "fetch the lists that client certificates name"),
		with("", "client-fields", "HOW,…", groupAuth, "tell HTTP servers in rfc9440, x-ssl, both, or none [rfc9440,x-ssl]", func(v string) error {
			command := "client_fields " + strings.ReplaceAll(v, ",", " ")
			if v == "none" {
				command = "no client_fields"
			}
			return o.do(command)
		}),
	}
}

func (o *options) acmeFlags() []flag {
	list := func(long, arg, command, help string) flag {
		return with("", long, arg, groupACME, help, func(v string) error {
			return o.do(command + " " + strings.ReplaceAll(v, ",", " "))
		})
	}
	return []flag{
		list("acme", "NAME,…", "acme", "obtain certificates for these names; you agree to the authority's terms"),
		o.setting("", "acme-storage", "DIR", "acme_storage", groupACME, "where certificates and accounts are kept"),
		o.setting("", "acme-email", "ADDRESS", "acme_email", groupACME, "where the authority may write to"),
		o.setting("", "acme-ca", "URL", "acme_ca", groupACME, "the authority's directory, letsencrypt or staging [letsencrypt]"),
		o.setting("", "acme-ca-roots", "FILE", "acme_ca_roots", groupACME, "CAs for the authority's own server"),
		list("acme-challenges", "KIND,…", "acme_challenges", "tls-alpn-01, http-01 [both, http-01 where there is a redirect listener]"),
		list("acme-on-demand", "NAME,…", "acme_on_demand", "names, or *.SUFFIX, to obtain certificates for when a client asks"),
		o.setting("", "acme-profile", "NAME", "acme_profile", groupACME, "the authority's profile to order"),
		with("", "acme-eab", "ID,FILE", groupACME, "bind the account to one the authority knows; FILE holds its key", func(v string) error {
			id, file, _ := strings.Cut(v, ",")
			return o.do("acme_eab " + control.Quote(id) + " " + control.Quote(file))
		}),
	}
}

func (o *options) upstreamFlags() []flag {
	return []flag{
		o.toggle("", "backend-tls", "backend_tls", groupUpstream, "speak TLS to the servers, and verify them"),
		o.setting("", "backend-ca", "FILE", "backend_ca", groupUpstream, "CAs that vouch for them [the system's]"),
		o.setting("", "backend-ca-dir", "DIR", "backend_ca_dir", groupUpstream, "the same as a directory in hashed form"),
		o.setting("", "backend-name", "NAME", "backend_name", groupUpstream, "the name they have to show [that of the server]"),
		o.setting("", "backend-cert", "FILE", "backend_cert", groupUpstream, "our certificate towards them"),
		o.setting("", "backend-key", "FILE", "backend_key", groupUpstream, "its key"),
		o.setting("", "backend-tls-min", "PROTOCOL", "backend_tls_min", groupUpstream, "tls1.2 or tls1.3 [tls1.2]"),
		o.toggle("", "backend-insecure", "backend_insecure", groupUpstream, "do not verify them; for tests only"),
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
		c.TLS.Policy.MinVersion = v
		return nil
	}
	return fmt.Errorf("protocol version %s not known; expected tls1.2 or tls1.3 (or ssl23, ssl2, ssl3, tls1 for the default)", v)
}

func (o *options) httpFlags() []flag {
	return []flag{
		o.toggle("H", "http", "http", groupHTTP, "HTTP mode: check every request, tell servers the client in X-Forwarded-For"),
		o.toggle("", "no-http2", "no http2", groupHTTP, "do not offer HTTP/2 to clients over TLS"),
		o.toggle("", "no-http2-websocket", "no http2_websocket", groupHTTP, "have clients open WebSockets by HTTP/1.1 alone"),
		o.setting("", "http2-streams", "N", "http2_streams", groupHTTP, "requests that a client of HTTP/2 or HTTP/3 may have under way at once [100]"),
		o.toggle("", "http3", "http3", groupHTTP, "offer HTTP/3 as well, over UDP on the same port"),
		o.setting("", "http3-retry", "N", "http3_retry", groupHTTP, "handshakes from which on HTTP/3 addresses are validated first, 0 always [32]"),
		o.toggle("", "backend-http2", "backend_http2", groupHTTP, "speak HTTP/2 to the servers, as gRPC wants it; without --backend-tls as h2c"),
		o.toggle("", "no-http-reuse", "no http_reuse", groupHTTP, "use a connection to a server for one client only"),
		o.setting("", "trusted-proxies", "CIDR,…", "trusted_proxies", groupHTTP, "peers whose X-Forwarded-For is kept and appended to"),
		o.setting("", "trusted-field", "NAME", "trusted_field", groupHTTP, "where they tell it: x-forwarded-for, forwarded or x-real-ip [x-forwarded-for]"),
		o.setting("", "client-from", "HOW", "client_from", groupHTTP, "whom client_acl is about: peer, or header for their clients too [peer]"),
		o.toggle("", "forwarded", "forwarded", groupHTTP, "tell servers the client in Forwarded (RFC 7239) too"),
		o.toggle("", "real-ip", "real_ip", groupHTTP, "tell servers the client in X-Real-IP too"),
		o.setting("", "request-id", "NAME", "request_id", groupHTTP, "tell servers and clients an id of each request in this field, as X-Request-ID"),
		o.setting("", "via", "NAME", "via", groupHTTP, "our name in Via, and answer requests that come back with 508"),
		with("", "error-page", "STATUS=FILE", groupHTTP, "show FILE (.html, .txt, .json) with our own answers of that status; repeat for more", func(v string) error {
			status, file, ok := strings.Cut(v, "=")
			if !ok {
				return fmt.Errorf("%q: expected STATUS=FILE", v)
			}
			return o.do("error_page " + control.Quote(status) + " " + control.Quote(file))
		}),
		o.setting("", "hsts", "SECONDS[,includesubdomains][,preload]", "hsts", groupHTTP, "tell browsers to use TLS only (Strict-Transport-Security)"),
		o.setting("", "response-remove", "NAME,…", "response_remove", groupHTTP, "leave fields of servers' responses out, such as Server"),
		o.setting("", "body-max", "BYTES", "body_max", groupHTTP, "largest request body, 0 any [0]"),
		o.setting("", "requests-max", "N", "requests_max", groupHTTP, "requests of a client's connection, 0 any number [0]"),
		o.pace("body-rate", "body_rate", "slowest upload of a request's body, 0 any [128,60]"),
		o.pace("response-rate", "response_rate", "slowest download of a response, 0 any [128,60]"),
		o.setting("", "request-timeout", "SECONDS", "request_timeout", groupHTTP, "from a request's head to the end of the response, 0 for ever [0]"),
		o.setting("", "head-max", "BYTES", "head_max", groupHTTP, "largest request or response head [65536]"),
		o.setting("", "head-timeout", "SECONDS", "head_timeout", groupHTTP, "how long a request head may take [30]"),
		o.setting("", "geoip", "FILE", "geoip", groupClients, "database for country, continent and asn entries in access lists; repeat for more"),
		o.toggle("", "no-geoip-builtin", "no geoip_builtin", groupClients, "do not ask the built-in database of countries"),
		with("", "geo-fields", "WHAT,…", groupClients, "tell HTTP servers where clients are: country, continent, asn", func(v string) error {
			return o.do("geo_fields " + strings.ReplaceAll(v, ",", " "))
		}),
		o.setting("", "limit-connections", "N", "limit_connections", groupClients, "connections of a client (IPv4 /32, IPv6 /64) at once"),
		o.setting("", "limit-rate", "N", "limit_rate", groupClients, "new connections of a client a second"),
		o.setting("", "limit-failures", "N", "limit_failures", groupClients, "failed handshakes of a client a minute"),
		o.setting("", "handshake-max", "N", "handshake_max", groupClients, "TLS handshakes at once, of all clients"),
		o.setting("", "handshake-rate", "N", "handshake_rate", groupClients, "full TLS handshakes a second, of all clients"),
		with("", "denied", "REASON=ACTION", groupClients, "what the denied get: acl, country, rate, ja4, certificate = close, reset, tarpit, abuse, 403 or 429", func(v string) error {
			return o.do("denied " + strings.ReplaceAll(v, "=", " "))
		}),
	}
}

// pace is a flag about how slow a client may be: bytes a second and, behind a comma, seconds for which less will do.
func (o *options) pace(long, command, help string) flag {
	return with("", long, "BYTES[,SECONDS]", groupHTTP, help, func(v string) error {
		return o.do(command + " " + strings.ReplaceAll(v, ",", " "))
	})
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
       pen [flags] --listen ADDR[,tls|,plain|,redirect] server...
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
