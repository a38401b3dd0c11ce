// Command penlogd receives log lines by UDP from pen and from web servers, puts the clients' real addresses into the
// latter and writes one log: penlogd(1).
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"edgepen/cmd/pen/daemon"
	"edgepen/cmd/pen/getopt"
)

const usage = `usage: penlogd [options] [address:]port
  -d        debugging on; -dd: every line
  -f        stay in the foreground
  -j dir    run in a chroot environment
  -l file   write the log to a file, not to standard output
  -n N      number of pen's log entries to keep, 1 to 1000000 [1000]
  -p file   write the process id to a file
  -u user   run as a different user
  -b        accepted without effect: each line is written at once
`

// maxDatagram is the largest datagram that is read whole, in bytes; what is longer is cut.
const maxDatagram = 65535

type options struct {
	address    string
	debug      int
	foreground bool
	root       string
	log        string
	keep       int
	pid        string
	user       string
	help       bool
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run serves until TERM or INT and returns the exit status: 1 where something cannot be opened, 2 where the arguments
// are wrong.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "penlogd: %v\n%s", err, usage)
		return 2
	case o.help:
		fmt.Fprint(stdout, usage)
		return 0
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	err = o.serve(signals, stdout, stderr)
	var child daemon.Failed
	if errors.As(err, &child) { // it has said why
		return child.Status
	}
	if err != nil {
		fmt.Fprintf(stderr, "penlogd: %v\n", err)
		return 1
	}
	return 0
}

func parse(args []string) (*options, error) {
	o := &options{keep: 1000}
	word := func(to *string) func(string) error {
		return func(v string) error { *to = v; return nil }
	}
	operands, err := getopt.Parse(args, []getopt.Option{
		{Letters: "d", Set: func(string) error { o.debug++; return nil }},
		{Letters: "f", Set: func(string) error { o.foreground = true; return nil }},
		{Letters: "b", Set: func(string) error { return nil }},
		{Letters: "j", Arg: "DIR", Set: word(&o.root)},
		{Letters: "l", Arg: "FILE", Set: word(&o.log)},
		{Letters: "p", Arg: "FILE", Set: word(&o.pid)},
		{Letters: "u", Arg: "USER", Set: word(&o.user)},
		{Letters: "n", Arg: "N", Set: o.setKeep},
		{Long: "help", Set: func(string) error { o.help = true; return nil }},
	}, os.Getenv("POSIXLY_CORRECT") != "")
	if err != nil || o.help {
		return o, err
	}
	if len(operands) != 1 {
		return nil, fmt.Errorf("one port is wanted, not %d words", len(operands))
	}
	if o.address = operands[0]; !strings.Contains(o.address, ":") {
		o.address = ":" + o.address
	}
	if a, err := net.ResolveUDPAddr("udp", o.address); err != nil || a.Port == 0 {
		return nil, fmt.Errorf("[address:]port is wanted, with a port from 1 to 65535, not %q", operands[0])
	}
	return o, nil
}

func (o *options) setKeep(value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > 1_000_000 {
		return fmt.Errorf("%q: a number from 1 to 1000000 is wanted", value)
	}
	o.keep = n
	return nil
}

// serve opens everything, in the order in which privileges allow it, and works until it is told to end.
func (o *options) serve(signals <-chan os.Signal, stdout, stderr io.Writer) error {
	if !o.foreground && !daemon.IsChild() {
		if o.log == "" {
			fmt.Fprintln(stderr, "penlogd: without -l FILE the log goes nowhere")
		}
		return daemon.Start()
	}
	to, err := net.ResolveUDPAddr("udp", o.address)
	if err != nil {
		return fmt.Errorf("%s: %v", o.address, err)
	}
	conn, err := net.ListenUDP("udp", to)
	if err != nil {
		return fmt.Errorf("cannot receive at %s: %v", o.address, err)
	}
	defer conn.Close()
	if err := daemon.Confine(o.root, o.user); err != nil {
		return err
	}
	out := &output{name: o.log, stdout: stdout}
	if err := out.reopen(); err != nil {
		return fmt.Errorf("-l %s: %v", o.log, err)
	}
	defer out.close()
	if o.pid != "" {
		if err := os.WriteFile(o.pid, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			return fmt.Errorf("-p %s: %v", o.pid, err)
		}
		defer os.Remove(o.pid)
	}
	note := o.notes(stderr)
	ended := make(chan struct{})
	defer close(ended)
	go obey(signals, ended, out, conn, note)
	if err := daemon.Ready(); err != nil {
		note(0, "%v", err)
	}
	note(1, "Enter main loop")
	err = receive(conn, &consolidator{size: o.keep, out: out, note: note}, note)
	note(1, "Exit main loop")
	return err
}

// notes writes messages as pen does, those of the level that -d asks for.
func (o *options) notes(stderr io.Writer) func(int, string, ...any) {
	return func(level int, format string, args ...any) {
		if level <= o.debug {
			fmt.Fprintf(stderr, "%s: %s\n", time.Now().Format(time.DateTime), fmt.Sprintf(format, args...))
		}
	}
}

// obey opens the log anew at HUP and ends the work at any other signal, by closing the socket.
func obey(signals <-chan os.Signal, ended <-chan struct{}, out *output, conn io.Closer, note func(int, string, ...any)) {
	for {
		select {
		case <-ended:
			return
		case s := <-signals:
			if s != syscall.SIGHUP {
				conn.Close()
				return
			}
			if err := out.reopen(); err != nil {
				note(0, "the log goes on in the old file: %v", err)
				continue
			}
			note(1, "Reopen log file %s", out.name)
		}
	}
}

// receive works until the socket is closed. A line that cannot be written is lost; the first of a row is reported.
func receive(conn *net.UDPConn, c *consolidator, note func(int, string, ...any)) error {
	buf := make([]byte, maxDatagram)
	failing := false
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot receive: %v", err)
		}
		written := c.datagram(from.Addr(), buf[:n])
		if written != nil && !failing {
			note(0, "log lines are lost: %v", written)
		}
		failing = written != nil
	}
}
