// Command compare measures edgepen side by side with the proxies it wants to replace.
//
// It starts edgepen, and whichever of the original pen, haproxy and nginx are installed, each in turn in front of a cheap
// server in a process of its own, drives one workload, and reads how much CPU time the contender's processes used
// meanwhile. The figure is CPU time per unit of work (request, connection, GB), as the median over rounds in which the
// contenders take turns: load generator, server and contender share one machine, so throughput would say more about the
// neighbours than about the contender. Figures compare only within one run; under about 10 % is a tie.
//
//	go run ./bench/compare                                  everything, about six minutes
//	go run ./bench/compare -w W5,W6 -only 'edgepen|nginx'   two workloads, two contenders
//	go run ./bench/compare -check                           exit 1 if edgepen exceeds a limit
//
// Before anything is measured the contender must answer correctly: the right bodies, the client's address in
// X-Forwarded-For where the workload asks for it, the TLS version, group and cipher suite that it is expected to
// negotiate. A contender that fails this, or any unit of work afterwards, gets no figure.
//
// Everything stays on loopback. All processes are started in groups of their own and ended with the program, also
// when it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// defaultLimits are the most CPU time per unit that edgepen may use, as multiples of the best peer's. That of W6 is the original, which looks at
// little of a request; beside haproxy and nginx it is 1.3.
const defaultLimits = "W1<=1.0,W5<=1.1,W5h2<=1.5,W6<=1.5,W8<=1.0,W9<=0.85,W13<=1.3"

// options is the command line.
type options struct {
	workloads []workload
	only      *regexp.Regexp // nil: every contender that is on by default
	limits    []limit        // nil: measure only
	pen       string         // edgepen's program; "" builds it
	output    string         // without .md or .json; "" writes none
	rounds    int
	duration  time.Duration // measured time of a round
	conns     int           // 0: the workload's own number
	idle      int           // connections held open by W12
	settle    time.Duration // how long idle connections rest before memory is read
	timeout   time.Duration // of the whole run
	verbose   bool
	line      string // as typed, for the report
}

// errUsage marks a command line that cannot be run: exit 2 rather than 1.
var errUsage = errors.New("usage")

func main() {
	if ran, err := runRole(os.Args[1:]); ran {
		exitOn(err)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	exitOn(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// exitOn ends the program with the status that err deserves, if there is one.
func exitOn(err error) {
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// command runs one comparison: the report goes to stdout, progress to stderr.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	opts, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	if err := supported(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, opts.timeout, fmt.Errorf("not finished after -timeout %v", opts.timeout))
	defer cancel()
	rep, err := run(ctx, opts, stderr)
	if rep != nil {
		fmt.Fprint(stdout, rep.markdown())
	}
	if err != nil {
		return err
	}
	if err := judge(opts.limits, rep); err != nil {
		return err
	}
	if len(opts.limits) > 0 {
		fmt.Fprintf(stdout, "\nedgepen keeps its limits: %v\n", opts.limits)
	}
	return nil
}

// parseOptions reads the flags and checks what can be checked without starting anything.
func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{line: strings.Join(append([]string{"compare"}, args...), " "), settle: 2500 * time.Millisecond}
	fs := flag.NewFlagSet("compare", flag.ContinueOnError)
	fs.SetOutput(stderr)
	names := fs.String("w", "", "workloads, comma separated (default all; with -check those that have limits):\n"+workloadHelp())
	only := fs.String("only", "", "contenders, a regular expression for the whole name (default "+strings.Join(defaultContenders(), ", ")+")")
	check := fs.Bool("check", false, "compare edgepen with -limits and exit 1 when it exceeds one")
	limits := fs.String("limits", defaultLimits, "with -check: the most that edgepen may use, as multiples of the best peer")
	fs.StringVar(&o.pen, "pen", "", "edgepen's `program` (default: build cmd/pen)")
	fs.StringVar(&o.output, "o", "", "write the report to `FILE`.md and FILE.json too")
	fs.IntVar(&o.rounds, "rounds", 5, "rounds")
	fs.DurationVar(&o.duration, "d", 800*time.Millisecond, "measured time of a round")
	fs.IntVar(&o.conns, "conns", 0, "connections that work at a time (default: each workload's own)")
	fs.IntVar(&o.idle, "idle", 3000, "connections that W12 holds open")
	fs.DurationVar(&o.timeout, "timeout", 30*time.Minute, "limit for the whole run")
	fs.BoolVar(&o.verbose, "v", false, "show each sample")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, errUsage
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("%w: unexpected argument %q", errUsage, fs.Arg(0))
	}
	o.output = strings.TrimSuffix(o.output, ".md")
	return o, o.complete(*names, *only, *check, *limits)
}

// complete turns the flags that are little languages into what they mean.
func (o *options) complete(names, only string, check bool, limits string) error {
	var err error
	if check {
		if o.limits, err = parseLimits(limits); err != nil {
			return fmt.Errorf("%w: -limits: %w", errUsage, err)
		}
		for _, l := range o.limits {
			names += "," + l.workload
		}
	}
	if o.workloads, err = selectWorkloads(names); err != nil {
		return fmt.Errorf("%w: -w: %w", errUsage, err)
	}
	if only != "" {
		if o.only, err = regexp.Compile("^(?:" + only + ")$"); err != nil {
			return fmt.Errorf("%w: -only: %w", errUsage, err)
		}
	}
	if o.rounds < 1 || o.duration <= 0 || o.conns < 0 || o.idle < 1 || o.timeout <= 0 {
		return fmt.Errorf("%w: -rounds, -d, -idle and -timeout must be above zero, -conns not below", errUsage)
	}
	return nil
}
