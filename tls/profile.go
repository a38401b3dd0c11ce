// Package tls terminates TLS on an accepted connection under one immutable
// Profile. It, package certs and the packages below both are the only ones
// that know crypto/tls.
//
// What is spoken (versions, suites, groups) is package policy's; this package
// chooses certificates, asks clients for theirs, keeps the keys of session
// tickets, and says afterwards what happened, or why it did not.
package tls

import (
	"context"
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"edgepen/certs"
	"edgepen/certs/ech"
	"edgepen/certs/ticket"
	"edgepen/tls/policy"
)

// Options is how TLS is spoken. It is plain data and comparable; the zero
// value is the default policy, and asks clients for nothing.
type Options struct {
	Policy policy.Options
	// ClientAuth says whether clients are asked for a certificate: "" or
	// "off"; "optional", where one that is given must be good and none is
	// fine; "required" (pen's -R).
	ClientAuth string
	// StrictSNI refuses clients that name no host, or one without a
	// certificate, with the alert unrecognized_name (RFC 6066 section 3).
	// Otherwise they are served the default certificate.
	StrictSNI bool
	// ALPN lists the protocols to agree on (RFC 7301), separated by commas.
	// "" ignores what clients offer; otherwise a client that offers others
	// only is refused.
	ALPN string
}

// Material is what handshakes are done with. The functions are called by
// handshakes, several at once.
type Material struct {
	// Set is required; it may be without certificates if More is there.
	Set *certs.Set
	// More is asked for the certificates of names that Set has none for, in
	// lower case, best first. It must be fast. Nil: there are none.
	More func(name string) []*certs.Certificate
	// Obtain is asked last, and may take until ctx ends. Nil: nobody is.
	Obtain func(ctx context.Context, name string) []*certs.Certificate
	// Validation is the answer to a pending tls-alpn-01 challenge (RFC 8737)
	// for name, nil if none is pending. A nil function means none ever is.
	Validation func(name string) *stdtls.Certificate
}

// Check reports what is wrong with options also where no TLS is spoken as yet, and so no profile made.
func (o Options) Check() error {
	_, err := policy.Compile(o.Policy)
	return err
}

// Profile is how handshakes are done from one configuration on. It is
// immutable; any number of handshakes share it.
type Profile struct {
	material Material
	strict   bool
	tickets  *keyring // nil: the Terminator's own
	ech      []stdtls.EncryptedClientHelloKey
	main     *variant
	own      map[*x509.CertPool]*variant // for names whose clients other CAs vouch for
	policy   policy.Policy
	explain  []string
}

// NewProfile checks o against m and prepares everything that a handshake
// needs, so that none has to.
//
// CAs without ClientAuth ask clients for nothing, as in pen 0.34.1: there
// they only complete the server's own chain.
func NewProfile(m Material, o Options) (*Profile, error) {
	if m.Set == nil || len(m.Set.Default)+len(m.Set.All()) == 0 && m.More == nil && m.Obtain == nil {
		return nil, errors.New("no certificate to speak TLS with")
	}
	auth, err := clientAuth(o.ClientAuth, m.Set)
	if err != nil {
		return nil, err
	}
	protocols, err := alpn(o.ALPN)
	if err != nil {
		return nil, err
	}
	p := &Profile{material: m, strict: o.StrictSNI, ech: ech.ForTLS(m.Set.ECH)}
	if p.policy, err = policy.Compile(o.Policy); err != nil {
		return nil, err
	}
	if len(m.Set.Tickets) > 0 {
		p.tickets = &keyring{keys: append([]ticket.Key(nil), m.Set.Tickets...)}
	}
	config := p.config(protocols)
	if auth != stdtls.NoClientCert {
		config.ClientAuth, config.ClientCAs = auth, m.Set.CAs
		p.own = ownCAs(config, m.Set)
	}
	p.main = &variant{config: config}
	p.explain = p.explained(o, protocols)
	return p, nil
}

// config is what all names have in common.
func (p *Profile) config(protocols []string) *stdtls.Config {
	config := &stdtls.Config{
		GetCertificate: pickCertificate,
		MinVersion:     p.policy.Min,
		MaxVersion:     p.policy.Max,
		CipherSuites:   p.policy.CipherSuites,
		NextProtos:     protocols,
		// crypto/tls takes the configurations to retry with from here, and
		// what it accepts from the Terminator's base.
		EncryptedClientHelloKeys: p.ech,
		// Small first records let a browser begin to read a little sooner,
		// but each costs a system call and an AEAD operation of its own.
		DynamicRecordSizingDisabled: true,
	}
	for _, group := range p.policy.Groups {
		config.CurvePreferences = append(config.CurvePreferences, stdtls.CurveID(group))
	}
	return config
}

// clientAuth turns the word into crypto/tls's, and sees that there are CAs.
func clientAuth(word string, set *certs.Set) (stdtls.ClientAuthType, error) {
	const want = "needs the CAs to trust: give -G file or -A dir, or -G system for the system's roots"
	switch word {
	case "", "off":
		return stdtls.NoClientCert, nil
	case "optional":
		if set.CAs == nil {
			return 0, errors.New("a client certificate that is optional " + want)
		}
		return stdtls.VerifyClientCertIfGiven, nil
	case "required":
		if set.CAs == nil {
			return 0, errors.New("-R " + want)
		}
		return stdtls.RequireAndVerifyClientCert, nil
	}
	return 0, fmt.Errorf("client certificates %q not known; expected off, optional or required", word)
}

// ownCAs makes a variant of config for each pool of CAs that names of set have
// for themselves.
func ownCAs(config *stdtls.Config, set *certs.Set) map[*x509.CertPool]*variant {
	own := make(map[*x509.CertPool]*variant)
	for _, c := range set.All() {
		if c.CAs != nil && own[c.CAs] == nil {
			own[c.CAs] = withCAs(config, c.CAs)
		}
	}
	return own
}

// withCAs is config for clients that cas vouch for.
func withCAs(config *stdtls.Config, cas *x509.CertPool) *variant {
	config = config.Clone()
	config.ClientCAs = cas
	return &variant{config: config}
}

// alpn takes the list apart; RFC 7301 section 3.1 gives names 1 to 255 bytes.
func alpn(list string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	protocols := strings.Split(list, ",")
	for i, name := range protocols {
		name = strings.TrimSpace(name)
		if name == "" || len(name) > 255 {
			return nil, fmt.Errorf("ALPN list %q: expected names of 1 to 255 bytes, separated by commas", list)
		}
		protocols[i] = name
	}
	return protocols, nil
}

// Warnings are remarks for the operator about the certificates and the
// policy, one a line.
func (p *Profile) Warnings() []string {
	return slices.Concat(p.material.Set.Warnings, p.policy.Warnings, unnamedECH(p.material))
}

// unnamedECH says which public names of Encrypted Client Hello nobody can
// vouch for: a client whose configuration is out of date is told the new one
// under a certificate for the public name, or not at all (RFC 9849 section
// 6.1.6).
func unnamedECH(m Material) []string {
	var warnings []string
	for _, key := range m.Set.ECH {
		if key.Retry && len(m.Set.ForName(key.PublicName)) == 0 && m.More == nil && m.Obtain == nil {
			warnings = append(warnings, fmt.Sprintf("no certificate for %s, the public name of an ECH key: clients whose ECH configuration is out of date cannot connect", key.PublicName))
		}
	}
	return warnings
}

// Notices are remarks about the policy that need no action, one a line.
func (p *Profile) Notices() []string { return append([]string(nil), p.policy.Notices...) }

// Explain says in the operator's terms what is spoken, what happens to names
// without a certificate, and who passes, one statement a line.
func (p *Profile) Explain() []string { return append([]string(nil), p.explain...) }

func (p *Profile) explained(o Options, protocols []string) []string {
	lines := append([]string(nil), p.policy.Explain...)
	if o.StrictSNI || len(p.material.Set.Default) == 0 {
		lines = append(lines, "names: clients that name no host, or one without a certificate, are refused (unrecognized_name)")
	} else {
		lines = append(lines, "names: clients that name no host, or one without a certificate, get the default certificate")
	}
	if len(protocols) > 0 {
		lines = append(lines, "protocols (ALPN): "+strings.Join(protocols, ", ")+"; clients that offer others only are refused")
	}
	if p.tickets != nil {
		lines = append(lines, fmt.Sprintf("session tickets: %d keys from the file, the first for new tickets", len(p.tickets.keys)))
	} else {
		lines = append(lines, "session tickets: random keys of this process, a new one each 24 hours, 7 kept")
	}
	if len(p.ech) > 0 {
		lines = append(lines, fmt.Sprintf("Encrypted Client Hello: %d keys", len(p.ech)))
	}
	return append(lines, p.explainedClients()...)
}

// explainedClients says who passes.
func (p *Profile) explainedClients() []string {
	set, by := p.material.Set, "the CAs of -G and -A"
	if set.CACount > 0 {
		by = fmt.Sprintf("one of %d CAs (-G, -A)", set.CACount)
	}
	var lines []string
	switch p.main.config.ClientAuth {
	case stdtls.NoClientCert:
		return []string{"client certificates: none are asked for"}
	case stdtls.VerifyClientCertIfGiven:
		lines = []string{"client certificates: optional; a client without one passes, and one that is shown must be vouched for by " + by}
	default:
		lines = []string{"client certificates: required; each must be vouched for by " + by}
	}
	return append(lines, ownNames(set)...)
}

// ownNames names the first few of those whose clients other CAs vouch for.
func ownNames(set *certs.Set) []string {
	var names []string
	for _, c := range set.All() {
		if c.CAs != nil {
			names = append(names, c.Names...)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	names = slices.Compact(names)
	more := ""
	if n := len(names); n > 5 {
		names, more = names[:5], fmt.Sprintf(" and %d more names", n-5)
	}
	return []string{"client certificates for " + strings.Join(names, ", ") + more + ": each name's own CAs vouch for them instead"}
}
