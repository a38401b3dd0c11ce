package proxy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"edgepen/acl"
	"edgepen/proxy/accesslog"
	"edgepen/proxy/health"
	"edgepen/tls/upstream"
)

// check finds what cannot be run, before anything is opened.
func (c *Config) check() error {
	if c.DSRInterface != "" && (len(c.ProxyFrom) > 0 || c.ProxyOut > 0) {
		return errors.New("PROXY headers (--proxy-protocol, --proxy-out) do not go with direct server return (dsr_if), which passes frames on as they are")
	}
	if c.UDP && c.ProxyOut == 1 {
		return errors.New("PROXY headers of version 1 (--proxy-out v1) are for connections: with UDP (-U) they have to be of version 2")
	}
	if (c.UDP || c.DSRInterface != "") && c.Health.Kind != health.Off {
		return errors.New("health checks (health_check) make connections to the servers: they go with neither UDP (-U) nor direct server return (dsr_if)")
	}
	if c.UDP && (c.HTTP || c.hasTLS() || c.Upstream.On) {
		return fmt.Errorf("UDP (-U) carries datagrams as they are: it goes with neither TLS (-E, --self-signed, --acme, --backend-tls) nor HTTP mode (-H)")
	}
	if err := c.checkHTTP3(); err != nil {
		return err
	}
	if c.DSRInterface != "" {
		if c.HTTP || c.hasTLS() {
			return fmt.Errorf("direct server return (dsr_if) passes frames on as they are: it goes with neither TLS (-E, --self-signed, --acme) nor HTTP mode (-H)")
		}
		_, _, err := c.service()
		return err
	}
	if err := c.Limits.Check(); err != nil {
		return err
	}
	if err := c.checkListeners(); err != nil {
		return err
	}
	if err := c.checkLoops(); err != nil {
		return err
	}
	if err := c.checkLists(); err != nil {
		return err
	}
	if o := c.Upstream; !o.On && o != (upstream.Options{}) {
		return fmt.Errorf("settings of TLS to the servers without --backend-tls, which have to come with it")
	}
	if !c.hasTLS() {
		return c.checkUnusedTLS()
	}
	return nil
}

func (c *Config) checkListeners() error {
	given := map[string]bool{}
	for _, l := range c.Listeners {
		network, addr, err := SplitListen(l.Address)
		if err != nil {
			return err
		}
		if given[addr] {
			return fmt.Errorf("listening address %s is given twice", l.Address)
		}
		given[addr] = true
		switch {
		case l.TLS == TLSAlways && !c.hasTLS():
			return fmt.Errorf("listener %s is to speak TLS, but there is no certificate: give --cert FILE (-E), --acme NAME or --self-signed", l.Address)
		case l.TLS == Redirect && (c.UDP || !slices.ContainsFunc(c.Listeners, c.usesTLS)):
			return fmt.Errorf("listener %s is to send clients to HTTPS, but no other listener speaks TLS: give --cert FILE (-E), --acme NAME or --self-signed", l.Address)
		case l.TLS == Redirect && network == "unix":
			return fmt.Errorf("listener %s: a Unix socket cannot send clients to HTTPS", l.Address)
		}
	}
	return nil
}

// checkLists refuses entries that can never be asked about: what a TLS client says, where no TLS is spoken.
func (c *Config) checkLists() error {
	plain := c.UDP || slices.ContainsFunc(c.Listeners, func(l Listener) bool { return l.TLS != Redirect && !c.usesTLS(l) })
	asked := map[int]string{}
	if c.ControlPort {
		asked[c.ControlACL] = "control_acl"
	}
	if plain {
		asked[c.ClientACL] = "client_acl, which clients without TLS are asked for too,"
		for i, s := range c.Servers {
			asked[s.ACL] = fmt.Sprintf("server %d, which clients without TLS may reach,", i)
		}
		if c.Emergency.Address != "" {
			asked[c.Emergency.ACL] = "the emergency server, which clients without TLS may reach,"
		}
	}
	for n, who := range asked {
		for _, e := range c.ACLs[n] {
			if e.Stage() != acl.Address {
				return fmt.Errorf("access list %d of %s has the entry %q: without TLS nobody can say whether that holds; give it a list of its own", n, who, e)
			}
		}
	}
	if c.TLS.ClientAuth == "" || c.TLS.ClientAuth == "off" {
		return c.checkCertificateEntries()
	}
	return nil
}

// checkCertificateEntries refuses entries about client certificates where nobody is asked for one.
func (c *Config) checkCertificateEntries() error {
	used := []int{c.ClientACL}
	if c.Emergency.Address != "" {
		used = append(used, c.Emergency.ACL)
	}
	for _, s := range c.Servers {
		used = append(used, s.ACL)
	}
	for _, n := range used {
		for _, e := range c.ACLs[n] {
			if e.Stage() == acl.Certificate {
				return fmt.Errorf("access list %d has the entry %q, but clients are asked for no certificate: --client-auth optional|required (-R)", n, e)
			}
		}
	}
	return nil
}

// checkUnusedTLS refuses TLS settings that would silently protect nothing.
func (c *Config) checkUnusedTLS() error {
	switch {
	case len(c.Certificates.Keys) > 0:
		return fmt.Errorf("a key (%s) without a certificate: give --cert FILE (-E)", strings.Join(c.Certificates.Keys, ", "))
	case c.Certificates.CAFile != "" || c.Certificates.CADir != "":
		return fmt.Errorf("CAs (-G, -A) without a certificate: give --cert FILE (-E)")
	case c.TLS.ClientAuth != "" && c.TLS.ClientAuth != "off":
		return fmt.Errorf("client certificates are asked for (-R, --client-auth), but there is no TLS: give --cert FILE (-E)")
	case len(c.Certificates.CRLs) > 0:
		return fmt.Errorf("revocation lists (--crl) without a certificate: give --cert FILE (-E)")
	}
	return nil
}

// unasked says which access lists have entries and are asked by nobody: whoever has made one takes it for being in force.
func (c *Config) unasked() (all []string) {
	asked := map[int]bool{c.ClientACL: true, c.ControlACL: true, c.TarpitACL: true, c.Emergency.ACL: true, c.Abuse.ACL: true}
	servers := c.Servers
	for _, r := range c.Routes {
		servers = append(slices.Clone(servers), r.Servers...)
	}
	for _, s := range servers {
		asked[s.ACL] = true
	}
	for _, n := range slices.Sorted(maps.Keys(c.ACLs)) {
		if len(c.ACLs[n]) > 0 && !asked[n] {
			all = append(all, fmt.Sprintf("access list %d has entries, but nobody is asked for it: client_acl %d, control_acl %d or server N acl %d", n, n, n, n))
		}
	}
	return all
}

// idle says which settings have no effect as the others are: whoever has given them takes them for being in force.
func (c *Config) idle() []string {
	loops, _ := c.loops()
	return slices.Concat(loops, c.unasked(), c.idleChecks(), c.idleHTTP())
}

// idleChecks is idle about health checks and the access log.
func (c *Config) idleChecks() (all []string) {
	if c.AccessLog == "" && c.AccessLogFormat != accesslog.Combined {
		all = append(all, "access_log_format has no effect: there is no access log (access_log)")
	}
	h, plain := c.Health, health.Defaults()
	switch {
	case h.Kind == health.Off && h != plain:
		all = append(all, "settings of health checks have no effect: servers are not checked (health_check)")
	case h.Kind != health.Off && h.Kind != health.HTTP && (h.Host != "" || h.Statuses != plain.Statuses):
		all = append(all, "health_status and health_host have no effect: they are for checks by http (health_check)")
	}
	return all
}

// idleHTTP is idle about HTTP.
func (c *Config) idleHTTP() (all []string) {
	if !c.HTTP {
		var names []string
		for _, setting := range []struct {
			name string
			on   bool
		}{
			{"backend_http2", c.BackendHTTP2}, {"body_max", c.BodyMax > 0}, {"client_from", c.ClientFrom != FromPeer}, {"error_page", len(c.ErrorPages) > 0},
			{"forwarded", c.Forwarded}, {"geo_fields", c.PlaceFields != Places{}}, {"hsts", c.HSTS.On}, {"no http2", !c.HTTP2},
			{"real_ip", c.RealIP}, {"request_id", c.RequestID != ""}, {"request_timeout", c.RequestTimeout > 0}, {"requests_max", c.RequestsMax > 0},
			{"response_remove", len(c.RemoveFields) > 0}, {"trusted_proxies", len(c.TrustedProxies) > 0}, {"via", c.Via != ""},
		} {
			if setting.on {
				names = append(names, setting.name)
			}
		}
		if len(names) > 0 {
			all = append(all, "without HTTP mode (-H) there is no effect of "+strings.Join(names, ", "))
		}
		return all
	}
	if c.HSTS.On && !slices.ContainsFunc(c.Listeners, c.usesTLS) {
		all = append(all, "hsts has no effect: no listener speaks TLS")
	}
	if c.ClientFrom == FromHeader && len(c.TrustedProxies) == 0 {
		all = append(all, "client_from header has no effect: nobody is trusted about clients (trusted_proxies)")
	}
	return all
}
