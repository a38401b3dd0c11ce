package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"edgepen/proxy/dsr"
)

// service is the address of direct server return: the first listening address, "IP", "IP:port"; port 0 is all ports.
func (c *Config) service() (netip.Addr, uint16, error) {
	if len(c.Listeners) == 0 {
		return netip.Addr{}, 0, errors.New("direct server return (dsr_if) needs the service address as the listening address")
	}
	text := c.Listeners[0].Address
	host, port, _ := strings.Cut(text, ":")
	a, err := netip.ParseAddr(host)
	if err != nil || !a.Is4() {
		return netip.Addr{}, 0, fmt.Errorf("direct server return (dsr_if): %q is no service address; expected IPV4[:PORT]", text)
	}
	if port == "" {
		return a, 0, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("direct server return (dsr_if): %q: %q is no port", text, port)
	}
	return a, uint16(n), nil
}

// openDSR begins direct server return, if the configuration asks for it. It takes root's rights, and comes before they are gone.
func (p *Proxy) openDSR(s *snapshot) error {
	if s.DSRInterface == "" {
		return nil
	}
	c, err := s.dsrConfig()
	if err != nil {
		return err
	}
	p.dsr, err = dsr.Open(c, p.log)
	return err
}

// updateDSR puts a configuration into force for direct server return.
func (p *Proxy) updateDSR(s *snapshot) error {
	if p.dsr == nil {
		if s.DSRInterface != "" {
			return errors.New("dsr_if takes effect at the start only: restart pen")
		}
		return nil
	}
	c, err := s.dsrConfig()
	if err != nil {
		return err
	}
	return p.dsr.Update(c)
}

func (s *snapshot) dsrConfig() (dsr.Config, error) {
	a, port, err := s.service()
	c := dsr.Config{Interface: s.DSRInterface, Address: a, Port: port, UDP: s.UDP, RoundRobin: s.Mode.RoundRobin, Stubborn: s.Mode.Stubborn}
	for _, srv := range s.set.Servers {
		c.Servers = append(c.Servers, dsr.Server{Addr: frameAddress(srv.Addrs), Weight: srv.Weight, State: srv.State})
	}
	if s.TarpitACL >= 0 {
		c.Tarpit = func(a netip.Addr) bool { return s.permits(s.TarpitACL, a) }
	}
	return c, err
}

// frameAddress is where direct server return finds a server: the first IPv4 address of its name, which may stand for IPv6
// addresses too. Where there is none it is the first that there is, for the error to name; the zero Addr is an empty slot.
func frameAddress(addrs []netip.AddrPort) netip.Addr {
	for _, a := range addrs {
		if a.Addr().Is4() {
			return a.Addr()
		}
	}
	if len(addrs) > 0 {
		return addrs[0].Addr()
	}
	return netip.Addr{}
}
