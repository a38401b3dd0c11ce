package main

import (
	"fmt"
	"log/slog"
	"strings"

	"edgepen/proxy"
)

// rehearse is --check and --explain: everything that a start does short of opening and serving.
func (o *options) rehearse(handler *logHandler) error {
	p := o.in.Proxy
	if o.control != "" {
		if _, _, err := proxy.SplitListen(o.control); err != nil {
			return fmt.Errorf("control port: %v", err)
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
	for _, w := range warnings {
		fmt.Fprintln(o.stdout, "warning:", w)
	}
	if o.explain {
		for _, line := range lines {
			fmt.Fprintln(o.stdout, line)
		}
		return nil
	}
	if err := o.confine(slog.New(handler)); err != nil { // the process ends here anyway, so it can try what a reload could read
		return err
	}
	fmt.Fprintln(o.stdout, "the configuration is good")
	return nil
}
