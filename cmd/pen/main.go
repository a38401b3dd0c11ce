// Command pen is a load balancer for TCP and UDP that ends TLS and speaks HTTP at the edge: pen(1).
package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"edgepen/cmd/pen/daemon"
	"edgepen/proxy"
	"edgepen/proxy/backend"
	"edgepen/proxy/control"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // a file, an address, a certificate cannot be used
	exitUsage  = 2 // the command line is wrong
)

// usageError is an error of the command line itself.
type usageError struct{ error }

// run is pen as a function: from the command line to the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	err := start(args, stdout, stderr)
	var usage usageError
	var command commandError
	var child daemon.Failed
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &child): // it has said why
		return child.Status
	case errors.As(err, &command): // the usage of the flags would not help
		fmt.Fprintf(stderr, "pen: %v\n", err)
		return exitUsage
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "pen: %v\n%spen --help lists the flags\n", err, synopsis)
		return exitUsage
	}
	fmt.Fprintf(stderr, "pen: %v\n", err)
	return exitFailed
}

// start is the whole life of the process, in the order that its security rests on.
func start(args []string, stdout, stderr io.Writer) error {
	log, level := newLog(stderr)
	in := &control.Interpreter{Proxy: proxy.New(slog.New(log), level)}
	o := &options{in: in, stdout: stdout, stderr: stderr}
	operands, err := o.parse(args, os.Getenv("POSIXLY_CORRECT") != "")
	var command commandError
	if errors.As(err, &command) {
		return err
	}
	if err != nil {
		return usageError{err}
	}
	switch {
	case o.help:
		fmt.Fprint(stdout, o.helpText())
		return nil
	case o.version:
		fmt.Fprintln(stdout, version())
		return nil
	case o.windowsService:
		fmt.Fprintln(stderr, "pen: -i is for Windows only")
		return nil
	case o.demo:
		return runDemo(args, operands, stdout, stderr)
	}
	if err := o.loadConfig(); err != nil {
		return err
	}
	if err := o.takeOperands(operands); err != nil {
		return err
	}
	if !o.foreground && o.in.Proxy.Config().AccessLog == "-" {
		return usageError{errors.New("access log: a daemon has no standard output to write to: -f stays in the foreground")}
	}
	if o.check || o.explain {
		return o.rehearse(log)
	}
	if !o.foreground && !daemon.IsChild() {
		if o.readOnce {
			return daemon.StartWith(o.configText)
		}
		return daemon.Start()
	}
	return o.serve(log)
}

// loadConfig reads the -F file. What can be read once only has been read by the process that started this one, if there is such.
func (o *options) loadConfig() (err error) {
	if o.config == "" {
		return nil
	}
	if o.configText, o.readOnce, err = daemon.Given(); !o.readOnce {
		o.configText, o.readOnce, err = control.ReadFirst(o.config)
	}
	if err != nil {
		return err
	}
	o.in.Control = o.control
	in := *o.in
	in.PassedOver = func(remark string) { o.passedOver = append(o.passedOver, remark) }
	reply, err := in.Load(o.config, o.configText)
	io.WriteString(o.replies(), reply) //nolint:errcheck // nobody listens
	return err
}

// takeOperands makes the operands listening address and servers. Where a listen command has said the address, the first
// operand is passed over, as in the original; with --listen all operands are servers.
func (o *options) takeOperands(operands []string) error {
	return o.in.Proxy.Update(func(d *proxy.Draft) error {
		switch {
		case len(o.listen) > 0:
			d.Listeners = append(d.Listeners, o.listen...)
		case len(operands) == 0 && len(d.Listeners) == 0:
			return usageError{errors.New("no address to listen on: give [host:]port or /path/to/socket, or --listen")}
		case len(d.Listeners) == 0:
			d.Listeners = []proxy.Listener{{Address: operands[0]}}
		}
		d.Listeners = append(d.Listeners, o.redirects...)
		if len(o.listen) == 0 && len(operands) > 0 {
			operands = operands[1:]
		}
		if d.DSRInterface == "" {
			if _, _, err := proxy.SplitListen(d.Listeners[0].Address); err != nil {
				return usageError{err}
			}
		}
		return o.takeServers(d, operands)
	})
}

// takeServers reads the servers of the command line. They win over the file, but for the access list, which they cannot say.
func (o *options) takeServers(d *proxy.Draft, operands []string) error {
	port := proxy.ListenPort(d.Listeners[0].Address)
	for i, operand := range operands {
		spec, err := backend.ParseSpec(operand, port)
		if err != nil {
			return usageError{err}
		}
		if spec.Port == 0 && !spec.IsUnix() && d.DSRInterface == "" {
			return usageError{fmt.Errorf("server %q needs a port: the listening address has none to take over", operand)}
		}
		if i < len(d.Servers) {
			spec.ACL = d.Servers[i].ACL
			d.Servers[i] = spec
		} else {
			d.Servers = append(d.Servers, spec)
		}
	}
	for _, extra := range []struct {
		operand string
		spec    *backend.Spec
	}{{o.emergency, &d.Emergency}, {o.abuse, &d.Abuse}} {
		if extra.operand == "" {
			continue
		}
		spec, err := backend.ParseSpec(extra.operand, port)
		if err != nil {
			return usageError{err}
		}
		if spec.Port == 0 && !spec.IsUnix() {
			return usageError{fmt.Errorf("server %q needs a port: the listening address has none to take over", extra.operand)}
		}
		*extra.spec = spec
	}
	return nil
}

// version says which pen this is, and what it was built from.
func version() string {
	v, goVersion := "unknown", "unknown Go"
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
		if v = strings.Trim(info.Main.Version, "()"); v == "" {
			v = "devel"
		}
	}
	countries := "no database of countries built in"
	if built := proxy.BuiltinCountries(); built != "" {
		countries = "countries: " + built
	}
	return fmt.Sprintf("edgepen %s, %s (flags and commands of pen 0.34.1)\n%s", v, goVersion, countries)
}
