package proxy

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"

	"edgepen/acl"
	"edgepen/certs"
	"edgepen/certs/revoke"
	"edgepen/httpx"
)

// Check compiles the configuration, reading every file that it names and looking up every server, and opens nothing.
func (p *Proxy) Check() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.rehearse()
	return err
}

// rehearse makes the snapshot that the configuration would be. Nothing is opened, made or written.
func (p *Proxy) rehearse() (*snapshot, error) {
	if err := p.config.check(); err != nil {
		return nil, err
	}
	if _, err := p.acme.wanted(&p.config); err != nil {
		return nil, err
	}
	p.rehearsing = true
	defer func() { p.rehearsing = false }()
	return p.compile(p.config, nil, true, p.resolver(nil, true))
}

// Explain says what the configuration means in terms of security, warnings first. It opens nothing.
func (p *Proxy) Explain() (warnings, lines []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.rehearse()
	if err != nil {
		return nil, nil, err
	}
	e := &explanation{snapshot: s, warnings: s.warnings()}
	e.listeners()
	e.tls()
	e.clients()
	e.servers()
	e.logs()
	e.oddities()
	return e.warnings, e.lines, nil
}

// explanation is a snapshot put into words.
type explanation struct {
	*snapshot
	warnings, lines []string
}

func (e *explanation) say(format string, args ...any) {
	e.lines = append(e.lines, fmt.Sprintf(format, args...))
}

func (e *explanation) warn(format string, args ...any) {
	e.warnings = append(e.warnings, fmt.Sprintf(format, args...))
}

func (e *explanation) logs() {
	if e.AccessLog == "" {
		return
	}
	full := "are lost and counted"
	if e.AccessLogFull == AwaitRoom {
		full = "hold requests up"
	}
	e.say("access log %s: %s; lines that cannot be written %s", e.AccessLog, e.AccessLogFormat, full)
}

func (e *explanation) listeners() {
	for _, l := range e.Listeners {
		how := "plain TCP"
		switch {
		case e.UDP:
			how = "UDP"
		case l.TLS == Redirect:
			how = "plain HTTP, sent to https on port " + fmt.Sprint(e.tlsPort())
		case e.usesTLS(l) && e.HTTP:
			how = "HTTPS"
			if e.offersHTTP3(l) {
				how += ", and HTTP/3 over UDP on the same port"
			}
		case e.usesTLS(l):
			how = "TLS"
		case e.HTTP:
			how = "plain HTTP"
		}
		e.say("listener %s: %s", l.Address, how)
	}
}

func (e *explanation) tls() {
	if e.profile == nil {
		e.say("TLS: none")
		return
	}
	for _, line := range e.profile.Explain() {
		if !strings.HasPrefix(line, "warning: ") { // they have been said
			e.say("TLS: %s", line)
		}
	}
	if e.ECHName != "" && len(e.certs.ECH) == 0 {
		e.say("TLS: Encrypted Client Hello: keys for %s will be made", e.ECHName)
	}
	for _, c := range e.certs.All() {
		e.certificate(c)
	}
	for _, name := range e.ACME.Names {
		e.say("certificate for %s: obtained and renewed by ACME", name)
	}
	if len(e.ACME.OnDemand) > 0 {
		e.say("certificates for %s: obtained by ACME when a client asks", strings.Join(e.ACME.OnDemand, ", "))
	}
	for _, r := range e.Routes {
		e.say("clients that ask for %s: passed on without ending TLS", r.Name)
	}
	if e.PlainHTTP == PlainRedirected {
		e.say("plain HTTP on a TLS port: 308 to https")
	}
}

func (e *explanation) certificate(c *certs.Certificate) {
	var chain []string
	for _, der := range c.TLS().Certificate {
		if parsed, err := x509.ParseCertificate(der); err == nil {
			chain = append(chain, parsed.Subject.String())
		}
	}
	e.say("certificate %s: for %s; chain sent: %s; valid until %s", c.Source, strings.Join(c.Names, ", "), strings.Join(chain, " < "),
		c.Leaf().NotAfter.UTC().Format("2006-01-02"))
}

// clients says who may come in, and what is believed of what they say.
func (e *explanation) clients() {
	if e.asksForCertificates() {
		switch lists := len(e.certs.Revoked); {
		case e.CRL.Mode == revoke.Off || lists == 0 && !e.CRL.Fetch:
			e.warn("client certificates are not held against revocation lists: --crl FILE or --crl-fetch")
		default:
			e.say("client certificates: held against %d revocation lists, %s", lists, e.crlInWords())
		}
		for _, d := range e.DeniedCerts {
			e.say("client certificates: %s is denied", d)
		}
		e.withoutCertificates()
	}
	used := map[int]string{e.ClientACL: "every client"}
	if e.ClientACL != 0 && len(e.ACLs[e.ClientACL]) == 0 { // 0 is the default, and most often empty
		e.warn("client_acl %d: access list %d has no entries, and so everybody passes", e.ClientACL, e.ClientACL)
	}
	for i, srv := range e.Servers {
		if _, ok := used[srv.ACL]; !ok {
			used[srv.ACL] = fmt.Sprintf("clients for server %d", i)
		}
	}
	if _, ok := used[e.ControlACL]; !ok {
		used[e.ControlACL] = "the control port"
	}
	for _, n := range slices.Sorted(maps.Keys(used)) {
		e.say("access list %d, asked for %s: %s", n, used[n], ending(e.ACLs[n]))
	}
	e.limits()
	e.forwarded()
	e.introductions()
}

// limits says what clients are limited by, and what those that are denied get.
func (e *explanation) limits() {
	l := &e.Limits
	for _, limit := range []struct {
		n    float64
		what string
	}{
		{float64(l.Concurrent), "connections at once of a client's prefix"}, {l.PerSecond, "new connections a second of a client's prefix"},
		{l.Failures, "failed handshakes a minute of a client's prefix"}, {float64(l.Handshakes), "handshakes at once"},
		{l.HandshakesPerSecond, "full handshakes a second"},
	} {
		if limit.n > 0 {
			e.say("limit: %v %s", limit.n, limit.what)
		}
	}
	for reason, action := range e.Denied {
		if action == AsOriginal {
			continue
		}
		e.say("clients denied by reason %s: %s", ReasonWords[reason], ActionWords[action])
		if does := e.action(Reason(reason)); does != action {
			needs := "HTTP mode (-H)"
			if action == Abused {
				needs = "an abuse server (-B)"
			}
			e.warn("clients denied by reason %s get %s: %s needs %s", ReasonWords[reason], ActionWords[does], ActionWords[action], needs)
		}
	}
	if places := e.geo.Describe(); places != "" {
		e.say("places of clients: %s", places)
	}
}

// withoutCertificates names the ways in on which nobody is asked for a certificate, though certificates are required.
func (e *explanation) withoutCertificates() {
	if e.TLS.ClientAuth != "required" {
		return
	}
	for _, l := range e.Listeners {
		if l.TLS != Redirect && !e.usesTLS(l) {
			e.warn("clients of listener %s show no certificate, though certificates are required (-R): it speaks no TLS", l.Address)
		}
	}
	for _, r := range e.Routes {
		e.warn("clients that ask for %s show us no certificate, though certificates are required (-R): they are passed on", r.Name)
	}
}

func (e *explanation) crlInWords() string {
	words := "a missing or outdated list refuses the client"
	if e.CRL.Mode == revoke.Soft {
		words = "a missing or outdated list lets the client pass"
	}
	if e.CRL.Fetch {
		words += ", and those that certificates name are fetched"
	}
	return words
}

// ending says what a list answers where no entry matches.
func ending(l acl.List) string {
	switch {
	case len(l) == 0:
		return "no entries, everybody passes"
	case l[len(l)-1].Permit:
		return fmt.Sprintf("%d entries, whoever matches none is denied", len(l))
	}
	return fmt.Sprintf("%d entries, whoever matches none passes", len(l))
}

func (e *explanation) forwarded() {
	switch {
	case !e.HTTP:
		e.say("X-Forwarded-For and its like: HTTP mode is off, nothing is looked at or added")
	case len(e.TrustedProxies) == 0:
		e.say("X-Forwarded-For and its like: what clients send is removed, ours are set")
	default:
		var all []string
		for _, prefix := range e.TrustedProxies {
			all = append(all, prefix.String())
			if prefix.Bits() == 0 {
				e.warn("every peer is trusted about X-Forwarded-For (%s): anybody can forge an address", prefix)
			}
		}
		e.say("X-Forwarded-For and its like: believed from %s, removed from all others", strings.Join(all, ", "))
		if e.TrustedField != httpx.TrustForwardedFor {
			e.say("clients of these are told in %s", map[httpx.TrustedField]string{httpx.TrustForwarded: "Forwarded", httpx.TrustRealIP: "X-Real-IP"}[e.TrustedField])
		}
		if e.ClientFrom == FromHeader {
			e.say("client_acl is asked about these, and about their clients")
		}
	}
	if e.HTTP && e.asksForCertificates() && e.Identity != (Identity{}) {
		e.say("servers are told of client certificates in Client-Cert or X-SSL-Client- fields; what clients send under these names is removed")
	}
}

// introductions says whose PROXY headers are believed.
func (e *explanation) introductions() {
	for _, source := range e.ProxyFrom {
		if source.Peers.Bits() == 0 && source.Rule != ProxyRefused {
			e.warn("every peer may send a PROXY header (%s): anybody can forge an address", source.Peers)
		}
		switch source.Rule {
		case ProxyRequired:
			e.say("PROXY headers: believed from %s, and demanded", source.Peers)
		case ProxyOptional:
			e.say("PROXY headers: believed from %s, which may connect without one", source.Peers)
		case ProxyRefused:
			e.say("PROXY headers: refused from %s", source.Peers)
		}
	}
	if e.ProxyOut > 0 {
		with := "connection"
		if e.UDP {
			with = "datagram"
		}
		e.say("PROXY headers: servers are sent one of version %d with each %s", e.ProxyOut, with)
	}
}

func (e *explanation) servers() {
	for i, srv := range e.Servers {
		if srv.Address != "" {
			e.say("server %d: %s", i, srv)
		}
	}
	switch {
	case !e.BackendHTTP2 || !e.HTTP:
	case e.upstream == nil:
		e.say("requests to servers: HTTP/2 without asking (h2c), which each has to speak")
	default:
		e.say("requests to servers: HTTP/2, which each has to agree to")
	}
	if e.upstream == nil {
		e.say("connections to servers: without TLS")
		return
	}
	by := "the CAs of " + strings.TrimSpace(e.Upstream.CAFile+" "+e.Upstream.CADir)
	if e.Upstream.CAFile+e.Upstream.CADir == "" {
		by = "the system's CAs"
	}
	if !e.Upstream.SkipVerify {
		e.say("connections to servers: TLS, verified by %s under the name of %s", by, cmp.Or(e.Upstream.ServerName, "each server"))
	}
}
