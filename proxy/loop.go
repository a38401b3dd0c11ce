package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"edgepen/proxy/backend"
)

// loops is the servers that are our own listeners: each connection to one would make another, until there are no more places. One that an access
// list of its own keeps connections away from may be meant.
func (c *Config) loops() (loops []string, all bool) {
	all = true
	for _, s := range append(slices.Clone(c.Servers), c.Emergency, c.Abuse) {
		if s.Address == "" {
			continue
		}
		at := slices.IndexFunc(c.Listeners, func(l Listener) bool { return l.TLS != Redirect && s.ACL == 0 && l.isServer(s) }) // that for redirects answers by itself
		if at < 0 {
			all = false
			continue
		}
		loops = append(loops, fmt.Sprintf("server %s is the listening address %s itself: every connection to it comes back to us; give the server's own port",
			s, c.Listeners[at].Address))
	}
	return loops, all && len(loops) > 0
}

// checkLoops refuses a configuration that has no other servers. Otherwise it is left at a warning: the original does with those that are left.
func (c *Config) checkLoops() error {
	if loops, all := c.loops(); all {
		return errors.New(loops[0])
	}
	return nil
}

// isServer reports whether connections to a server certainly come to a listener. Names other than localhost are not looked up for that.
func (l Listener) isServer(s backend.Spec) bool {
	network, addr, err := SplitListen(l.Address)
	if err != nil || s.Address == "" || s.Port == 0 {
		return false
	}
	if network == "unix" || s.IsUnix() {
		return network == "unix" && s.Address == addr
	}
	at, err := netip.ParseAddrPort(addr)
	if err != nil || at.Port() != s.Port {
		return false
	}
	server := netip.IPv6Loopback()
	if strings.EqualFold(s.Address, "localhost") {
		if at.Addr().Is4() {
			server = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
	} else if server, err = netip.ParseAddr(s.Address); err != nil {
		return false
	}
	server = server.Unmap()
	switch {
	case at.Addr() == server:
		return true
	case !server.IsLoopback() && !server.IsUnspecified():
		return false
	case at.Addr().IsUnspecified():
		return server.Is4() || at.Addr().Is6() // one of IPv6 takes both
	}
	return server.IsUnspecified() && at.Addr().IsLoopback() && at.Addr().Is4() == server.Is4() // that is how systems understand it
}
