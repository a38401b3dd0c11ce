package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"edgepen/cmd/pen/daemon"
	"edgepen/proxy"
	"edgepen/proxy/control"
)

// serve opens everything, gives up its rights, says that it is ready, and balances until it is told to end.
func (o *options) serve(handler *logHandler) error {
	log := slog.New(handler)
	o.log = log
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1)
	defer signal.Stop(signals)
	signal.Ignore(syscall.SIGPIPE) // whoever read our messages may leave
	o.in.Exit = func() {
		select {
		case signals <- syscall.SIGTERM:
		default: // it is full of signals, and any of them but HUP and USR1 ends pen; exit may be said again
		}
	}
	o.in.Reload = o.reload
	if !o.readOnce { // and so could not be written either
		o.in.ConfigFile = o.config
	}
	o.in.CommandLine = o.commandLine()
	for _, remark := range o.passedOver {
		log.Warn("a command was passed over: " + remark)
	}

	defer o.in.Proxy.Close()
	port, err := o.openControl(log)
	if err != nil {
		return err
	}
	if port != nil {
		defer port.Close()
	}
	if err := o.openAll(log); err != nil {
		return err
	}
	defer o.removePid()
	o.in.Proxy.Serve()
	if port != nil {
		port.Serve()
	}
	if err := o.ready(handler); err != nil {
		log.Warn(err.Error())
	}
	for s := range signals {
		if !o.handle(s, log) {
			break
		}
	}
	o.drain(signals)
	return nil
}

// drain lets connections end, unless another signal asks to end.
func (o *options) drain(signals <-chan os.Signal) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-signals:
				if s != syscall.SIGHUP && s != syscall.SIGUSR1 {
					cancel()
				}
			}
		}
	}()
	o.in.Proxy.Drain(ctx)
}

const noServers = "there are no servers yet: every client is turned away until there is one: server 0 address A port P"

// openAll opens what root may be needed for, gives up root, and then opens what is to be our own user's.
func (o *options) openAll(log *slog.Logger) error {
	p := o.in.Proxy
	for _, step := range []func() error{
		p.Listen,
		p.Activate,
		o.makeStorage,
		func() error { return o.confine(log) },
		p.OpenOwn,
		o.writePid,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if len(p.Config().Servers) == 0 {
		log.Warn(noServers)
	}
	return nil
}

// ready lets the shell have its prompt back; messages go to the system's log from then on.
func (o *options) ready(handler *logHandler) error {
	if !daemon.IsChild() {
		return nil
	}
	if err := handler.useSyslog(""); err != nil {
		fmt.Fprintf(o.stderr, "pen: %v: messages are lost from now on; -f shows them\n", err)
	}
	return daemon.Ready()
}

// handle does what a signal asks for and reports whether to go on.
func (o *options) handle(s os.Signal, log *slog.Logger) bool {
	switch s {
	case syscall.SIGHUP:
		go o.reload() //nolint:errcheck // it is logged; beside the signals: TERM must not wait for a name server that does not answer
	case syscall.SIGUSR1:
		lines, err := o.in.Statistics()
		if err != nil {
			log.Error("no statistics", "why", err)
		}
		for _, line := range lines {
			log.Warn(line)
		}
	default:
		return false
	}
	return true
}

// reload is what HUP and the command reload do. The log hears of an error whoever asked.
func (o *options) reload() error {
	in := *o.in
	in.PassedOver = func(remark string) { o.log.Warn("a command was passed over: " + remark) }
	file := o.config
	if o.readOnce {
		o.log.Warn("all but the configuration file is read again: it is a pipe or a device, which was read at the start", "file", file)
		file = ""
	}
	_, err := in.LoadAgain(file)
	if err != nil {
		o.log.Error("nothing was reloaded, all goes on as before", "why", err)
	}
	return err
}

// commandLine is a command line that goes with a file that "write" writes: the flags that only the start can set, in the order
// of the original. It is asked for within an Update, and so looks at nothing but flags and what was given at the start.
func (o *options) commandLine() func(file string) string {
	c := o.in.Proxy.Config()
	line := "pen"
	for _, f := range []struct {
		on   bool
		flag string
	}{{c.UDP, "-U"}, {o.foreground, "-f"}, {c.ExitEnabled, "-X"}} {
		if f.on {
			line += " " + f.flag
		}
	}
	for _, f := range []struct{ flag, value string }{{"-p", o.pidFile}, {"-u", o.user}, {"-j", o.chroot}} {
		if f.value != "" {
			line += " " + f.flag + " '" + f.value + "'"
		}
	}
	rest := ""
	if o.control != "" {
		rest += " -C " + o.control
	}
	for _, l := range o.listen {
		rest += " --listen " + l.String()
	}
	for _, l := range o.redirects {
		rest += " --redirect " + l.Address
	}
	if len(o.listen) == 0 && len(c.Listeners) > 0 {
		rest += " " + c.Listeners[0].Address
	}
	return func(file string) string { return line + " -F '" + file + "'" + rest }
}

// openControl opens the control port, if one is asked for. Root gets a TCP one only where -u says that this is meant.
func (o *options) openControl(log *slog.Logger) (*control.Port, error) {
	if o.control == "" {
		return nil, nil
	}
	network, _, err := proxy.SplitListen(o.control)
	if err != nil {
		return nil, fmt.Errorf("control port: %v", err)
	}
	if network != "unix" {
		if os.Geteuid() == 0 && o.user == "" {
			log.Warn("Won't open control port running as root; use -u to run as different user")
			return nil, nil
		}
		if c := o.in.Proxy.Config(); len(c.ACLs[c.ControlACL]) == 0 {
			log.Warn("anybody who reaches the control port may use it: limit it with control_acl and acl, or use a Unix socket", "port", o.control)
		}
	}
	o.in.Control = o.control
	return control.Listen(o.control, o.in, log)
}

// writePid writes the pid file: digits only, no newline, and never half a number.
func (o *options) writePid() error {
	if o.pidFile == "" {
		return nil
	}
	f, err := os.OpenFile(o.pidFile, os.O_WRONLY|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o644)
	if err != nil {
		return fmt.Errorf("pid file: %v", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("pid file: %s is no regular file", o.pidFile)
	}
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("pid file: %v", err)
	}
	if _, err := f.WriteString(strconv.Itoa(os.Getpid())); err != nil {
		return fmt.Errorf("pid file: %v", err)
	}
	return nil
}

// removePid removes the pid file, unless another pen has written its own number into it since.
func (o *options) removePid() {
	if o.pidFile == "" {
		return
	}
	if text, err := os.ReadFile(o.pidFile); err == nil && string(text) == strconv.Itoa(os.Getpid()) {
		os.Remove(o.pidFile) //nolint:errcheck // it may be out of reach after -u
	}
}
