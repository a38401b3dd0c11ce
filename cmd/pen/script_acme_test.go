package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"edgepen/certs/acme/acmetest"

	"github.com/rogpeppe/go-internal/testscript"
)

// pebble starts an ACME authority, for which all names are 127.0.0.1: pebble [-http PORT] [-tls PORT] [-life DURATION] [-eab ID=SECRET].
// It validates at these ports, issues for 90 days unless told otherwise, and ends with the script, or at "pebble stop". $ACME is its
// directory's URL, authority.pem what that is verified against, issuer.pem the root of what it issues.
func pebble(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	w.stopAuthority()
	if !neg && slices.Equal(args, []string{"stop"}) {
		return
	}
	p, err := acmetest.Launch(pebbleOptions(ts, neg, args))
	ts.Check(err)
	w.authority = p
	ts.Defer(w.stopAuthority)
	ts.Setenv("ACME", p.DirectoryURL)
	ts.Check(os.WriteFile(ts.MkAbs("authority.pem"), []byte(ts.ReadFile(p.RootsFile)), 0o644))
	issuer, err := p.IssuerRoot()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("issuer.pem"), issuer, 0o644))
}

func pebbleOptions(ts *testscript.TestScript, neg bool, args []string) (o acmetest.Options) {
	const usage = "usage: pebble [-http PORT] [-tls PORT] [-life DURATION] [-eab ID=SECRET] | stop"
	if neg || len(args)%2 != 0 {
		ts.Fatalf(usage)
	}
	for pair := range slices.Chunk(args, 2) {
		var err error
		switch value := pair[1]; pair[0] {
		case "-http":
			o.HTTPPort, err = strconv.Atoi(value)
		case "-tls":
			o.TLSPort, err = strconv.Atoi(value)
		case "-life":
			var life time.Duration
			life, err = time.ParseDuration(value)
			o.Profiles = map[string]time.Duration{"default": life}
		case "-eab":
			id, secret, _ := strings.Cut(value, "=")
			o.EAB = map[string]string{id: secret}
		default:
			ts.Fatalf(usage)
		}
		ts.Check(err)
	}
	o.Bin = pebblePrograms(ts)
	return o
}

// stopAuthority ends the authority, if there is one. pebble.log is what it said, for who reads a failure.
func (w *world) stopAuthority() {
	if p := w.authority; p != nil {
		os.WriteFile(filepath.Join(w.work, "pebble.log"), []byte(p.Log()), 0o600) //nolint:errcheck // the script may go on
		p.Stop()
		w.authority = nil
	}
}

// pebbleBuild is held by who builds pebble, the first script that wants it.
var pebbleBuild sync.Mutex

// pebblePrograms says where pebble is: beside the programs of the project, which are gone when the scripts are over.
func pebblePrograms(ts *testscript.TestScript) (dir string) {
	pen, err := exec.LookPath("pen")
	ts.Check(err)
	dir = filepath.Join(filepath.Dir(pen), "authority")
	pebbleBuild.Lock()
	defer pebbleBuild.Unlock()
	if _, err := os.Stat(filepath.Join(dir, "pebble")); err != nil {
		ts.Check(os.MkdirAll(dir, 0o755))
		ts.Check(acmetest.Build(dir))
	}
	return dir
}

// gate stands between a port and another: gate NAME PORT TO. Who connects to the one waits until the file NAME.open exists, and is passed
// on to the other then. NAME.first has what the first one said, as soon as that is there.
func gate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: gate NAME PORT TO")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:"+args[1])
	ts.Check(err)
	name, to, ended := ts.MkAbs(args[0]), "127.0.0.1:"+args[2], make(chan struct{})
	var all sync.WaitGroup
	var first sync.Once
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				said := make([]byte, 4096)
				c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a closed connection fails the reading
				n, _ := c.Read(said)
				first.Do(func() { os.WriteFile(name+".first", said[:n], 0o600) }) //nolint:errcheck // the script waits for it
				if opens(name+".open", ended) {
					join(c, said[:n], to)
				}
			})
		}
	})
	ts.Defer(func() {
		close(ended)
		ln.Close()
		all.Wait()
	})
}

// opens waits until a file exists, and reports false if the end comes first.
func opens(file string, ended <-chan struct{}) bool {
	for again := time.NewTicker(5 * time.Millisecond); ; {
		if _, err := os.Stat(file); err == nil {
			again.Stop()
			return true
		}
		select {
		case <-again.C:
		case <-ended:
			return false
		}
	}
}

// join connects to an address on behalf of c, which has said something already, and is over when both have ended.
func join(c net.Conn, said []byte, to string) {
	other, err := net.DialTimeout("tcp", to, patience)
	if err != nil {
		return
	}
	defer other.Close()
	other.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a closed connection fails the copying
	var up sync.WaitGroup
	up.Go(func() {
		other.Write(said)                 //nolint:errcheck // as above
		io.Copy(other, c)                 //nolint:errcheck // either may end it
		other.(*net.TCPConn).CloseWrite() //nolint:errcheck // as above
	})
	io.Copy(c, other)             //nolint:errcheck // as above
	c.(*net.TCPConn).CloseWrite() //nolint:errcheck // as above
	up.Wait()
}

// sockets prints the sockets that the process whose id is in a file listens on, or receives datagrams with, in order, a line each: sockets
// PIDFILE.
func sockets(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sockets PIDFILE")
	}
	proc := filepath.Join("/proc", strings.TrimSpace(ts.ReadFile(args[0])))
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	ts.Check(err)
	own := map[string]bool{}
	for _, fd := range fds {
		target, _ := os.Readlink(filepath.Join(proc, "fd", fd.Name())) // it may be closed by now
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	var found []string
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		content, err := os.ReadFile(filepath.Join(proc, "net", table))
		if err != nil {
			continue // no IPv6
		}
		for line := range strings.Lines(string(content)) {
			// sl local remote st queues timer retransmits uid timeout inode; 0A: LISTEN
			if f := strings.Fields(line); len(f) > 9 && own[f[9]] && (f[3] == "0A" || strings.HasPrefix(table, "udp")) {
				found = append(found, table+" "+portOf(ts, f[1])+"\n")
			}
		}
	}
	slices.Sort(found)
	fmt.Fprint(ts.Stdout(), strings.Join(found, ""))
}

// portOf is the port of an address as /proc/net has it: hexadecimal, after the colon.
func portOf(ts *testscript.TestScript, local string) string {
	_, port, _ := strings.Cut(local, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	ts.Check(err)
	return strconv.FormatUint(n, 10)
}
