package control

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"edgepen/acl"
	"edgepen/certs/revoke"
	"edgepen/httpx"
	"edgepen/proxy"
	"edgepen/proxy/backend"
	"edgepen/proxy/health"
	"edgepen/proxy/limit"
	"edgepen/tls"
	"edgepen/tls/policy"
	"edgepen/tls/upstream"
)

// random makes configurations.
type random struct{ *rand.Rand }

func (r random) on() bool { return r.IntN(2) == 0 }

func (r random) seconds(min int) time.Duration { return time.Duration(min+r.IntN(100)) * time.Second }

func (r random) word(words ...string) string { return words[r.IntN(len(words))] }

func (r random) file() string {
	return r.word("", "/etc/pen/file", "relative", "/path/with blanks/file", "#odd", "tab\there", "no")
}

func (r random) spec() backend.Spec {
	return backend.Spec{Address: r.word("www1", "127.0.0.1", "2001:db8::1"), Port: uint16(1 + r.IntN(65535)), Max: r.IntN(9), Hard: r.IntN(9),
		Weight: r.IntN(9), Prio: r.IntN(9) - 4}
}

func (r random) entry(t *testing.T) acl.Entry {
	if r.IntN(5) == 0 {
		e, err := acl.ParseEntry([]string{r.word("permit", "deny"), "client_cert", r.word("subject", "issuer"), r.word("CN=a b,O=x y", "*", "CN=#x")})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	words := strings.Fields(r.word("permit", "deny") + " " +
		r.word("sni *.example.com", "sni none", "ja4 t13d1516h2_8daaf6152771_e5627efa2ab1", "client_cert none", "client_cert any", "client_cert san *.example.com",
			"192.0.2.1", "10.0.0.0 255.0.0.0", "10.1.2.0/24", "10.0.0.1 255.0.0.255", "2001:db8::/32", "::1", "country SE", "country unknown", "continent EU", "asn 64500", "file /a.txt", "uid 7", "gid 8", "all"))
	e, err := acl.ParseEntry(words)
	if err != nil {
		t.Fatal(words, err)
	}
	return e
}

func (r random) config(t *testing.T) proxy.Config {
	c := proxy.DefaultConfig()
	for range r.IntN(5) {
		s := r.spec()
		s.ACL = r.IntN(proxy.Lists)
		c.Servers = append(c.Servers, s)
	}
	if r.on() {
		c.Servers = append(c.Servers, backend.Spec{}, backend.Spec{Address: "/run/socket", Port: 1}) // an empty slot, a Unix socket
	}
	if r.on() {
		c.Emergency, c.Abuse = r.spec(), backend.Spec{Address: "/run/abuse", Port: 1}
	}
	c.Mode = backend.Mode{RoundRobin: r.on(), Hash: r.on(), Weight: r.on(), Prio: r.on(), Stubborn: r.on()}
	for range r.IntN(4) {
		n := r.IntN(proxy.Lists)
		for range 1 + r.IntN(4) {
			c.ACLs[n] = append(c.ACLs[n], r.entry(t))
		}
	}
	c.ClientACL, c.ControlACL = r.IntN(proxy.Lists), r.IntN(proxy.Lists)
	r.settings(&c)
	r.tls(&c)
	return c
}

func (r random) settings(c *proxy.Config) {
	c.Forgetful, c.HTTP, c.Peek, c.Dummy, c.Transparent, c.ASCII = r.on(), r.on(), r.on(), r.on(), r.on(), r.on()
	c.DrainTimeout = r.seconds(0)
	c.Health = health.Config{Kind: health.Kind(r.IntN(4)), Host: r.word("", "www.example:8080"), Interval: r.seconds(1), Timeout: r.seconds(1), Rise: 1 + r.IntN(9), Fall: 1 + r.IntN(9)}
	if c.Health.Kind == health.HTTP {
		c.Health.Path = r.word("/", "/health?a=b,c")
	}
	c.Health.Statuses.Add(100+r.IntN(100), 200+r.IntN(100))
	c.Health.Statuses.Add(599-r.IntN(9), 599)
	c.BodyMax, c.RequestsMax = r.Int(), r.IntN(9)
	if r.on() {
		c.HSTS = proxy.HSTS{On: true, MaxAge: time.Duration(r.IntN(99)) * time.Second, Subdomains: r.on(), Preload: r.on()}
		c.RemoveFields = []string{"server", "x-powered-by"}
	}
	c.HTTP2WebSocket = r.on()
	c.HTTP2, c.HTTP2Streams, c.Reuse, c.BackendHTTP2 = r.on(), 1+r.IntN(999), r.on(), r.on()
	c.HTTP3, c.HTTP3Retry = r.on(), r.IntN(99)
	c.TrustedField, c.ClientFrom = httpx.TrustedField(r.IntN(3)), proxy.ClientFrom(r.IntN(2))
	c.Forwarded, c.RealIP, c.RequestID, c.Via = r.on(), r.on(), r.word("", "X-Request-ID"), r.word("", "edge-1")
	if r.on() {
		c.ErrorPages = map[int]string{503: "/sorry page.html", 429: "slow.txt"}
	}
	c.BodyPace, c.ResponsePace = proxy.Pace{Rate: r.IntN(9), Grace: r.seconds(1)}, proxy.Pace{Rate: r.IntN(9), Grace: r.seconds(1)}
	c.RequestTimeout = r.seconds(0)
	c.AbortOnError, c.KeepAlive, c.TCPNoDelay = r.on(), r.on(), r.on()
	c.Blacklist, c.Tracking, c.ConnectTimeout = r.seconds(0), r.seconds(0), r.seconds(1)
	c.HeadTimeout, c.HandshakeTimeout = r.seconds(0), r.seconds(0)
	if r.on() {
		c.IdleTimeout = r.seconds(0)
	}
	c.ClientsMax, c.ConnMax, c.PendingMax, c.Backlog = 5000+r.IntN(99), 600+r.IntN(99), 1+r.IntN(99), 50+r.IntN(99)
	c.HeadMax, c.Idlers, c.Debug = 1024+r.IntN(9999), r.IntN(9), r.IntN(4)
	c.UDPUnanswered, c.TarpitACL, c.Resolve = r.IntN(9), r.IntN(5)-1, r.seconds(0)
	c.SocketMode = r.IntN(0o1000) - 1
	c.DSRInterface, c.DSRAddress = r.word("", "eth0"), r.word("", "192.0.2.1")
	c.FastClose = proxy.FastClose(r.IntN(4))
	if r.on() {
		c.Source = netip.MustParseAddr(r.word("192.0.2.1", "2001:db8::1"))
		c.ProxyFrom = []proxy.ProxySource{{Peers: netip.MustParsePrefix("10.1.0.0/16"), Rule: proxy.ProxyRule(r.IntN(3))}, {Peers: netip.MustParsePrefix("::/0")}}
		if c.ProxyOut = 1 + r.IntN(2); c.ProxyOut == 2 {
			c.ProxyOutMax = r.IntN(9999)
		}
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
		c.GeoIP, c.GeoBuiltin = []string{"/a b.mmdb", "c.mmdb"}, false
	}
	c.Log, c.WebStats = r.file(), r.file()
	c.AccessLog, c.AccessLogFull = r.word(r.file(), "-"), proxy.FullAccessLog(r.IntN(2))
	c.AccessLogFormat = r.word("common", "combined", "json", "%h", `%h "%r" %>s`, `"%r"`, `'%r' %h`, `"%r`, `%h#"`, `%h'"`, "'%h")
	c.Limits = limit.Config{Concurrent: r.IntN(9), PerSecond: float64(r.IntN(9)) / 2, Burst: r.IntN(9), Failures: float64(r.IntN(9)) / 4,
		V4: r.IntN(33), V6: r.IntN(129), Prefixes: r.IntN(99), Handshakes: r.IntN(9), HandshakesPerSecond: float64(r.IntN(9))}
	for i := range c.Denied {
		c.Denied[i] = proxy.Action(r.IntN(len(proxy.ActionWords)))
	}
	c.TarpitMax, c.PlaceFields = r.IntN(99), proxy.Places{Country: r.on(), Continent: r.on(), ASN: r.on()}
}

func (r random) tls(c *proxy.Config) {
	s := &c.Certificates
	s.Certs, s.Keys, s.CRLs = r.words("/a b.pem", "c.pem"), r.words("/k.pem"), r.words("x.crl", "y z.crl")
	s.CAFile, s.CADir, s.SelfSigned, s.OCSPResponse, s.SNIPath = r.file(), r.file(), r.word("", "localhost", "a,b"), r.file(), r.file()
	s.TicketKeys, s.ECHKeys, c.ECHName = r.file(), r.file(), r.word("", "public.example")
	c.TLS = tls.Options{
		Policy: policy.Options{Profile: r.word("", "modern"), MinVersion: r.word("", "ssl23", "tls1.3"), Ciphers: r.word("", "HIGH:!aNULL"),
			SSLOptions: r.word("", "no_sslv3", "no_tlsv1 cipher_server_preference"), Groups: r.word("", "X25519:P-256"), Compat: r.on(), RequirePQ: r.on()},
		ClientAuth: r.word("", "optional", "required"), StrictSNI: r.on(),
	}
	c.PlainHTTP, c.Identity = proxy.PlainHTTP(r.IntN(2)), proxy.Identity{Standard: r.on(), Classic: r.on()}
	c.CRL, c.OCSPFetch = revoke.Policy{Mode: revoke.Mode(r.IntN(3)), Fetch: r.on()}, r.on()
	if r.on() {
		c.DeniedCerts = []revoke.Denial{{Serial: "1a2b"}, {SPKI: sha256.Sum256([]byte("key"))}}
		c.Routes = []proxy.Route{{Name: "a.example", Servers: []backend.Spec{{Address: "127.0.0.1", Port: 443}, {Address: "b", Port: 8443, Max: 3}}},
			{Name: "*.b.example", Servers: []backend.Spec{{Address: "/sock", Port: 1}}}}
		c.ACME.EABKey, c.ACMESecretFile = "kid", "/a secret"
	}
	c.ACME.Names, c.ACME.OnDemand, c.ACME.Challenges = r.words("a.example"), r.words("*.b.example", "c.example"), r.words("http-01")
	c.ACME.CA, c.ACME.CARoots, c.ACME.Email = r.word("", "staging"), r.file(), r.word("", "me@example.com")
	c.ACME.Profile, c.ACME.Storage = r.word("", "shortlived"), r.file()
	c.Upstream = upstream.Options{On: r.on(), SkipVerify: r.on(), CAFile: r.file(), CADir: r.file(), Cert: r.file(), Key: r.file(),
		ServerName: r.word("", "inside.example"), MinVersion: r.word("", "tls1.3")}
	c.Watch, c.Renegotiation = r.seconds(0), r.seconds(0)
}

// words is some of the given ones, from the first on.
func (r random) words(all ...string) []string {
	if n := r.IntN(len(all) + 1); n > 0 {
		return all[:n]
	}
	return nil
}

// TestLoadIsTheInverseOfWrite: whatever is set, the file that write writes makes it again, of the defaults and of anything else.
func TestLoadIsTheInverseOfWrite(t *testing.T) {
	for seed := range uint64(300) {
		r := random{rand.New(rand.NewPCG(seed, 1))}
		want, before := r.config(t), proxy.DefaultConfig()
		if r.on() {
			before = r.config(t)
			before.Servers, before.ClientsMax, before.ConnMax = nil, 1, 1 // these only grow
		}
		in := interpreter()
		set(t, in, before)
		if _, err := loadFile(in, file(t, "cfg", Text(&want))); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, Text(&want))
		}
		if got := in.Proxy.Config(); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d:\n got %+v\nwant %+v\n%s", seed, got, want, Text(&want))
		}
	}
}

func set(t *testing.T, in *Interpreter, c proxy.Config) {
	t.Helper()
	if err := in.Proxy.Update(func(d *proxy.Draft) error { d.Config = c; return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestEverySettingIsWritten: a field of the configuration that write does not know would be lost without a word.
func TestEverySettingIsWritten(t *testing.T) {
	startOnly := map[string]bool{"Listeners": true, "ExitEnabled": true, "ControlPort": true, "UDP": true}
	r := random{rand.New(rand.NewPCG(7, 7))}
	base := proxy.DefaultConfig()
	changed := map[string]bool{}
	for range 50 {
		c := reflect.ValueOf(r.config(t))
		for i := range c.NumField() {
			if !reflect.DeepEqual(c.Field(i).Interface(), reflect.ValueOf(base).Field(i).Interface()) {
				changed[c.Type().Field(i).Name] = true
			}
		}
	}
	for i := range reflect.TypeFor[proxy.Config]().NumField() {
		if name := reflect.TypeFor[proxy.Config]().Field(i).Name; !changed[name] && !startOnly[name] {
			t.Errorf("no test writes and reads %s", name)
		}
	}
}

func TestWriteReplacesTheFile(t *testing.T) {
	in := interpreter()
	in.CommandLine = func(file string) string { return "pen -f -F '" + filepath.Base(file) + "' 80" }
	if _, err := in.Run("write"); err == nil || !strings.HasPrefix(err.Error(), "write wants a file") {
		t.Error(err)
	}
	in.ConfigFile = file(t, "cfg", "hash\n")
	if reply, err := in.Run("write"); err != nil || reply != "" {
		t.Errorf("%q, %v", reply, err)
	}
	text, err := os.ReadFile(in.ConfigFile)
	if err != nil || !strings.HasPrefix(string(text), "# Generated by pen ") || !strings.Contains(string(text), "\n# pen -f -F 'cfg' 80\nno acl 10-255\nno acl 0\n") {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := in.Run("write " + filepath.Join(t.TempDir(), "no", "where")); err == nil {
		t.Error("a file in no directory was written")
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(in.ConfigFile), ".pen-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := loadFile(in, in.ConfigFile); err != nil {
		t.Error(fmt.Errorf("what was written cannot be read: %w", err))
	}
}
