// Command mergelogs makes one log of the logs of pen and of the web servers behind it, with the clients' real
// addresses: mergelogs(1).
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"edgepen/cmd/pen/getopt"
)

const usage = `usage: mergelogs -p penlog [options] server1:logfile1 [server2:logfile2 ...]
  -p penlog    log file from pen
  -j jitter    by how many seconds the logs' times may differ [600]
  -t seconds   difference between the pen server's time and UTC [that of the logs' own time zones]
  -c           search all of pen's log for each line
  -r file      where to put lines that are left out
  -d           debugging (repeat for more)
  server:logfile  web server's address as pen has it, [address] for IPv6, and name of its log file
`

// secondsMax limits times and differences of times, in seconds, far from where sums overflow.
const secondsMax = 1 << 40

type options struct {
	penlog  string
	jitter  int64
	offset  *int64 // nil: none was given
	all     bool
	rejects string
	debug   int
	help    bool
	servers []source
}

// source is a web server and its log.
type source struct{ server, file string }

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run merges the logs and returns the exit status: 1 where one cannot be read, or the result not be written, 2 where the
// arguments are wrong.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "mergelogs: %v\n%s", err, usage)
		return 2
	case o.help:
		fmt.Fprint(stdout, usage)
		return 0
	}
	out := bufio.NewWriter(stdout)
	err = o.merge(out, stderr)
	if flushed := out.Flush(); err == nil && flushed != nil {
		err = fmt.Errorf("cannot write: %v", flushed)
	}
	if err != nil {
		fmt.Fprintf(stderr, "mergelogs: %v\n", err)
		return 1
	}
	return 0
}

func parse(args []string) (*options, error) {
	o := &options{jitter: 600}
	operands, err := getopt.Parse(args, []getopt.Option{
		{Letters: "p", Arg: "PENLOG", Set: func(v string) error { o.penlog = v; return nil }},
		{Letters: "r", Arg: "FILE", Set: func(v string) error { o.rejects = v; return nil }},
		{Letters: "j", Arg: "JITTER", Set: func(v string) (err error) { o.jitter, err = seconds(v, 0); return err }},
		{Letters: "t", Arg: "SECONDS", Set: func(v string) error {
			offset, err := seconds(v, -secondsMax)
			o.offset = &offset
			return err
		}},
		{Letters: "c", Set: func(string) error { o.all = true; return nil }},
		{Letters: "d", Set: func(string) error { o.debug++; return nil }},
		{Long: "help", Set: func(string) error { o.help = true; return nil }},
	}, os.Getenv("POSIXLY_CORRECT") != "")
	if err != nil || o.help {
		return o, err
	}
	if o.penlog == "" {
		return nil, errors.New("-p with pen's log is wanted")
	}
	if len(operands) == 0 {
		return nil, errors.New("a server:logfile is wanted")
	}
	for _, word := range operands {
		s, err := parseSource(word)
		if err != nil {
			return nil, err
		}
		o.servers = append(o.servers, s)
	}
	return o, nil
}

func seconds(value string, least int64) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < least || n > secondsMax {
		return 0, fmt.Errorf("%q: a number of seconds from %d to %d is wanted", value, least, int64(secondsMax))
	}
	return n, nil
}

// parseSource reads "server:logfile" and "[v6 address]:logfile".
func parseSource(word string) (source, error) {
	server, file, found := strings.Cut(word, ":")
	if v6, is := strings.CutPrefix(word, "["); is {
		server, file, found = strings.Cut(v6, "]:")
	}
	if !found || server == "" || file == "" {
		return source{}, fmt.Errorf("server:logfile is wanted, not %q", word)
	}
	return source{canonical(server), file}, nil
}

// canonical is one spelling for each address; names stay as they are.
func canonical(server string) string {
	if a, err := netip.ParseAddr(server); err == nil {
		return a.Unmap().String()
	}
	return server
}

// merge opens the logs and writes their lines in the order of time.
func (o *options) merge(out *bufio.Writer, stderr io.Writer) error {
	rejects := bufio.NewWriter(io.Discard)
	if o.rejects != "" {
		f, err := os.Create(o.rejects)
		if err != nil {
			return fmt.Errorf("-r: %v", err)
		}
		defer f.Close()
		rejects.Reset(f)
	}
	pen, err := openLog(o.penlog, rejects, stderr)
	if err != nil {
		return fmt.Errorf("-p: %v", err)
	}
	defer pen.close()
	m := &merger{pen: newWindow(pen, o.jitter), shift: o.shift(time.Local), out: out, debug: o.debug, stderr: stderr}
	if o.all {
		m.pen = newWindow(pen, secondsMax)
	}
	for _, s := range o.servers {
		l, err := openLog(s.file, rejects, stderr)
		if err != nil {
			return fmt.Errorf("%s: %v", s.server, err)
		}
		defer l.close()
		m.servers = append(m.servers, &server{name: s.server, log: l})
	}
	if err := m.run(); err != nil {
		return err
	}
	if err := rejects.Flush(); err != nil {
		return fmt.Errorf("-r: %v", err)
	}
	return nil
}

// shift makes the time in pen's log of the one in a web server's. The original takes the latter's UTC for local time and
// adds what -t says, so that -t is the zone's offset where all is well; without -t the times are right as they are.
func (o *options) shift(zone *time.Location) func(time.Time) int64 {
	if o.offset == nil {
		return time.Time.Unix
	}
	return func(t time.Time) int64 {
		_, local := t.In(zone).Zone()
		return t.Unix() - int64(local) + *o.offset
	}
}
