package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"edgepen/certs"
	"edgepen/proxy"
	"edgepen/proxy/backend"
)

func (c *call) abuse() error     { return c.extraServer(&c.Abuse) }
func (c *call) emergency() error { return c.extraServer(&c.Emergency) }

// extraServer is a server outside the table.
func (c *call) extraServer(to *backend.Spec) error {
	switch {
	case c.no:
		*to = backend.Spec{}
		return nil
	case len(c.words) != 1:
		return fmt.Errorf("%s wants a server: %s", c.cmd.name, c.cmd.usage())
	}
	var port uint16
	if len(c.Listeners) > 0 {
		port = proxy.ListenPort(c.Listeners[0].Address)
	}
	spec, err := backend.ParseSpec(c.words[0], port)
	if err == nil && spec.Port == 0 && !spec.IsUnix() {
		err = fmt.Errorf("server %q needs a port", c.words[0])
	}
	if err != nil {
		return fmt.Errorf("%s: %v", c.cmd.name, err)
	}
	*to = spec
	return nil
}

// fastCloseWords are the words of tcp_fastclose by their number.
var fastCloseWords = []string{proxy.FastCloseOff: "off", proxy.FastCloseUp: "up", proxy.FastCloseDown: "down", proxy.FastCloseBoth: "both"}

func (c *call) fastClose() error {
	if len(c.words) == 0 {
		c.printf("do_cmd: ignoring tcp_fastclose without argument\n")
		return nil
	}
	n := slices.Index(fastCloseWords, c.words[0])
	if n < 0 {
		return fmt.Errorf("tcp_fastclose: unknown word %q; expected up, down, both or off", c.words[0])
	}
	c.FastClose = proxy.FastClose(n)
	return nil
}

func (c *call) idlers() error {
	if len(c.words) > 0 {
		n, err := number(c.words[0], "connections", 0, 65536)
		if err != nil {
			return fmt.Errorf("idlers: %v", err)
		}
		c.Config.Idlers = n
	}
	c.printf("Idlers: %d/%d\n", c.Draft.Idlers(), c.Config.Idlers)
	return nil
}

func (c *call) logTo() error {
	switch {
	case c.no:
		c.Log = ""
	case len(c.words) > 0:
		c.Log = c.words[0]
	}
	if !c.no && c.Log != "" {
		c.printf("%s\n", c.Log)
	}
	return nil
}

func (c *call) renegotiation() error {
	if len(c.words) == 0 {
		return errors.New("ssl_client_renegotiation_interval wants seconds: " + c.cmd.usage())
	}
	d, err := seconds(c.words[0], 0)
	if err != nil {
		return fmt.Errorf("ssl_client_renegotiation_interval: %v", err)
	}
	c.Renegotiation = d
	return nil
}

func (c *call) selfSigned() error {
	switch {
	case c.no:
		c.Certificates.SelfSigned = ""
	case len(c.words) > 0:
		c.Certificates.SelfSigned = c.words[0]
	default:
		c.Certificates.SelfSigned = certs.DefaultNames
	}
	return nil
}

func (c *call) source() error {
	if c.no {
		c.Source = netip.Addr{}
		return nil
	}
	if len(c.words) == 0 {
		return errors.New("source wants an address: " + c.cmd.usage())
	}
	a, err := sourceAddress(c.words[0])
	if err != nil {
		c.printf("unable to set source address to '%s'", c.words[0])
		return nil
	}
	c.Source = a
	return nil
}

// sourceTimeout bounds the look-up of a name for source, as change after change waits for it.
const sourceTimeout = 5 * time.Second

// sourceAddress is an address, or the first one of a name, of IPv4 where it has any.
func sourceAddress(word string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(word); err == nil {
		return a.Unmap(), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), sourceTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", word)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range found {
		if a.Unmap().Is4() {
			return a.Unmap(), nil
		}
	}
	return found[0], nil
}

func (c *call) tarpit() error {
	if c.no {
		c.TarpitACL = -1
		return nil
	}
	if len(c.words) > 0 {
		n, err := number(c.words[0], "an access list", -1, proxy.Lists-1)
		if err != nil {
			return fmt.Errorf("tarpit_acl: %v", err)
		}
		c.TarpitACL = n
	}
	c.printf("tarpit_acl = %d", c.TarpitACL)
	return nil
}

// socketMode is a number in octal, as chmod(1) takes it.
func (c *call) socketMode() error {
	switch {
	case c.no:
		c.SocketMode = -1
		return nil
	case len(c.words) > 0:
		n, err := strconv.ParseUint(c.words[0], 8, 32)
		if err != nil || n > 0o777 {
			return fmt.Errorf("socket_mode: %q is no mode; expected octal digits from 0 to 777, as in 660", c.words[0])
		}
		c.SocketMode = int(n)
	}
	if c.SocketMode >= 0 {
		c.printf("%03o\n", c.SocketMode)
	}
	return nil
}

// sslOptions are the options that the original knows.
var sslOptions = []string{"no_sslv2", "no_sslv3", "no_tlsv1", "no_tlsv1.1", "no_tlsv1.2", "cipher_server_preference"}

func (c *call) sslOption() error {
	if c.no {
		c.TLS.Policy.SSLOptions = ""
		return nil
	}
	if len(c.words) == 0 {
		return errors.New("ssl_option wants an option: " + c.cmd.usage())
	}
	if !slices.Contains(sslOptions, c.words[0]) {
		return fmt.Errorf("ssl_option: unknown option %q; expected one of %s", c.words[0], strings.Join(sslOptions, ", "))
	}
	c.TLS.Policy.SSLOptions = strings.Join(union(strings.Fields(c.TLS.Policy.SSLOptions), c.words), " ")
	return nil
}

func (c *call) tlsMin() error {
	if c.no {
		c.TLS.Policy.MinVersion = ""
		return nil
	}
	if len(c.words) == 0 {
		return errors.New("tls_min wants a version: " + c.cmd.usage())
	}
	switch v := c.words[0]; v {
	case "ssl23", "ssl2", "ssl3", "tls1", "tls1.2", "tls1.3":
		c.TLS.Policy.MinVersion = v
	default:
		return fmt.Errorf("protocol version %s not known; expected tls1.2 or tls1.3 (or ssl23, ssl2, ssl3, tls1 for the default)", v)
	}
	return nil
}
