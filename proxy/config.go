package proxy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"edgepen/acl"
	"edgepen/certs"
	"edgepen/proxy/backend"
	"edgepen/tls"
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
	return l.Address + map[TLSUse]string{TLSAlways: ",tls", TLSNever: ",plain"}[l.TLS]
}

// TLSUse says whether a listener speaks TLS.
type TLSUse int

const (
	TLSIfCertificate TLSUse = iota // where there is a certificate, as the original
	TLSAlways
	TLSNever
)

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

	Blacklist      time.Duration // how long a failed server is left alone
	Tracking       time.Duration // how long a client is remembered; 0: for ever
	ConnectTimeout time.Duration
	IdleTimeout    time.Duration // 0: none
	ClientsMax     int           // size of the client table; it only grows
	ConnMax        int           // simultaneous connections; it only grows
	PendingMax     int           // unfinished connects
	Backlog        int           // of each listener
	SocketMode     int           // permissions of Unix sockets that are listened on, as chmod(1) takes them; -1: by the umask

	HTTP           bool
	HeadMax        int           // bytes of a request or response head
	HeadTimeout    time.Duration // for a request head
	TrustedProxies []netip.Prefix

	Certificates     certs.Source
	TLS              tls.Options
	HandshakeTimeout time.Duration

	Source      netip.Addr // local address of connections to servers; the zero Addr: the system's choice
	Transparent bool       // connections to servers come from the client's address
	FastClose   FastClose
	Idlers      int  // connections to servers that are kept open in advance
	Peek        bool // choose a server only once the client has said something
	Dummy       bool // answer every request ourselves

	UDP           bool          // -U: datagrams instead of connections; only the start can set it
	UDPUnanswered int           // datagrams without an answer that make a server count as failed; 0: any number
	Resolve       time.Duration // how often the servers' names are looked up again; 0: only at HUP

	DSRInterface string // dsr_if: direct server return on this interface; only the start can set it
	DSRAddress   string // dsr_ip: kept, without effect, as in the original
	TarpitACL    int    // with direct server return: addresses whose callers are kept waiting; -1: none

	Log         string   // -l: file, or host:port of a penlogd; empty: none
	WebStats    string   // -w
	GeoIP       []string // databases
	Debug       int
	ASCII       bool // dumps (debug 2) in ASCII rather than hex
	ExitEnabled bool // -X

	// Kept for write, and without effect here: what they ask for is always so, or never.
	AbortOnError, KeepAlive, TCPNoDelay bool

	SSL SSL
}

// FastClose says on whose end of data both sides of a raw connection are closed, with nothing waited for.
type FastClose int

const (
	FastCloseOff  FastClose = iota
	FastCloseUp             // the server's
	FastCloseDown           // the client's
	FastCloseBoth           // either's
)

// SSL is settings of the original that are kept and written, and have no effect in this version.
type SSL struct {
	Ciphers               string
	Options               string // names, separated by blanks
	OCSPResponse          string // file
	SNIPath               string // directory
	RenegotiationInterval time.Duration
}

// DefaultConfig is pen's defaults, and ours where pen has none.
func DefaultConfig() Config {
	return Config{
		ACLs:             map[int]acl.List{},
		Blacklist:        30 * time.Second,
		ConnectTimeout:   5 * time.Second,
		IdleTimeout:      ByMode,
		ClientsMax:       2048,
		ConnMax:          500,
		PendingMax:       100,
		Backlog:          500,
		SocketMode:       -1,
		HeadMax:          64 << 10,
		HeadTimeout:      30 * time.Second,
		HandshakeTimeout: 10 * time.Second,
		Resolve:          time.Minute,
		TarpitACL:        -1,
		SSL:              SSL{RenegotiationInterval: time.Hour},
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
	d.GeoIP = slices.Clone(c.GeoIP)
	d.ACLs = maps.Clone(c.ACLs)
	for n, l := range d.ACLs {
		d.ACLs[n] = slices.Clone(l)
	}
	return d
}

// usesTLS reports whether a listener is to speak TLS.
func (c *Config) usesTLS(l Listener) bool {
	return l.TLS == TLSAlways || l.TLS == TLSIfCertificate && !c.Certificates.Empty()
}

// check finds what cannot be run, before anything is opened.
func (c *Config) check() error {
	if c.UDP && (c.HTTP || !c.Certificates.Empty()) {
		return fmt.Errorf("UDP (-U) carries datagrams as they are: it goes with neither TLS (-E, --self-signed) nor HTTP mode (-H)")
	}
	if c.DSRInterface != "" {
		if c.HTTP || !c.Certificates.Empty() {
			return fmt.Errorf("direct server return (dsr_if) passes frames on as they are: it goes with neither TLS (-E, --self-signed) nor HTTP mode (-H)")
		}
		_, _, err := c.service()
		return err
	}
	given := map[string]bool{}
	for _, l := range c.Listeners {
		_, addr, err := SplitListen(l.Address)
		if err != nil {
			return err
		}
		if given[addr] {
			return fmt.Errorf("listening address %s is given twice", l.Address)
		}
		given[addr] = true
		if l.TLS == TLSAlways && c.Certificates.Empty() {
			return fmt.Errorf("listener %s is to speak TLS, but there is no certificate: give --cert FILE (-E) or --self-signed", l.Address)
		}
	}
	if c.Certificates.Empty() {
		return c.checkUnusedTLS()
	}
	return nil
}

// checkUnusedTLS refuses TLS settings that would silently protect nothing.
func (c *Config) checkUnusedTLS() error {
	switch {
	case c.Certificates.Key != "":
		return fmt.Errorf("a key (%s) without a certificate: give --cert FILE (-E)", c.Certificates.Key)
	case c.Certificates.CAFile != "" || c.Certificates.CADir != "":
		return fmt.Errorf("CAs (-G, -A) without a certificate: give --cert FILE (-E)")
	case c.TLS.RequireClientCert:
		return fmt.Errorf("client certificates are required (-R), but there is no TLS: give --cert FILE (-E)")
	}
	return nil
}
