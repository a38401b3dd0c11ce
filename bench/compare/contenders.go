package main

import (
	stdtls "crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// edgepen is the contender that all others are compared with.
const edgepen = "edgepen"

// setup says how a contender is started in one mode. In both parts {addr}, {server}, {crt}, {key}, {pem}, {conf} and {tmp} stand for
// the address to listen on, the backend's, files with certificate, key and both, the configuration file, and a directory.
type setup struct {
	command string // arguments, separated by blanks
	config  string // content of {conf}; "" for none
}

// contender is a proxy that takes part.
type contender struct {
	name   string
	path   string           // of its program
	peer   bool             // edgepen is compared with the best of these
	off    bool             // takes part only if -only names it
	groups []stdtls.CurveID // that it can negotiate
	setups map[mode]setup
	// version is the command that tells it, split at blanks; {path} is path.
	version string
}

// penSetups are the command lines of both pens; extra goes before the addresses.
func penSetups(extra string) map[mode]setup {
	common := "-f -r -x 8000 -c 8000 " + extra
	keys := " -E {crt} -K {key} "
	return map[mode]setup{
		modeTLS:   {command: common + keys + "{addr} {server}"},
		modeHTTPS: {command: common + " -H" + keys + "{addr} {server}"},
		modeHTTP:  {command: common + " -H {addr} {server}"},
		modeTCP:   {command: common + " {addr} {server}"},
		modeUDP:   {command: common + " -U {addr} {server}"},
	}
}

// edgepenSetups are ours: HTTP/2 is offered wherever HTTPS is.
func edgepenSetups() map[mode]setup {
	s := penSetups("")
	s[modeHTTP2] = s[modeHTTPS]
	return s
}

func haproxySetup(m mode) setup {
	kind, options, tls := "tcp", "", ""
	if m.forwards() {
		kind, options = "http", "  option forwardfor\n  http-reuse always\n"
	}
	if m.encrypted() {
		tls = " ssl crt {pem} curves X25519 ciphersuites TLS_AES_128_GCM_SHA256"
		switch {
		case m == modeHTTP2:
			tls += " alpn h2"
		case m.forwards():
			tls += " alpn http/1.1"
		}
	}
	return setup{"-db -f {conf}", "global\n  maxconn 9000\n  nbthread 2\n  ssl-default-bind-options ssl-min-ver TLSv1.2\n" +
		"defaults\n  mode " + kind + "\n" + options + "  timeout client 300s\n  timeout server 300s\n  timeout connect 5s\n" +
		"frontend f\n  bind {addr}" + tls + "\n  default_backend b\n" +
		"backend b\n  server s {server}\n"}
}

// haproxySplice has haproxy pass bulk data through pipes. These take descriptors too, hence fewer connections.
func haproxySplice() setup {
	s := haproxySetup(modeTCP)
	s.config = strings.NewReplacer("maxconn 9000", "maxconn 4000", "mode tcp\n", "mode tcp\n  option splice-auto\n").Replace(s.config)
	return s
}

const nginxCommon = `daemon off;
worker_processes 2;
worker_rlimit_nofile 20000;
error_log /dev/null crit;
pid {tmp}/nginx.pid;
events { worker_connections 9000; multi_accept on; }
`

const nginxTLS = `  ssl_certificate {crt};
  ssl_certificate_key {key};
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_ecdh_curve X25519;
  ssl_session_tickets on;
`

const nginxHTTP = nginxCommon + `http {
 access_log off;
 keepalive_requests 100000000;
 keepalive_timeout 300s;
 tcp_nodelay on;
 client_max_body_size 0;
 client_body_temp_path {tmp}/nginx-body;
 proxy_temp_path {tmp}/nginx-proxy;
 fastcgi_temp_path {tmp}/nginx-fastcgi;
 uwsgi_temp_path {tmp}/nginx-uwsgi;
 scgi_temp_path {tmp}/nginx-scgi;
 upstream b { server {server}; keepalive 256; keepalive_requests 100000000; }
 server {
  listen {addr}%s reuseport backlog=4096;
%s  location / {
   proxy_pass http://b;
   proxy_http_version 1.1;
   proxy_set_header Connection "";
   proxy_set_header Host $host;
   proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
   proxy_request_buffering off;
   proxy_max_temp_file_size 0;
  }
 }
}
`

const nginxStream = nginxCommon + `stream {
 server {
  listen {addr}%s reuseport backlog=4096;
%s  proxy_pass {server};
  proxy_buffer_size 16k;
  tcp_nodelay on;
 }
}
`

const nginxDatagrams = nginxCommon + `stream {
 server {
  listen {addr} udp reuseport;
  proxy_pass {server};
  proxy_timeout 2s;
 }
}
`

func nginxSetup(m mode) setup {
	text := nginxStream
	if m == modeUDP {
		text = nginxDatagrams
	}
	if m.forwards() {
		text = nginxHTTP
	} else if module := "/usr/lib/nginx/modules/ngx_stream_module.so"; exists(module) {
		text = "load_module " + module + ";\n" + text // elsewhere it is built in
	}
	switch {
	case m == modeHTTP2:
		return setup{"-c {conf}", fmt.Sprintf(text, " ssl http2", nginxTLS)}
	case m == modeUDP:
		return setup{"-c {conf}", text}
	case m.encrypted():
		return setup{"-c {conf}", fmt.Sprintf(text, " ssl", nginxTLS)}
	}
	return setup{"-c {conf}", fmt.Sprintf(text, "", "")}
}

// allContenders lists who can take part, in the order of the tables; path is still what to look for.
func allContenders() []contender {
	modes := func(of func(mode) setup) map[mode]setup {
		return map[mode]setup{modeTLS: of(modeTLS), modeHTTPS: of(modeHTTPS), modeHTTP2: of(modeHTTP2), modeHTTP: of(modeHTTP), modeTCP: of(modeTCP)}
	}
	forNginx := modes(nginxSetup)
	forNginx[modeUDP] = nginxSetup(modeUDP) // haproxy passes no datagrams on
	x25519 := []stdtls.CurveID{stdtls.X25519}
	return []contender{
		{name: edgepen, version: "{path} --version", setups: edgepenSetups(),
			groups: []stdtls.CurveID{stdtls.X25519MLKEM768, stdtls.X25519, stdtls.CurveP256}},
		{name: "pen", path: "/usr/bin/pen", peer: true, version: "dpkg-query -W -f ${Version} pen", setups: penSetups("-o tcp_nodelay"),
			groups: []stdtls.CurveID{stdtls.CurveP256}},
		{name: "haproxy", path: "haproxy", peer: true, version: "{path} -v", setups: modes(haproxySetup), groups: x25519},
		{name: "nginx", path: "nginx", peer: true, version: "{path} -v", setups: forNginx, groups: x25519},
		{name: "haproxy-splice", path: "haproxy", peer: true, off: true, setups: map[mode]setup{modeTCP: haproxySplice()}},
		{name: "direct", off: true, setups: map[mode]setup{modeTCP: {command: "direct {addr} {server}"}}},
	}
}

// defaultContenders names those that take part without -only.
func defaultContenders() []string {
	var names []string
	for _, c := range allContenders() {
		if !c.off {
			names = append(names, c.name)
		}
	}
	return names
}

// findContenders returns the contenders that only asks for (nil: those that are on) and that are installed, and the names
// of those that are not. The paths of edgepen and of the relay built into this program are filled in by the caller.
func findContenders(only *regexp.Regexp) (found []contender, missing []string, err error) {
	for _, c := range allContenders() {
		if only == nil && c.off || only != nil && !only.MatchString(c.name) {
			continue
		}
		if c.path != "" {
			path, err := lookUp(c.path)
			if err != nil {
				missing = append(missing, c.name)
				continue
			}
			c.path = path
		}
		found = append(found, c)
	}
	if len(found) == 0 {
		return nil, missing, errors.New("no contender: -only matches none that is installed")
	}
	return found, missing, nil
}

// lookUp finds a program in PATH, or where Debian keeps what only root usually runs.
func lookUp(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil && !strings.Contains(program, "/") {
		return exec.LookPath("/usr/sbin/" + program)
	}
	return path, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// expectedGroup is the first group the client offers that c can negotiate.
func (c contender) expectedGroup(offered []stdtls.CurveID) stdtls.CurveID {
	for _, g := range offered {
		if slices.Contains(c.groups, g) {
			return g
		}
	}
	return 0
}
