package policy

import (
	stdtls "crypto/tls"
	"slices"
	"strings"
)

// chooseSuites reads Options.Ciphers.
func (d *draft) chooseSuites() error {
	text := d.options.Ciphers
	if text == "" {
		text = "ALL"
	}
	s, err := read(text, d.options.Compat)
	if err != nil {
		return err
	}
	if d.Min >= stdtls.VersionTLS13 {
		if d.options.Ciphers != "" {
			d.notice("ssl_ciphers has no effect: TLS 1.3 alone is spoken, and its suites are fixed in crypto/tls")
		}
		return nil
	}
	d.suites = s.taken()
	if d.options.Ciphers != "" {
		d.remark(s)
	}
	if d.Min < stdtls.VersionTLS12 && !slices.ContainsFunc(d.suites, suite.old) {
		d.notice("ssl_ciphers leaves no suite for TLS 1.0 and 1.1: they are off")
		d.Min = stdtls.VersionTLS12
	}
	return nil
}

// remark says what of a cipher string has no effect, each kind once.
func (d *draft) remark(s *selection) {
	list := func(format string, words []string) {
		if words != nil {
			d.notice(format, strings.Join(words, ", "))
		}
	}
	list("ssl_ciphers: skipped, since crypto/tls has no such suite, or only a broken one (RC4, 3DES): %s", s.lacking)
	list("ssl_ciphers: without effect, since DEFAULT and SUITEB128 count at the beginning only, and behind SUITEB128 nothing does: %s", s.late)
	list("ssl_ciphers: without effect, since the TLS 1.3 suites are fixed in crypto/tls: %s", s.fixed)
	list("ssl_ciphers: without effect, since crypto/tls orders suites and judges keys by itself: %s", s.idle)
	var weak []string
	for _, w := range []struct {
		flaws flaws
		text  string
	}{
		{staticRSA, "RSA key exchange, for want of forward secrecy (the suite's name or kRSA asks for it)"},
		{cbc, "CBC suites, for their padding oracles (the suite's name, CBC, SHA1 or -Z asks for them)"},
		{cbcSHA256, "CBC suites with SHA256, which have no countermeasure against Lucky 13 in crypto/tls (the suite's name asks for them)"},
	} {
		if s.unasked()&w.flaws != 0 {
			weak = append(weak, w.text)
		}
	}
	if weak != nil {
		d.notice("ssl_ciphers: left out though the keywords cover them: %s", strings.Join(weak, "; "))
	}
}

// keepApproved leaves what crypto/tls leaves in FIPS 140-3 mode, so that the
// policy says what is spoken.
func (d *draft) keepApproved() error {
	if !d.fips {
		return nil
	}
	var out []string
	if d.Min < stdtls.VersionTLS12 {
		out = append(out, "TLS 1.0 and 1.1")
		d.Min = stdtls.VersionTLS12
	}
	d.suites = slices.DeleteFunc(d.suites, func(s suite) bool {
		if !s.approved {
			out = append(out, s.name)
		}
		return !s.approved
	})
	d.groups = slices.DeleteFunc(d.groups, func(g group) bool {
		if !g.approved {
			out = append(out, g.names[0])
		}
		return !g.approved
	})
	if out != nil {
		d.notice("FIPS 140-3 mode: left out, since not approved: %s", strings.Join(out, ", "))
	}
	return nil
}
