package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"edgepen/acl"
	"edgepen/proxy"
	"edgepen/proxy/backend"
)

// acl appends an entry to an access list, or empties the list.
func (c *call) acl() error {
	if len(c.words) == 0 {
		return errors.New("acl wants the number of a list: " + c.cmd.usage())
	}
	if c.no {
		return c.noACL(c.words[0])
	}
	n, err := number(c.words[0], "an access list", 0, proxy.Lists-1)
	if err != nil {
		return fmt.Errorf("acl: %v", err)
	}
	if asked, err := c.askList(n, c.words[1:]); asked {
		return err
	}
	e, err := acl.ParseEntry(c.words[1:])
	if err != nil {
		return fmt.Errorf("acl %d: %v", n, err)
	}
	if w := e.Warning(); w != "" {
		c.Warn(fmt.Sprintf("acl %d: %s", n, w))
	}
	c.ACLs[n] = append(c.ACLs[n], e)
	return nil
}

// noACL empties a list, or the lists of a range: N or N-M.
func (c *call) noACL(lists string) error {
	from, to, isRange := strings.Cut(lists, "-")
	first, err := number(from, "an access list", 0, proxy.Lists-1)
	last := first
	if err == nil && isRange {
		last, err = number(to, "an access list", first, proxy.Lists-1)
	}
	if err != nil {
		return fmt.Errorf("no acl: %v", err)
	}
	for n := first; n <= last; n++ {
		delete(c.ACLs, n)
	}
	return nil
}

func (c *call) control() error {
	c.printf("%s\n", c.Control)
	return nil
}

func (c *call) debug() error {
	if len(c.words) > 0 {
		n, err := number(c.words[0], "a debug level", 0, 9)
		if err != nil {
			return fmt.Errorf("debug: %v", err)
		}
		c.Debug = n
	}
	c.printf("%d\n", c.Debug)
	return nil
}

func (c *call) exit() error {
	if !c.ExitEnabled {
		c.printf("Exit is not enabled; restart with -X flag\n")
		return nil
	}
	if c.Exit == nil {
		return errors.New("exit: there is nothing running to end")
	}
	c.After(c.Exit)
	return nil
}

func (c *call) geoip() error {
	switch {
	case c.no:
		c.GeoIP = nil
	case len(c.words) == 0:
		c.printf("%s\n", strings.Join(c.GeoIP, " "))
	default:
		c.GeoIP = union(c.GeoIP, c.words)
	}
	return nil
}

// help lists what can be done.
func (c *call) help() error {
	c.printf("%s", Help())
	return nil
}

// Help is the list of commands with what they do.
func Help() string {
	var b strings.Builder
	for _, row := range commands() {
		usage := row.usage()
		if row.no && !strings.Contains(row.help, "no "+row.name) {
			usage = "[no] " + usage
		}
		fmt.Fprintf(&b, "%s\n    %s\n", usage, row.help)
	}
	return b.String()
}

func (c *call) headMax() error {
	if len(c.words) > 0 {
		n, err := number(c.words[0], "bytes", 1024, 16<<20)
		if err != nil {
			return fmt.Errorf("head_max: %v", err)
		}
		c.HeadMax = n
	}
	c.printf("%d\n", c.HeadMax)
	return nil
}

func (c *call) idleTimeout() error {
	if c.no {
		c.IdleTimeout = proxy.ByMode
		return nil
	}
	if len(c.words) > 0 {
		d, err := seconds(c.words[0], 0)
		if err != nil {
			return fmt.Errorf("idle_timeout: %v", err)
		}
		c.IdleTimeout = d
	}
	c.printf("Idle timeout: %d seconds\n", inSeconds(c.Idle()))
	return nil
}

func (c *call) includeFile() error {
	if len(c.words) != 1 {
		return errors.New("include wants a file: " + c.cmd.usage())
	}
	inner := *c
	if len(c.files) == 0 { // not within a file that -F names: no replies, as in the original, and no words of the file
		inner.hushed, inner.out = true, new(strings.Builder)
	}
	return inner.include(c.words[0])
}

// listen replaces the first listening address; further ones stay.
func (c *call) listen() error {
	if len(c.words) > 0 {
		if _, _, err := proxy.SplitListen(c.words[0]); err != nil {
			return err
		}
		if len(c.Listeners) == 0 {
			c.Listeners = []proxy.Listener{{}}
		}
		c.Listeners[0].Address = c.words[0]
	}
	if len(c.Listeners) > 0 {
		c.printf("%s\n", c.Listeners[0].Address)
	}
	return nil
}

func (c *call) mode() error {
	m := c.Mode
	var words []string
	for _, f := range []struct {
		on   bool
		name string
	}{{m.Hash, "hash"}, {m.RoundRobin, "roundrobin"}, {m.Stubborn, "stubborn"}, {m.Weight, "weight"}, {m.Prio, "prio"}} {
		if !f.on {
			words = append(words, "no")
		}
		words = append(words, f.name)
	}
	c.printf("%s\n", strings.Join(words, " "))
	return nil
}

func (c *call) pendingMax() error {
	if len(c.words) == 0 {
		return errors.New("pending_max wants a number: " + c.cmd.usage())
	}
	n, err := number(c.words[0], "unfinished connects", 1, 1<<31-1)
	if err != nil {
		return fmt.Errorf("pending_max: %v", err)
	}
	c.PendingMax = n
	return nil
}

func (c *call) pid() error {
	c.printf("%d\n", os.Getpid())
	return nil
}

func (c *call) recent() error {
	within := 300 * time.Second
	if len(c.words) > 0 {
		var err error
		if within, err = seconds(c.words[0], 0); err != nil {
			return fmt.Errorf("recent: %v", err)
		}
	}
	for _, k := range c.Recent(within) {
		c.printf("%s connects %d sx %d rx %d\n", proxy.ShowAddr(k.Addr), k.Connects, k.Sent, k.Received)
	}
	return nil
}

func (c *call) reload() error {
	if c.Interpreter.Reload == nil {
		return errors.New("reload: there is nothing running to reload")
	}
	c.then = c.Interpreter.Reload // once this command's own Update is over
	return nil
}

// server changes a slot of the server table, or makes it.
func (c *call) server() error {
	if len(c.words) == 0 {
		return errors.New("server wants the number of a server: " + c.cmd.usage())
	}
	n, err := number(c.words[0], "a server", 0, maxServers-1)
	if err != nil {
		return fmt.Errorf("server: %v", err)
	}
	if len(c.words)%2 == 0 {
		return fmt.Errorf("server %d: %s wants a value; usage: %s", n, c.words[len(c.words)-1], c.cmd.usage())
	}
	for len(c.Servers) <= n {
		c.Servers = append(c.Servers, backend.Spec{})
	}
	for w := c.words[1:]; len(w) > 0; w = w[2:] {
		if err := c.serverField(n, w[0], w[1]); err != nil {
			return fmt.Errorf("server %d: %v", n, err)
		}
	}
	if s := &c.Servers[n]; s.Port == 0 && s.IsUnix() {
		s.Port = 1 // as for one on the command line: what has no port is never tried
	} else if s.Port == 0 && s.Address != "" {
		c.Warn(fmt.Sprintf("server %d has no port and will not be tried: server %d port P", n, n))
	}
	return nil
}

// maxServers bounds the server table: a slot number makes every slot below it.
const maxServers = 65536

func (c *call) serverField(n int, name, value string) (err error) {
	s := &c.Servers[n]
	switch name {
	case "acl":
		s.ACL, err = number(value, "an access list", 0, proxy.Lists-1)
	case "address":
		s.Address = value
	case "port":
		s.Port, err = port(value)
	case "max":
		s.Max, err = number(value, "connections", 0, 1<<31-1)
	case "hard":
		s.Hard, err = number(value, "connections", 0, 1<<31-1)
	case "weight":
		s.Weight, err = number(value, "a weight", 0, 1<<31-1)
	case "prio":
		s.Prio, err = number(value, "a priority", -1<<31, 1<<31-1)
	case "blacklist":
		var t time.Duration
		if t, err = seconds(value, 0); err == nil {
			c.Shun(n, t)
		}
	default:
		return fmt.Errorf("unknown word %q; expected acl, address, port, max, hard, weight, prio or blacklist", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %v", name, err)
	}
	return nil
}

// port reads a port number or a service name.
func port(word string) (uint16, error) {
	n, err := net.LookupPort("ip", word)
	if err != nil || word == "" {
		return 0, fmt.Errorf("%q is no port; expected a number from 0 to 65535 or a service name", word)
	}
	return uint16(n), nil
}

func (c *call) servers() error {
	for i, s := range c.ServerStatus() {
		addr := s.Shown
		if addr == "" {
			addr = "(unknown address family 0" // what the original prints for a slot never used
		}
		c.printf("%d addr %s port %d conn %d max %d hard %d weight %d prio %d sx %d rx %d\n",
			i, addr, s.Port, s.Conns, s.Max, s.Hard, s.Weight, s.Prio, s.Sent, s.Received)
	}
	return nil
}

func (c *call) trustedProxies() error {
	switch {
	case c.no:
		c.TrustedProxies = nil
	case len(c.words) == 0:
		var all []string
		for _, p := range c.TrustedProxies {
			all = append(all, p.String())
		}
		c.printf("%s\n", strings.Join(all, " "))
	default:
		p, err := prefixes(c.words)
		if err != nil {
			return fmt.Errorf("trusted_proxies: %v", err)
		}
		c.TrustedProxies = union(c.TrustedProxies, p)
	}
	return nil
}

// union adds what is not there yet: a file that is read again at HUP adds nothing twice.
func union[T comparable](have, more []T) []T {
	for _, m := range more {
		if !slices.Contains(have, m) {
			have = append(have, m)
		}
	}
	return have
}
