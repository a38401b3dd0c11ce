package proxy

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"edgepen/acl"
	"edgepen/certs"
	"edgepen/certs/acme"
	"edgepen/certs/revoke"
	"edgepen/httpx"
	"edgepen/proxy/accesslog"
	"edgepen/proxy/backend"
	"edgepen/proxy/health"
	"edgepen/proxy/limit"
	"edgepen/proxy/relay"
	"edgepen/tls"
	"edgepen/tls/upstream"
)

// Lists is how many access lists there are, numbered from 0.
const Lists = 256

// ByMode is the IdleTimeout that nobody has set: a minute under HTTP, none elsewhere.
const ByMode time.Duration = -1

// Listener is an address to listen on.
type Listener struct {
	Address string // [host:]port or /path/to/socket; a port alone is 0.0.0.0:port
	TLS     TLSUse
}

// String is the listener as --listen takes it.
func (l Listener) String() string {
	return l.Address + map[TLSUse]string{TLSAlways: ",tls", TLSNever: ",plain", Redirect: ",redirect"}[l.TLS]
}

// TLSUse says whether a listener speaks TLS.
type TLSUse int

const (
	TLSIfCertificate TLSUse = iota // where there is a certificate, as the original
	TLSAlways
	TLSNever
	Redirect // plain HTTP that is sent to HTTPS, and where an ACME authority finds its answers (http-01)
)

// PlainHTTP says what a client gets that speaks HTTP without TLS where TLS is spoken.
type PlainHTTP int

const (
	PlainRedirected PlainHTTP = iota // 308 to https
	PlainRefused                     // 400
)

// Identity says in which fields servers are told whose certificate a client has shown; httpx.IdentityFields has the names.
type Identity struct{ Standard, Classic bool }

// Places says what servers are told of where a client is: X-Geo-Country and its like.
type Places struct{ Country, Continent, ASN bool }

// HSTS is Strict-Transport-Security (RFC 6797), sent with responses over TLS. Off: it is not sent, and what servers send passes.
type HSTS struct {
	On         bool
	MaxAge     time.Duration // 0: browsers forget what they were told before
	Subdomains bool
	Preload    bool
}

// Pace is how slowly a client may send or take a body.
type Pace = relay.Pace

// ClientFrom says whom client_acl is asked about.
type ClientFrom int

const (
	FromPeer   ClientFrom = iota // the peer, or whom its PROXY header introduces
	FromHeader                   // also, for each request of a trusted proxy, the client that it tells in TrustedField
)

// ProxySource is what becomes of the PROXY headers of some peers.
type ProxySource struct {
	Peers netip.Prefix
	Rule  ProxyRule
}

// ProxyRule is a rule for PROXY headers. Where there is none, what a peer sends is taken as it comes.
type ProxyRule int

const (
	ProxyRequired ProxyRule = iota // a connection begins with a header, which is believed
	ProxyOptional                  // it may begin with one
	ProxyRefused                   // it must not
)

// Route is clients that are passed on without ending TLS, by the name they ask for.
type Route struct {
	Name    string // a host name in lower case, or *.SUFFIX
	Servers []backend.Spec
}

// Config is everything that can be set while running, as plain data.
type Config struct {
	Listeners  []Listener
	Servers    []backend.Spec // by slot; a slot never given an address has none
	Emergency  backend.Spec   // -e; no address: none
	Abuse      backend.Spec   // -B
	Mode       backend.Mode
	Forgetful  bool // -N: the server a client was on is not remembered
	ACLs       map[int]acl.List
	ClientACL  int // list that is asked of every client
	ControlACL int // list that is asked of every control connection

	Health         health.Config // how servers are checked before a client meets them
	Blacklist      time.Duration // how long a failed server is left alone
	Tracking       time.Duration // how long a client is remembered; 0: for ever
	ConnectTimeout time.Duration
	IdleTimeout    time.Duration // 0: none
	ClientsMax     int           // size of the client table; it only grows
	ConnMax        int           // simultaneous connections; it only grows
	PendingMax     int           // unfinished connects
	Backlog        int           // of each listener
	SocketMode     int           // permissions of Unix sockets that are listened on, as chmod(1) takes them; -1: by the umask

	Limits      limit.Config // of clients by prefix, and of handshakes
	Denied      Denials      // what happens to denied clients
	TarpitMax   int          // denied clients that are kept waiting at once
	PlaceFields Places       // under HTTP: what servers are told of where clients are

	HTTP           bool
	HTTP2          bool          // offer HTTP/2 where HTTP is spoken over TLS
	HTTP2WebSocket bool          // tell clients of HTTP/2 that they may open WebSockets on streams
	BackendHTTP2   bool          // speak HTTP/2 to HTTP servers, over TLS by ALPN and otherwise without asking
	HTTP2Streams   int           // requests that a client of HTTP/2 or HTTP/3 may have under way at once
	HTTP3          bool          // offer HTTP/3 as well, over UDP beside the TCP listeners with TLS
	HTTP3Retry     int           // handshakes under way from which on clients of HTTP/3 have to show first that their address is their own; 0: always
	Reuse          bool          // connections to HTTP servers are used for other clients as well
	HeadMax        int           // bytes of a request or response head
	HeadTimeout    time.Duration // for a request head
	TrustedProxies []netip.Prefix

	TrustedField httpx.TrustedField // in which trusted proxies tell their clients
	ClientFrom   ClientFrom         // whom client_acl is about
	Forwarded    bool               // servers are told in Forwarded (RFC 7239) as well
	RealIP       bool               // and in X-Real-IP
	RequestID    string             // name of a field with an id of each request; empty: there is none
	Via          string             // our name in Via; empty: none is added
	ErrorPages   map[int]string     // files that clients are shown with our own answers, by status

	BodyPace       Pace          // of clients that send a request's body
	ResponsePace   Pace          // of clients that take a response
	RequestTimeout time.Duration // from a request's head to the end of the response; 0: none

	BodyMax      int      // bytes of a request's body; 0: any number
	RequestsMax  int      // of a client's connection; 0: any number
	HSTS         HSTS     // what browsers are told about TLS
	RemoveFields []string // of responses

	ProxyFrom   []ProxySource // peers that say who their client is by the PROXY protocol, or must not; the first that fits counts
	ProxyOut    int           // version of the PROXY header that servers are sent; 0: none
	ProxyOutMax int           // bytes of one with the client's certificate; where it would be longer, and with 0, it has none

	Certificates     certs.Source
	TLS              tls.Options
	HandshakeTimeout time.Duration
	PlainHTTP        PlainHTTP
	Identity         Identity         // with client certificates and HTTP
	CRL              revoke.Policy    // of client certificates
	DeniedCerts      []revoke.Denial  // client certificates that are refused, whatever their CA says
	OCSPFetch        bool             // ask the responders that certificates name
	ECHName          string           // public name of ECH keys that are made
	ACME             acme.Config      // certificates that are obtained; no names: none
	ACMESecretFile   string           // with ACME.EABKey: the file that holds the key
	Upstream         upstream.Options // TLS to the servers
	Routes           []Route          // clients passed on without ending TLS
	Watch            time.Duration    // how often the files of certificates, lists and databases are looked at; 0: never
	Renegotiation    time.Duration    // kept, without effect: nobody may renegotiate

	Source      netip.Addr // local address of connections to servers; the zero Addr: the system's choice
	Transparent bool       // connections to servers come from the client's address
	FastClose   FastClose
	// DrainTimeout is how long connections may go on when pen is told to end; 0: they are closed at once.
	DrainTimeout time.Duration
	Idlers       int  // connections to servers that are kept open in advance
	Peek         bool // choose a server only once the client has said something
	Dummy        bool // answer every request ourselves

	UDP           bool          // -U: datagrams instead of connections; only the start can set it
	UDPUnanswered int           // datagrams without an answer that make a server count as failed; 0: any number
	Resolve       time.Duration // how often the servers' names are looked up again; 0: only at HUP

	DSRInterface string // dsr_if: direct server return on this interface; only the start can set it
	DSRAddress   string // dsr_ip: kept, without effect, as in the original
	TarpitACL    int    // with direct server return: addresses whose callers are kept waiting; -1: none

	AccessLog       string        // --access-log: file, or - for standard output; empty: none
	AccessLogFormat string        // as accesslog.NewFormat takes it
	AccessLogFull   FullAccessLog // what becomes of its lines when its file is too slow

	Log         string   // -l: file, or host:port of a penlogd; empty: none
	WebStats    string   // -w
	GeoIP       []string // databases of places
	GeoBuiltin  bool     // the one that is built in is asked after them
	Debug       int
	ASCII       bool // dumps (debug 2) in ASCII rather than hex
	ExitEnabled bool // -X
	ControlPort bool // -C: there is a control port, which control_acl is asked for

	// Kept for write, and without effect here: what they ask for is always so, or never.
	AbortOnError, KeepAlive, TCPNoDelay bool
}

// FullAccessLog says what becomes of a line of the access log that there is no room for.
type FullAccessLog int

const (
	DropLines FullAccessLog = iota // it is dropped and counted
	AwaitRoom                      // what it is about waits with it
)

// FastClose says on whose end of data both sides of a raw connection are closed, with nothing waited for.
type FastClose int

const (
	FastCloseOff  FastClose = iota
	FastCloseUp             // the server's
	FastCloseDown           // the client's
	FastCloseBoth           // either's
)

// DefaultConfig is pen's defaults, and ours where pen has none.
func DefaultConfig() Config {
	return Config{
		ACLs:             map[int]acl.List{},
		Blacklist:        30 * time.Second,
		Health:           health.Defaults(),
		ConnectTimeout:   5 * time.Second,
		IdleTimeout:      ByMode,
		ClientsMax:       2048,
		ConnMax:          500,
		PendingMax:       100,
		Backlog:          500,
		SocketMode:       -1,
		HTTP2:            true,
		HTTP2WebSocket:   true,
		HTTP2Streams:     100,
		HTTP3Retry:       32,
		Reuse:            true,
		HeadMax:          64 << 10,
		HeadTimeout:      30 * time.Second,
		HandshakeTimeout: 10 * time.Second,
		BodyPace:         Pace{Rate: 128, Grace: time.Minute},
		ResponsePace:     Pace{Rate: 128, Grace: time.Minute},
		Resolve:          time.Minute,
		TarpitACL:        -1,
		GeoBuiltin:       true,
		Limits:           limit.Config{V4: 32, V6: 64},
		TarpitMax:        1000,
		AccessLogFormat:  accesslog.Combined,
		Identity:         Identity{Standard: true, Classic: true},
		CRL:              revoke.Policy{Mode: revoke.Hard},
		OCSPFetch:        true,
		Watch:            5 * time.Second,
		Renegotiation:    time.Hour,
	}
}

// Idle is the idle time-out in force; 0: none.
func (c *Config) Idle() time.Duration {
	if c.HTTP {
		return c.exchangeIdle()
	}
	return c.tunnelIdle()
}

// exchangeIdle is the idle time-out of HTTP exchanges.
func (c *Config) exchangeIdle() time.Duration {
	if c.IdleTimeout == ByMode {
		return time.Minute
	}
	return c.IdleTimeout
}

// tunnelIdle is the idle time-out of bytes that pass as they come.
func (c *Config) tunnelIdle() time.Duration {
	if c.IdleTimeout == ByMode {
		return 0
	}
	return c.IdleTimeout
}

func (c *Config) clone() Config {
	d := *c
	d.Listeners = slices.Clone(c.Listeners)
	d.Servers = slices.Clone(c.Servers)
	d.TrustedProxies = slices.Clone(c.TrustedProxies)
	d.ErrorPages = maps.Clone(c.ErrorPages)
	d.RemoveFields = slices.Clone(c.RemoveFields)
	d.ProxyFrom = slices.Clone(c.ProxyFrom)
	d.GeoIP = slices.Clone(c.GeoIP)
	d.Certificates = c.Certificates.Clone()
	d.DeniedCerts = slices.Clone(c.DeniedCerts)
	d.ACME = c.ACME.Clone()
	d.Routes = slices.Clone(c.Routes)
	d.ACLs = maps.Clone(c.ACLs)
	for n, l := range d.ACLs {
		d.ACLs[n] = slices.Clone(l)
	}
	return d
}

// hasTLS reports whether there is a certificate to speak TLS with, or one to come, or clients to be passed on by the name they ask for.
func (c *Config) hasTLS() bool {
	return !c.Certificates.Empty() || c.usesACME() || len(c.Routes) > 0
}

func (c *Config) usesACME() bool { return len(c.ACME.Names)+len(c.ACME.OnDemand) > 0 }

// usesTLS reports whether a listener is to speak TLS.
func (c *Config) usesTLS(l Listener) bool {
	return l.TLS == TLSAlways || l.TLS == TLSIfCertificate && c.hasTLS()
}

// redirects reports whether there is a listener for plain HTTP that is sent to HTTPS.
func (c *Config) redirects() bool {
	return slices.ContainsFunc(c.Listeners, func(l Listener) bool { return l.TLS == Redirect })
}
