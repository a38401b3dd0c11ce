package control

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"edgepen/certs"
	"edgepen/certs/revoke"
	"edgepen/proxy"
	"edgepen/proxy/backend"
)

// tlsSettings is the commands about TLS and certificates.
func tlsSettings() []*command {
	return []*command{
		names("acme", "NAME…", "obtain certificates for these names (ACME), and agree to the authority's terms", func(c *proxy.Config) *[]string { return &c.ACME.Names }),
		text("acme_ca", "URL|letsencrypt|staging", "the authority's directory; Let's Encrypt if none", func(c *proxy.Config) *string { return &c.ACME.CA }),
		text("acme_ca_roots", "FILE", "CAs for the authority's own server", func(c *proxy.Config) *string { return &c.ACME.CARoots }),
		names("acme_challenges", "http-01|tls-alpn-01…", "kinds of validation, the preferred one first", func(c *proxy.Config) *[]string { return &c.ACME.Challenges }),
		{"acme_eab", "ID FILE", "bind the account to one that the authority knows; FILE holds its key", true, (*call).acmeEAB},
		text("acme_email", "ADDRESS", "where the authority may write to", func(c *proxy.Config) *string { return &c.ACME.Email }),
		names("acme_on_demand", "NAME|*.SUFFIX…", "obtain certificates for these names when a client asks", func(c *proxy.Config) *[]string { return &c.ACME.OnDemand }),
		text("acme_profile", "NAME", "the authority's profile to order", func(c *proxy.Config) *string { return &c.ACME.Profile }),
		{"acme_status", "", "how far the certificates by ACME are", false, (*call).acmeStatus},
		text("acme_storage", "DIR", "where certificates and accounts are kept", func(c *proxy.Config) *string { return &c.ACME.Storage }),
		text("backend_ca", "FILE", "CAs that vouch for servers, or the word system", func(c *proxy.Config) *string { return &c.Upstream.CAFile }),
		text("backend_ca_dir", "DIR", "the same as a directory in hashed form", func(c *proxy.Config) *string { return &c.Upstream.CADir }),
		text("backend_cert", "FILE", "our certificate towards servers", func(c *proxy.Config) *string { return &c.Upstream.Cert }),
		toggle("backend_http2", "speak HTTP/2 to the servers, in HTTP mode", func(c *proxy.Config) *bool { return &c.BackendHTTP2 }),
		toggle("backend_insecure", "do not verify servers; for tests only", func(c *proxy.Config) *bool { return &c.Upstream.SkipVerify }),
		text("backend_key", "FILE", "its key", func(c *proxy.Config) *string { return &c.Upstream.Key }),
		text("backend_name", "NAME", "the name that servers are asked for and have to show", func(c *proxy.Config) *string { return &c.Upstream.ServerName }),
		toggle("backend_tls", "speak TLS to the servers", func(c *proxy.Config) *bool { return &c.Upstream.On }),
		choice("backend_tls_min", "the oldest TLS towards servers", []string{"tls1.2", "tls1.3"}, func(c *proxy.Config) *string { return &c.Upstream.MinVersion }),
		text("ca_dir", "DIR", "CAs for client certificates as a directory in hashed form", func(c *proxy.Config) *string { return &c.Certificates.CADir }),
		text("ca_file", "FILE", "CAs for client certificates, or the word system", func(c *proxy.Config) *string { return &c.Certificates.CAFile }),
		{"cert", "FILE [KEY] | list", "add a certificate; cert list: those that clients are shown; no cert [FILE]: none, or all but FILE", true, (*call).cert},
		choice("client_auth", "whether clients are asked for certificates; required is -R", []string{"off", "optional", "required"}, func(c *proxy.Config) *string { return &c.TLS.ClientAuth }),
		{"client_deny", "[serial HEX | spki SHA256]", "refuse a client certificate at once, and end its connections; no client_deny [serial HEX | spki SHA256]: allow it", true, (*call).clientDeny},
		{"client_fields", "rfc9440|x-ssl|both…", "how HTTP servers are told of client certificates; no client_fields: not at all", true, (*call).clientFields},
		names("crl", "FILE…", "revocation lists for client certificates", func(c *proxy.Config) *[]string { return &c.Certificates.CRLs }),
		{"crl_check", "[off|soft|hard]", "what a missing or outdated revocation list means: nothing is checked, the client passes, the client is refused", false, (*call).crlCheck},
		toggle("crl_fetch", "fetch the revocation lists that client certificates name", func(c *proxy.Config) *bool { return &c.CRL.Fetch }),
		{"crls", "", "describe the revocation lists", false, (*call).crls},
		{"ech", "[rotate]", "print the DNS records that publish the ECH keys; ech rotate: make a new key first", false, (*call).ech},
		text("ech_keys", "FILE", "keys for Encrypted Client Hello", func(c *proxy.Config) *string { return &c.Certificates.ECHKeys }),
		text("ech_name", "NAME", "the public name of ECH keys that are made where the file is not there", func(c *proxy.Config) *string { return &c.ECHName }),
		names("key", "FILE…", "keys of certificates", func(c *proxy.Config) *[]string { return &c.Certificates.Keys }),
		toggle("ocsp_fetch", "ask the OCSP responders that our certificates name", func(c *proxy.Config) *bool { return &c.OCSPFetch }),
		{"plain_http", "[redirect|error]", "what plain HTTP on a TLS port gets: 308 to https, or 400", false, (*call).plainHTTP},
		{"require_client_cert", "", "the same as client_auth required; no require_client_cert: client_auth off", true, (*call).requireClientCert},
		{"self_signed", "[NAME,…]", "a certificate made in memory; no self_signed: none", true, (*call).selfSigned},
		{"sni_route", "[NAME SERVER…]", "pass clients that ask for NAME (or *.SUFFIX) on to servers without ending TLS; no sni_route [NAME]", true, (*call).sniRoute},
		text("ssl_ciphers", "CIPHERS", "cipher suites of TLS 1.2 as an OpenSSL cipher string", func(c *proxy.Config) *string { return &c.TLS.Policy.Ciphers }),
		{"ssl_client_renegotiation_interval", "SECONDS", "kept, without effect: nobody may renegotiate", false, (*call).renegotiation},
		text("ssl_ocsp_response", "FILE", "OCSP response for the certificate", func(c *proxy.Config) *string { return &c.Certificates.OCSPResponse }),
		{"ssl_option", "OPTION", "no_tlsv1.2 and its like; no ssl_option: none", true, (*call).sslOption},
		text("ssl_sni_path", "DIR", "certificates by name: NAME.crt, NAME.key, NAME.ca, NAME.ocsp", func(c *proxy.Config) *string { return &c.Certificates.SNIPath }),
		{"stats", "", "count handshakes by version, cipher, group and reason of failure", false, (*call).stats},
		toggle("strict_sni", "refuse clients that name no host, or one without a certificate", func(c *proxy.Config) *bool { return &c.TLS.StrictSNI }),
		text("ticket_keys", "FILE", "session ticket keys, shared between machines", func(c *proxy.Config) *string { return &c.Certificates.TicketKeys }),
		toggle("tls_compat", "allow TLS 1.0, 1.1 and CBC suites", func(c *proxy.Config) *bool { return &c.TLS.Policy.Compat }),
		text("tls_groups", "GROUP:…", "groups for the key exchange", func(c *proxy.Config) *string { return &c.TLS.Policy.Groups }),
		{"tls_min", "tls1.2|tls1.3", "the oldest TLS; no tls_min: the default", true, (*call).tlsMin},
		choice("tls_profile", "Mozilla's recommendation to follow", []string{"intermediate", "modern"}, func(c *proxy.Config) *string { return &c.TLS.Policy.Profile }),
		toggle("tls_require_pq", "refuse clients without a hybrid post-quantum key exchange", func(c *proxy.Config) *bool { return &c.TLS.Policy.RequirePQ }),
		setting("watch_interval", "how often the files of certificates, lists and databases are looked at, 0 never", 0, func(c *proxy.Config) *time.Duration { return &c.Watch }),
	}
}

// names is a list of words that grows: what is there already is not added again. Without a word it is printed.
func names(name, args, help string, field func(*proxy.Config) *[]string) *command {
	word, _, _ := strings.Cut(strings.TrimSuffix(args, "…"), "|")
	return &command{name, "[" + args + "]", fmt.Sprintf("%s; no %s [%s]: none, or all but that", help, name, word), true, func(c *call) error {
		f := field(&c.Config)
		switch {
		case c.no:
			return c.remove(f)
		case len(c.words) == 0 && len(*f) > 0:
			c.printf("%s\n", strings.Join(*f, " "))
		default:
			*f = union(*f, c.words)
		}
		return nil
	}}
}

// remove empties a list, or takes one word from it.
func (c *call) remove(f *[]string) error {
	if len(c.words) == 0 {
		*f = nil
		return nil
	}
	i := slices.Index(*f, c.words[0])
	if i < 0 {
		return fmt.Errorf("no %s %s: it is not there", c.cmd.name, c.words[0])
	}
	*f = slices.Delete(slices.Clone(*f), i, i+1)
	return nil
}

// choice is one of some words; the first is the default.
func choice(name, help string, words []string, field func(*proxy.Config) *string) *command {
	return &command{name, "[" + strings.Join(words, "|") + "]", help, true, func(c *call) error {
		f := field(&c.Config)
		switch {
		case c.no:
			*f = ""
		case len(c.words) == 0:
			word := *f
			if word == "" {
				word = words[0]
			}
			c.printf("%s\n", word)
		case !slices.Contains(words, c.words[0]):
			return unknownWord(name, c.words[0], words)
		case c.words[0] == words[0]:
			*f = ""
		default:
			*f = c.words[0]
		}
		return nil
	}}
}

func unknownWord(name, word string, words []string) error {
	return fmt.Errorf("%s: unknown word %q; expected %s", name, word, strings.Join(words, ", "))
}

// cert adds a certificate, with its key if that is in a file of its own, or lists what clients are shown.
func (c *call) cert() error {
	switch {
	case c.no:
		return c.remove(&c.Certificates.Certs)
	case len(c.words) == 1 && c.words[0] == "list":
		c.listCertificates()
		return nil
	case len(c.words) == 0:
		return errors.New("cert wants a file: " + c.cmd.usage())
	}
	c.Certificates.Certs = union(c.Certificates.Certs, c.words[:1])
	c.Certificates.Keys = union(c.Certificates.Keys, c.words[1:])
	return nil
}

func (c *call) listCertificates() {
	for _, cert := range c.ShownCertificates() {
		leaf := cert.Leaf
		c.printf("%s\n    issuer %s\n    serial %s\n    valid until %s\n    source %s\n    OCSP %s\n", printable(strings.Join(cert.Names, " ")),
			printable(leaf.Issuer.String()), hex.EncodeToString(leaf.SerialNumber.Bytes()), stamp(leaf.NotAfter),
			printable(cert.Source), printable(cert.Stapling))
	}
}

// printable keeps what a certificate says from steering a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// clientDeny refuses a client certificate whatever its CA says.
func (c *call) clientDeny() error {
	if len(c.words) == 0 {
		if c.no {
			c.DeniedCerts = nil
			return nil
		}
		for _, d := range c.DeniedCerts {
			c.printf("%s\n", d)
		}
		return nil
	}
	d, err := revoke.ParseDenial(c.words)
	if err != nil {
		return fmt.Errorf("client_deny: %v", err)
	}
	i := slices.Index(c.DeniedCerts, d)
	switch {
	case c.no && i < 0:
		return fmt.Errorf("no client_deny %s: it is not there", d)
	case c.no:
		c.DeniedCerts = slices.Delete(c.DeniedCerts, i, i+1)
	case i < 0:
		c.DeniedCerts = append(c.DeniedCerts, d)
	}
	return nil
}

// clientFields says in which header fields HTTP servers are told of client certificates.
func (c *call) clientFields() error {
	var wanted proxy.Identity
	if !c.no && len(c.words) == 0 {
		return errors.New("client_fields wants rfc9440, x-ssl or both: " + c.cmd.usage())
	}
	for _, word := range c.words {
		switch word {
		case "rfc9440":
			wanted.Standard = true
		case "x-ssl":
			wanted.Classic = true
		case "both":
			wanted = proxy.Identity{Standard: true, Classic: true}
		default:
			return unknownWord("client_fields", word, []string{"rfc9440", "x-ssl", "both"})
		}
	}
	c.Identity = wanted
	return nil
}

// The words of settings that are numbers, in the order of these.
var (
	crlWords       = []string{revoke.Off: "off", revoke.Soft: "soft", revoke.Hard: "hard"}
	plainHTTPWords = []string{proxy.PlainRedirected: "redirect", proxy.PlainRefused: "error"}
)

// oneOf reads a word of a list as its number, or prints it.
func (c *call) oneOf(words []string, now int) (int, error) {
	if len(c.words) == 0 {
		c.printf("%s\n", words[now])
		return now, nil
	}
	n := slices.Index(words, c.words[0])
	if n < 0 {
		return now, unknownWord(c.cmd.name, c.words[0], words)
	}
	return n, nil
}

func (c *call) crlCheck() error {
	n, err := c.oneOf(crlWords, int(c.CRL.Mode))
	c.CRL.Mode = revoke.Mode(n)
	return err
}

func (c *call) plainHTTP() error {
	n, err := c.oneOf(plainHTTPWords, int(c.PlainHTTP))
	c.PlainHTTP = proxy.PlainHTTP(n)
	return err
}

func (c *call) crls() error {
	lines := c.Revocations()
	if len(lines) == 0 {
		c.printf("there are no revocation lists: crl FILE, or crl_fetch for those that client certificates name\n")
	}
	for _, line := range lines {
		c.printf("%s\n", printable(line))
	}
	return nil
}

// ech prints what to publish, after making a new key if that is asked for.
func (c *call) ech() error {
	if len(c.words) > 0 && c.words[0] != "rotate" {
		return unknownWord("ech", c.words[0], []string{"rotate"})
	}
	print := func(d *proxy.Draft) {
		records := d.ECHRecords()
		if len(records) == 0 {
			c.printf("; no records: %s\n", d.WithoutECH())
		}
		for _, record := range records {
			c.printf("%s\n", record)
		}
	}
	if len(c.words) == 0 {
		print(c.Draft)
		return nil
	}
	if len(c.files) > 0 {
		return errors.New("ech rotate is for penctl: in a file it would make a new key at each reload")
	}
	c.then = func() error { // once this command's own Update is over
		if err := c.Proxy.RotateECH(); err != nil {
			return err
		}
		return c.Proxy.Update(func(d *proxy.Draft) error { print(d); return nil })
	}
	return nil
}

func (c *call) requireClientCert() error {
	if c.TLS.ClientAuth = "required"; c.no {
		c.TLS.ClientAuth = ""
	}
	return nil
}

// acmeStatus prints a line for each name that is to have a certificate by ACME.
func (c *call) acmeStatus() error {
	names := c.ACMEStatus()
	switch {
	case len(names) > 0:
	case len(c.ACME.OnDemand) > 0:
		c.printf("no client has asked for a name of acme_on_demand yet\n")
	default:
		c.printf("no certificates are obtained by ACME: acme NAME\n")
	}
	for _, s := range names {
		c.printf("%s", s.Name)
		if !s.Until.IsZero() {
			c.printf(" valid until %s", stamp(s.Until))
		}
		if s.Error != "" {
			c.printf(" failed: %s", printable(s.Error))
		}
		if !s.Next.IsZero() {
			c.printf(" next try %s", stamp(s.Next))
		}
		c.printf("\n")
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func (c *call) acmeEAB() error {
	switch {
	case c.no:
		c.ACME.EABKey, c.ACMESecretFile = "", ""
	case len(c.words) != 2:
		return errors.New("acme_eab wants the key's ID and the file that holds it: " + c.cmd.usage())
	default:
		c.ACME.EABKey, c.ACMESecretFile = c.words[0], c.words[1]
	}
	return nil
}

// sniRoute makes, replaces or removes the route of a name.
func (c *call) sniRoute() error {
	if c.no && len(c.words) == 0 {
		c.Routes = nil
		return nil
	}
	if len(c.words) == 0 {
		for _, r := range c.Routes {
			c.printf("%s", r.Name)
			for _, s := range r.Servers {
				c.printf(" %s", s)
			}
			c.printf("\n")
		}
		return nil
	}
	if !c.no && len(c.words) < 2 {
		return errors.New("sni_route wants a name and its servers: " + c.cmd.usage())
	}
	name := strings.ToLower(c.words[0])
	if !certs.IsServedName(name) {
		return fmt.Errorf("sni_route: %q is no host name; expected one, or *.SUFFIX", c.words[0])
	}
	rest := slices.DeleteFunc(slices.Clone(c.Routes), func(r proxy.Route) bool { return r.Name == name })
	if c.no {
		if len(rest) == len(c.Routes) {
			return fmt.Errorf("no sni_route %s: it is not there", name)
		}
		c.Routes = rest
		return nil
	}
	route := proxy.Route{Name: name}
	for _, word := range c.words[1:] {
		spec, err := backend.ParseSpec(word, 443)
		if err != nil {
			return fmt.Errorf("sni_route %s: %v", name, err)
		}
		route.Servers = append(route.Servers, spec)
	}
	c.Routes = append(rest, route)
	return nil
}

// stats prints what has been counted, and of what has not only the most important.
func (c *call) stats() error {
	for _, n := range c.Counters() {
		if n.Count == 0 && n.Group != "handshake" {
			continue
		}
		c.printf("%s %s %d\n", n.Group, n.Name, n.Count)
	}
	return nil
}
