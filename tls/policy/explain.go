package policy

import (
	stdtls "crypto/tls"
	"fmt"
	"strings"
)

// spoken names the versions.
func (d *draft) spoken() string {
	switch d.Min {
	case stdtls.VersionTLS10:
		return "TLS 1.0 to 1.3"
	case stdtls.VersionTLS11:
		return "TLS 1.1 to 1.3"
	case stdtls.VersionTLS12:
		return "TLS 1.2 and 1.3"
	}
	return "TLS 1.3 alone"
}

func (d *draft) warning(format string, args ...any) {
	d.Warnings = append(d.Warnings, fmt.Sprintf(format, args...))
}

// warn collects the weaknesses of the finished policy.
func (d *draft) warn() {
	switch word := d.options.MinVersion; word {
	case "ssl2", "ssl3", "tls1":
		d.warning("protocol version %s is accepted for old command lines only; speaking %s", word, d.spoken())
	}
	padded := flawed(d.suites, cbc)
	compat := d.options.Compat
	switch {
	case d.Min == stdtls.VersionTLS10:
		d.warning("compatibility mode (-Z) allows TLS 1.0 and 1.1 (deprecated by RFC 8996) and CBC suites")
	case d.Min == stdtls.VersionTLS11:
		d.warning("compatibility mode (-Z) allows TLS 1.1 (deprecated by RFC 8996) and CBC suites")
	case compat && padded != nil:
		d.warning("compatibility mode (-Z) allows CBC suites, of which padding oracles are known")
	case padded != nil:
		d.warning("ssl_ciphers allows CBC suites, of which padding oracles are known: %s", suiteNames(padded))
	}
	if list := flawed(d.suites, cbcSHA256); list != nil {
		d.warning("ssl_ciphers allows CBC suites with SHA256, for which crypto/tls has no countermeasure against Lucky 13: %s", suiteNames(list))
	}
	if list := flawed(d.suites, staticRSA); list != nil {
		d.warning("ssl_ciphers allows RSA key exchange, without forward secrecy (RFC 9325 section 4.1): who gets the key later can read what was recorded: %s", suiteNames(list))
	}
}

// explain puts the finished policy into words.
func (d *draft) explain() {
	line := func(format string, args ...any) { d.Explain = append(d.Explain, fmt.Sprintf(format, args...)) }
	for _, text := range d.Warnings {
		line("warning: %s", text)
	}
	line("versions: %s", d.spoken())
	fixed := "TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256"
	if d.fips {
		fixed = "TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384"
	}
	line("suites of TLS 1.3: %s (fixed: no setting changes them)", fixed)
	if d.suites != nil {
		older := "TLS 1.2"
		if d.Min < stdtls.VersionTLS12 {
			older = "TLS 1.2 and older"
		}
		line("suites of %s: %s", older, suiteNames(d.suites))
		line("order of suites: crypto/tls's own, whatever the order written: ephemeral ECDH first, then AEAD, AES or ChaCha20 by what both sides have hardware for")
	}
	var groups []string
	hybrid := true
	for _, g := range d.groups {
		groups = append(groups, g.names[0])
		hybrid = hybrid && g.hybrid
	}
	line("groups: %s (hybrid post-quantum ones before others, then those that the client has sent a key share for)", strings.Join(groups, ", "))
	if hybrid {
		line("clients without a hybrid post-quantum group are turned away")
	}
	if d.fips {
		line("FIPS 140-3 mode is on (GODEBUG=fips140): only approved versions, suites and groups remain")
	}
	for _, text := range d.Notices {
		line("note: %s", text)
	}
}
