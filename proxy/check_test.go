package proxy

import (
	"log/slog"
	"strings"
	"testing"

	"edgepen/acl"
	"edgepen/certs"
	"edgepen/certs/certtest"
	"edgepen/certs/revoke"
	"edgepen/proxy/backend"
	"edgepen/proxy/health"
)

func entries(t *testing.T, lines ...string) (l acl.List) {
	t.Helper()
	for _, line := range lines {
		e, err := acl.ParseEntry(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		l = append(l, e)
	}
	return l
}

// TestCheck: what cannot hold, or would protect nothing, is refused with words that say so.
func TestCheck(t *testing.T) {
	plain, secure := Listener{Address: "127.0.0.1:80"}, Listener{Address: "127.0.0.1:443", TLS: TLSAlways}
	away := Listener{Address: "127.0.0.1:8080", TLS: Redirect}
	cert := func(c *Config) { c.Certificates = certs.Source{SelfSigned: "localhost"} }
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string // "": it is good
	}{
		{"HTTPS", func(c *Config) { cert(c); c.Listeners = []Listener{secure, away} }, ""},
		{"an address twice", func(c *Config) { c.Listeners = []Listener{plain, plain} }, "listening address 127.0.0.1:80 is given twice"},
		{"TLS without a certificate", func(c *Config) { c.Listeners = []Listener{secure} }, "no certificate"},
		{"TLS with certificates by ACME", func(c *Config) { c.Listeners = []Listener{secure}; c.ACME.Names = []string{"a.example"} }, ""},
		{"TLS for routes alone", func(c *Config) { c.Listeners = []Listener{secure}; c.Routes = []Route{{Name: "a.example"}} }, ""},
		{"sent away to nowhere", func(c *Config) { c.Listeners = []Listener{plain, away} }, "no other listener speaks TLS"},
		{"a Unix socket sent away", func(c *Config) { cert(c); c.Listeners = []Listener{secure, {Address: "/run/x", TLS: Redirect}} }, "a Unix socket cannot"},
		{"datagrams and ACME", func(c *Config) { c.UDP = true; c.ACME.Names = []string{"a.example"} }, "UDP"},
		{"datagrams and TLS to the servers", func(c *Config) { c.UDP = true; c.Upstream.On = true }, "UDP"},
		{"datagrams and health checks", func(c *Config) { c.UDP, c.Health.Kind = true, health.TCP }, "health checks (health_check)"},
		{"frames and health checks", func(c *Config) { c.DSRInterface, c.Health.Kind = "eth0", health.TCP }, "health checks (health_check)"},
		{"TLS to the servers that is not on", func(c *Config) { c.Upstream.CAFile = "ca.pem" }, "without --backend-tls"},
		{"a key alone", func(c *Config) { c.Certificates.Keys = []string{"k.pem"} }, "a key (k.pem) without a certificate"},
		{"revocation lists alone", func(c *Config) { c.Certificates.CRLs = []string{"x.crl"} }, "revocation lists"},
		{"asking without TLS", func(c *Config) { c.TLS.ClientAuth = "optional" }, "there is no TLS"},
		{"a name where no TLS is", func(c *Config) { c.Listeners = []Listener{plain}; c.ACLs[0] = entries(t, "deny sni a.example") }, `client_acl, which clients without TLS are asked for too, has the entry "deny sni a.example"`},
		{"a name for datagrams", func(c *Config) { c.UDP = true; c.ACLs[0] = entries(t, "deny ja4 t13d1516h2_8daaf6152771_e5627efa2ab1") }, "without TLS"},
		{"a name behind one plain listener of two", func(c *Config) {
			cert(c)
			c.Listeners = []Listener{secure, {Address: "127.0.0.1:80", TLS: TLSNever}}
			c.ACLs[0] = entries(t, "deny sni none")
		}, "without TLS"},
		{"a name beside a redirect", func(c *Config) {
			cert(c)
			c.Listeners = []Listener{secure, away}
			c.ACLs[0] = entries(t, "deny sni none")
		}, ""},
		{"a name in a server's list", func(c *Config) {
			c.Listeners = []Listener{plain}
			c.Servers = []backend.Spec{{ACL: 3}}
			c.ACLs[3] = entries(t, "deny sni none")
		}, "server 0"},
		{"a certificate nobody asks for", func(c *Config) {
			cert(c)
			c.Listeners = []Listener{secure}
			c.ACLs[0] = entries(t, "permit client_cert any")
		}, "clients are asked for no certificate"},
		{"a certificate that is asked for", func(c *Config) {
			cert(c)
			c.Listeners = []Listener{secure}
			c.TLS.ClientAuth = "optional"
			c.ACLs[0] = entries(t, "permit client_cert any")
		}, ""},
		{"the control port's list", func(c *Config) {
			cert(c)
			c.Listeners = []Listener{secure}
			c.ControlPort = true
			c.ACLs[0] = entries(t, "deny sni none")
		}, "access list 0 of control_acl"},
	} {
		c := DefaultConfig()
		tt.edit(&c)
		err := c.check()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestRoute(t *testing.T) {
	exact, wild := backend.NewSet(backend.SetConfig{}), backend.NewSet(backend.SetConfig{})
	s := &snapshot{routes: map[string]*backend.Set{"a.example": exact, "*.b.example": wild}}
	for name, want := range map[string]*backend.Set{
		"a.example": exact, "x.b.example": wild, "b.example": nil, "x.y.b.example": nil, "c.example": nil, "": nil, "*.b.example": wild,
	} {
		if got := s.route(name); got != want {
			t.Errorf("%q: %p, want %p", name, got, want)
		}
	}
}

// TestNamelessServers: a server on a Unix socket has no name to be verified by, which the start says rather than each connection.
func TestNamelessServers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		edit   func(*Config)
		refuse bool
	}{
		{"no name", func(*Config) {}, true},
		{"a name for all", func(c *Config) { c.Upstream.ServerName = "a.example" }, false},
		{"not verified", func(c *Config) { c.Upstream.SkipVerify = true }, false},
		{"for the emergency", func(c *Config) { c.Servers, c.Emergency = nil, c.Servers[0] }, true},
		{"without TLS", func(c *Config) { c.Upstream.On = false }, false},
	} {
		p := New(slog.New(slog.DiscardHandler), new(slog.LevelVar))
		update(t, p, func(c *Config) {
			c.Listeners = []Listener{{Address: "127.0.0.1:0"}}
			c.Servers = []backend.Spec{{Address: "/run/server"}}
			c.Upstream.On = true
			tt.edit(c)
		})
		err := p.Check()
		if (err != nil) != tt.refuse || err != nil && !strings.Contains(err.Error(), "TLS to the servers: /run/server: a Unix socket has no name") {
			t.Errorf("%s: %v", tt.name, err)
		}
		closes(t, p)
	}
}

// TestExplainWarns: what a requirement does not reach, or a list is never asked about, stands among the warnings.
func TestExplainWarns(t *testing.T) {
	root := certtest.NewRoot(t, "root")
	required := func(c *Config) {
		c.Certificates.CAFile = certtest.Write(t, "ca.pem", certtest.PEM(root.Cert))
		c.TLS.ClientAuth = "required"
	}
	obtained := func(c *Config, name string) {
		c.ACME.Names, c.ACME.Storage = []string{name}, t.TempDir()
	}
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string // "": none of this kind
	}{
		{"a plain listener", func(c *Config) {
			required(c)
			c.Listeners = append(c.Listeners, Listener{"127.0.0.1:80", TLSNever})
		}, "clients of listener 127.0.0.1:80 show no certificate"},
		{"a route", func(c *Config) { required(c); c.Routes = []Route{{Name: "a.example"}} }, "clients that ask for a.example show us no certificate"},
		{"denials nobody asks about", func(c *Config) { c.DeniedCerts = []revoke.Denial{{Serial: "5"}} }, "denials (client_deny) have no effect"},
		{"a list for nobody", func(c *Config) { c.ACLs[1] = entries(t, "permit 10.0.0.0/8") }, "access list 1 has entries, but nobody is asked for it: client_acl 1"},
		{"an address that is not ours", func(c *Config) { c.Listeners = []Listener{{Address: "192.0.2.7:80"}} }, "listening address 192.0.2.7:80: this machine does not have 192.0.2.7"},
		{"CAs that vouch for nobody", func(c *Config) { required(c); c.TLS.ClientAuth = "" }, "clients are asked for no certificate (--client-auth, -R)"},
		{"a format for no log", func(c *Config) { c.AccessLogFormat = "json" }, "access_log_format has no effect"},
		{"an interval of no checks", func(c *Config) { c.Health.Interval = 9 }, "settings of health checks have no effect"},
		{"statuses of connects", func(c *Config) { c.Health.Kind = health.TCP; c.Health.Statuses.Add(500, 500) }, "health_status and health_host have no effect"},
		{"HTTP/2 of no HTTP", func(c *Config) { c.HTTP2 = false }, "without HTTP mode (-H) there is no effect of no http2"},
		{"places of no HTTP", func(c *Config) { c.PlaceFields.Country = true }, "without HTTP mode (-H) there is no effect of geo_fields"},
		{"networks nobody knows", func(c *Config) { c.PlaceFields.ASN = true }, "geo_fields asn has no effect: no database says it"},
		{"a name that nobody certifies", func(c *Config) { obtained(c, "localhost") }, "acme: no public authority certifies localhost"},
		{"a port that the authority does not come to", func(c *Config) { obtained(c, "www.example.com"); c.Listeners[0].Address = "127.0.0.1:22443" },
			"acme: the authority connects to port 443 (tls-alpn-01) or 80 (http-01, --redirect), and we listen on neither"},
		{"a list for all", func(c *Config) { c.ClientACL, c.ACLs[1] = 1, entries(t, "permit 10.0.0.0/8") }, ""},
		{"TLS throughout", func(c *Config) {
			required(c)
			c.DeniedCerts = []revoke.Denial{{Serial: "5"}}
			c.Listeners = append(c.Listeners, Listener{"127.0.0.1:80", Redirect})
		}, ""},
	} {
		p := New(slog.New(slog.DiscardHandler), new(slog.LevelVar))
		update(t, p, func(c *Config) {
			c.Listeners = []Listener{{Address: "127.0.0.1:443"}}
			c.Certificates.SelfSigned = "localhost"
			tt.edit(c)
		})
		warnings, _, err := p.Explain()
		all := strings.Join(warnings, "\n")
		if err != nil || tt.want == "" && strings.Contains(all, "no certificate") || !strings.Contains(all, tt.want) {
			t.Errorf("%s: %q (%v), want %q", tt.name, all, err, tt.want)
		}
		closes(t, p)
	}
}
