// Package policy turns what an operator writes about TLS (a profile, OpenSSL's
// cipher strings, options and groups, pen's -L and -Z) into what crypto/tls can
// do, and says in plain words what that is. It is pure: nothing is opened or
// remembered.
//
// The default is Mozilla's server-side profile "intermediate" (version 5.7) as
// far as crypto/tls goes: TLS 1.2 with ephemeral ECDH and AEAD suites only, as
// RFC 9325 sections 3.1.1 and 4.2 want it, and TLS 1.3.
package policy

import (
	"crypto/fips140"
	stdtls "crypto/tls"
	"errors"
	"fmt"
	"strings"
)

// Options is what the operator asks for. It is plain data and comparable; the
// zero value is the default policy.
type Options struct {
	// Profile is "intermediate" (or ""), or "modern": TLS 1.3 alone. Both are
	// Mozilla's.
	Profile string
	// MinVersion is the lowest protocol version (-L): tls1.2 or tls1.3. pen's
	// words ssl23 (or "") and, with a warning, ssl2, ssl3 and tls1 mean the
	// profile's.
	MinVersion string
	// Ciphers is a cipher string of OpenSSL's ciphers(1) (ssl_ciphers), in
	// OpenSSL's or IANA's names. It selects among the suites of TLS 1.2 and
	// older. Keywords select no suite that is weak, unless they speak of the
	// very weakness: CBC suites need their name, CBC, SHA1 or TLSv1, those
	// with RSA key exchange their name or kRSA, CBC suites with SHA256 their
	// name. "" is ALL, hence the strong ones.
	Ciphers string
	// SSLOptions are pen's words (ssl_option), separated by blanks: no_sslv2,
	// no_sslv3, no_tlsv1, no_tlsv1.1, no_tlsv1.2, cipher_server_preference.
	SSLOptions string
	// Groups lists the key exchange groups, by OpenSSL's or crypto/tls's
	// names, separated by colons or commas. "" is X25519MLKEM768, X25519,
	// P-256 and P-384.
	Groups string
	// Compat allows TLS 1.0 and 1.1, and lets keywords select CBC suites
	// (-Z). Suites without forward secrecy stay off.
	Compat bool
	// RequirePQ turns away clients without a hybrid post-quantum key
	// exchange: TLS 1.3 with hybrid groups alone.
	RequirePQ bool
}

// Policy is what to hand to crypto/tls.
type Policy struct {
	// Min and Max are the protocol versions, as crypto/tls numbers them.
	Min, Max uint16
	// CipherSuites are the suites of TLS 1.2 and older; nil where TLS 1.3,
	// whose suites are fixed, is all that is spoken.
	CipherSuites []uint16
	// Groups are IDs of crypto/tls's CurveID, in the order written, which
	// crypto/tls does not heed.
	Groups []uint16
	// Warnings are the weaknesses that were asked for, and Notices what was
	// accepted without effect: one sentence each.
	Warnings, Notices []string
	// Explain says the whole policy in plain words, a line each: the
	// warnings first, the notices last.
	Explain []string
}

// Compile checks o and works out what it comes to, in FIPS 140-3 mode with
// what is approved alone. Errors name the setting and the word in it: a name
// nobody knows, settings that contradict each other, or that leave a protocol
// version without suites or groups.
func Compile(o Options) (Policy, error) { return compile(o, fips140.Enabled()) }

// draft is a Policy in the making.
type draft struct {
	Policy
	options Options
	fips    bool
	suites  []suite // what CipherSuites will be
	groups  []group // what Groups will be
}

func compile(o Options, fips bool) (Policy, error) {
	d := &draft{options: o, fips: fips, Policy: Policy{Max: stdtls.VersionTLS13}}
	for _, step := range []func() error{
		d.chooseVersions, d.chooseGroups, d.chooseSuites, d.keepApproved, d.checkComplete,
	} {
		if err := step(); err != nil {
			return Policy{}, err
		}
	}
	for _, s := range d.suites {
		d.CipherSuites = append(d.CipherSuites, s.id)
	}
	for _, g := range d.groups {
		d.Groups = append(d.Groups, uint16(g.id))
	}
	d.warn()
	d.explain()
	return d.Policy, nil
}

func (d *draft) notice(format string, args ...any) {
	d.Notices = append(d.Notices, fmt.Sprintf(format, args...))
}

// chooseVersions finds the floor: the highest of those that the settings ask
// for. Nothing lowers it but -Z.
func (d *draft) chooseVersions() error {
	o := d.options
	switch o.Profile {
	case "", "intermediate":
		d.Min = stdtls.VersionTLS12
	case "modern":
		d.Min = stdtls.VersionTLS13
	default:
		return fmt.Errorf("TLS profile %q not known; expected modern or intermediate", o.Profile)
	}
	if o.Compat {
		switch {
		case o.Profile == "modern":
			return errors.New("compatibility mode (-Z) contradicts profile modern, which speaks TLS 1.3 alone: drop one of them")
		case o.RequirePQ:
			return errors.New("compatibility mode (-Z) contradicts requiring hybrid post-quantum groups, which only TLS 1.3 has: drop one of them")
		}
		d.Min = stdtls.VersionTLS10
	}
	if err := d.raiseByWord(); err != nil {
		return err
	}
	if err := d.raiseByOptions(); err != nil {
		return err
	}
	if o.RequirePQ {
		d.Min = stdtls.VersionTLS13
	}
	if o.Compat && d.Min >= stdtls.VersionTLS13 {
		d.notice("compatibility mode (-Z) has no effect: TLS 1.3 alone is spoken")
	}
	return nil
}

// raiseByWord heeds -L.
func (d *draft) raiseByWord() error {
	switch d.options.MinVersion {
	case "", "ssl23", "ssl2", "ssl3", "tls1":
	case "tls1.2":
		d.Min = max(d.Min, stdtls.VersionTLS12)
	case "tls1.3":
		d.Min = stdtls.VersionTLS13
	default:
		return fmt.Errorf("protocol version %s not known; expected ssl23, ssl2, ssl3, tls1, tls1.2 or tls1.3", d.options.MinVersion)
	}
	return nil
}

// raiseByOptions heeds ssl_option. crypto/tls speaks every version from the
// floor on, so switching one off switches the older ones off as well.
func (d *draft) raiseByOptions() error {
	seen := map[string]bool{}
	for _, word := range strings.Fields(d.options.SSLOptions) {
		floor := uint16(0)
		switch word {
		case "no_sslv2", "no_sslv3": // crypto/tls has neither
		case "no_tlsv1":
			floor = stdtls.VersionTLS11
		case "no_tlsv1.1":
			floor = stdtls.VersionTLS12
		case "no_tlsv1.2":
			floor = stdtls.VersionTLS13
		case "cipher_server_preference":
			if !seen[word] {
				d.notice("ssl_option cipher_server_preference has no effect: crypto/tls always chooses by its own order")
			}
		default:
			return fmt.Errorf("ssl_option %q not known; expected no_sslv2, no_sslv3, no_tlsv1, no_tlsv1.1, no_tlsv1.2 or cipher_server_preference", word)
		}
		seen[word] = true
		d.Min = max(d.Min, floor)
	}
	if d.options.Compat && seen["no_tlsv1.1"] && !seen["no_tlsv1"] {
		d.notice("ssl_option no_tlsv1.1 switches TLS 1.0 off as well: versions are spoken from the lowest on without a gap")
	}
	return nil
}

// checkComplete refuses versions that no client could agree on a key exchange
// or a suite in.
func (d *draft) checkComplete() error {
	if len(d.groups) == 0 {
		return fmt.Errorf("groups %q: none is left to use%s", d.options.Groups, d.because("groups"))
	}
	if d.Min >= stdtls.VersionTLS13 {
		return nil
	}
	if len(d.suites) == 0 {
		return fmt.Errorf("ssl_ciphers %q: no suite is left for TLS 1.2: select one, or speak TLS 1.3 alone (-L tls1.3)%s", d.options.Ciphers, d.because("ssl_ciphers"))
	}
	for _, g := range d.groups {
		if !g.hybrid {
			return nil
		}
	}
	return fmt.Errorf("groups %q: none that is left serves TLS 1.2: add P-256, or speak TLS 1.3 alone (-L tls1.3)%s", d.options.Groups, d.because("groups"))
}

// because ends the errors about what is left of a setting with the notices that
// say what became of it.
func (d *draft) because(setting string) string {
	var text string
	for _, n := range d.Notices {
		if strings.HasPrefix(n, setting) || strings.HasPrefix(n, "FIPS") {
			text += "; " + n
		}
	}
	return text
}
