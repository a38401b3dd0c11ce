package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strings"

	"edgepen/proxy"
)

// rehearse is --check and --explain: everything that a start does short of opening and serving.
func (o *options) rehearse(handler *logHandler) error {
	p := o.in.Proxy
	if o.control != "" {
		network, path, err := proxy.SplitListen(o.control)
		if err == nil && network == "unix" && !o.explain {
			err = proxy.CheckWritable(path)
		}
		if err != nil {
			return fmt.Errorf("control port (-C): %v", err)
		}
	}
	warnings, lines, err := p.Explain()
	if err != nil {
		return err
	}
	if o.control != "" && !strings.Contains(o.control, "/") {
		if c := p.Config(); len(c.ACLs[c.ControlACL]) == 0 {
			warnings = append(warnings, "anybody who reaches the control port "+o.control+" may use it: limit it with control_acl and acl, or use a Unix socket")
		}
	}
	if len(p.Config().Servers) == 0 {
		warnings = append(warnings, noServers)
	}
	if o.explain {
		warnings = append(o.passedOver, warnings...)
	}
	for _, w := range warnings {
		fmt.Fprintln(o.stdout, "warning:", w)
	}
	if o.explain {
		for _, line := range lines {
			fmt.Fprintln(o.stdout, line)
		}
		return nil
	}
	if len(o.passedOver) > 0 {
		return errors.New(strings.Join(o.passedOver, "\npen: "))
	}
	becomes := os.Geteuid() == 0 || o.user == "" // otherwise nobody knows what that user may
	if err := o.rehearseUser(slog.New(handler)); err != nil {
		return err
	}
	if becomes {
		if err := p.CheckOwn(); err != nil {
			return err
		}
		if err := o.rehearsePid(); err != nil {
			return err
		}
	}
	fmt.Fprintln(o.stdout, "the configuration is good")
	return nil
}

// rehearsePid says whether the pid file could be written.
func (o *options) rehearsePid() error {
	if o.pidFile == "" {
		return nil
	}
	if err := proxy.CheckWritable(o.pidFile); err != nil {
		return fmt.Errorf("pid file (-p): %v", err)
	}
	return nil
}

// rehearseUser becomes the user of -u, to see what a reload could read: the process ends here anyway. Who is not root can only say whether
// there is such a user.
func (o *options) rehearseUser(log *slog.Logger) error {
	if os.Geteuid() == 0 {
		return o.confine(log)
	}
	if o.user == "" {
		return nil
	}
	if _, err := user.Lookup(o.user); err != nil {
		return fmt.Errorf("-u %s: there is no such user", o.user)
	}
	return nil
}
