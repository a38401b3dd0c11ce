// Package upstream starts TLS on connections to the servers, and verifies them.
//
// The policy is that of RFC 9325: TLS 1.3, and TLS 1.2 with ephemeral ECDH and
// AEAD suites only. What is verified is the chain, up to a CA that was given or
// one of the system's, and the name or address that the server is configured
// by.
package upstream

import (
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Options is how TLS is spoken with the servers. It is plain data and
// comparable. The zero value is TLS switched off; with On alone servers are
// verified by the system's CAs under the names they are configured by.
type Options struct {
	// On says whether to speak TLS with the servers. It is for the caller:
	// a Client always does.
	On bool
	// CAFile and CADir name the CAs to verify the servers by; both empty, or
	// CAFile the word "system": the system's.
	CAFile, CADir string
	// Cert and Key name the files of our own certificate, for servers that
	// ask for one.
	Cert, Key string
	// ServerName is what every server is asked for (SNI) and verified by, a
	// host name or an IP address; "": the name or address that it is
	// configured by. Unix sockets have none and need it.
	ServerName string
	// MinVersion is the lowest protocol version: tls1.2 (or "") or tls1.3.
	MinVersion string
	// ALPN lists the protocols to offer (RFC 7301), separated by commas.
	ALPN string
	// SkipVerify takes any certificate for the server's.
	SkipVerify bool
}

// Material is what the files that Options names contain.
type Material struct {
	Roots       *x509.CertPool      // nil: the system's
	Certificate *stdtls.Certificate // our own; nil: none
}

// Client does handshakes with servers. It is immutable but for the sessions
// that it remembers, to resume them; any number of goroutines may share it.
type Client struct {
	config     *stdtls.Config            // without the server's name and its sessions
	sessions   stdtls.ClientSessionCache // nil: none are remembered
	serverName string                    // Options.ServerName, as crypto/tls wants it
	skipVerify bool
	ownRoots   bool
	warnings   []string
}

// maxSessions bounds what a Client remembers: one session a server's address.
const maxSessions = 1024

// New checks o and prepares what handshakes have in common. The error names
// the option and what was expected; CAs or a certificate that o names and m
// lacks are one as well, rather than others being trusted or none shown.
func New(o Options, m Material) (*Client, error) {
	floor, err := minVersion(o.MinVersion)
	if err != nil {
		return nil, err
	}
	protocols, err := alpn(o.ALPN)
	if err != nil {
		return nil, err
	}
	name, err := serverName(o.ServerName)
	if err != nil {
		return nil, err
	}
	if m.Roots == nil && (o.CADir != "" || o.CAFile != "" && o.CAFile != "system") {
		return nil, fmt.Errorf("the CAs to verify servers by (%s) have not been read", strings.TrimSpace(o.CAFile+" "+o.CADir))
	}
	if m.Certificate == nil && (o.Cert != "" || o.Key != "") {
		return nil, fmt.Errorf("the certificate to show to servers (%s) has not been read", strings.TrimSpace(o.Cert+" "+o.Key))
	}
	c := &Client{
		config:     baseConfig(floor, protocols, m),
		sessions:   stdtls.NewLRUClientSessionCache(maxSessions),
		serverName: name,
		skipVerify: o.SkipVerify,
		ownRoots:   m.Roots != nil,
	}
	if o.SkipVerify {
		c.config.InsecureSkipVerify = true
		c.warnings = skipWarnings(o)
	}
	return c, nil
}

// Fresh is the same client without a memory: it resumes no session, and takes none from those that do.
func (c *Client) Fresh() *Client {
	if c == nil {
		return nil
	}
	fresh := *c
	fresh.sessions = nil
	return &fresh
}

// Warnings are remarks for the operator about the options, one a line.
func (c *Client) Warnings() []string { return append([]string(nil), c.warnings...) }

func skipWarnings(o Options) []string {
	warnings := []string{"the servers' certificates are not verified: whoever can answer in the place of a server reads and changes everything; give the CA that issued them instead"}
	if o.CAFile != "" || o.CADir != "" {
		warnings = append(warnings, "the CAs to verify servers by have no effect, since servers are not verified")
	}
	return warnings
}

func baseConfig(floor uint16, protocols []string, m Material) *stdtls.Config {
	config := &stdtls.Config{
		RootCAs:    m.Roots,
		MinVersion: floor,
		NextProtos: protocols,
		// RFC 9325 section 4.2; those of TLS 1.3 are not settable.
		CipherSuites: []uint16{
			stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			stdtls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			stdtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			stdtls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			stdtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			stdtls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		CurvePreferences: []stdtls.CurveID{
			stdtls.X25519MLKEM768, stdtls.X25519, stdtls.CurveP256, stdtls.CurveP384,
		},
		// Small first records help browsers, not us.
		DynamicRecordSizingDisabled: true,
	}
	if m.Certificate != nil {
		// crypto/tls of itself keeps the certificate back from servers whose
		// list of CAs lacks its issuer. Such lists are often wrong, and the
		// server's refusal says more than its complaint about none.
		config.GetClientCertificate = func(*stdtls.CertificateRequestInfo) (*stdtls.Certificate, error) {
			return m.Certificate, nil
		}
	}
	return config
}

func minVersion(word string) (uint16, error) {
	switch word {
	case "", "tls1.2":
		return stdtls.VersionTLS12, nil
	case "tls1.3":
		return stdtls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("protocol version %.40q for servers not known; expected tls1.2 or tls1.3", word)
}

// alpn takes the list apart; RFC 7301 section 3.1 gives names 1 to 255 bytes.
func alpn(list string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	var protocols []string
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" || len(name) > 255 {
			return nil, fmt.Errorf("ALPN list %.300q for servers: expected names of 1 to 255 bytes, separated by commas", list)
		}
		protocols = append(protocols, name)
	}
	return protocols, nil
}

// serverName checks the name that is given for all servers.
func serverName(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	canonical, ok := canonicalName(name)
	if !ok {
		return "", fmt.Errorf("server name %.255q: expected a host name or an IP address", name)
	}
	return canonical, nil
}

// canonicalName brings a host name or an address into the form that crypto/tls
// puts into SNI and compares with certificates: no brackets, zone or final dot.
func canonicalName(name string) (string, bool) {
	literal := strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if addr, err := netip.ParseAddr(literal); err == nil {
		return addr.Unmap().WithZone("").String(), true
	}
	name = strings.TrimSuffix(name, ".")
	if len(name) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notInName) {
			return "", false
		}
	}
	return name, true
}

// notInName also allows what is no host name by the letter, but what private
// networks call their servers: an underscore.
func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// CheckName reports why a server that is configured as host, as for Handshake,
// can never be verified; nil if it can, or need not be.
func (c *Client) CheckName(host string) error {
	_, err := c.nameFor(host)
	return err
}

// nameFor is what a server is asked for and verified by. It is empty only where
// nothing is verified.
func (c *Client) nameFor(host string) (string, error) {
	if c.serverName != "" {
		return c.serverName, nil
	}
	if name, ok := canonicalName(host); ok {
		return name, nil
	}
	if c.skipVerify {
		return "", nil
	}
	if strings.Contains(host, "/") {
		return "", errors.New("a Unix socket has no name to verify a certificate by; give a server name")
	}
	return "", errors.New("it is no host name or IP address to verify a certificate by; give a server name")
}
