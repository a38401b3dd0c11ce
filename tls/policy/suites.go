package policy

import (
	stdtls "crypto/tls"
	"strings"
)

// flaws are what makes a suite weak.
type flaws uint8

const (
	cbc       flaws = 1 << iota // MAC-then-encrypt: a history of padding oracles
	cbcSHA256                   // the same, and crypto/tls has no countermeasure against Lucky 13 there
	staticRSA                   // RSA key exchange: no forward secrecy
)

// suite is one of TLS 1.2 and older that crypto/tls has and that may be had.
// RC4 and 3DES are not among them: crypto/tls has those, but they are broken
// (RFC 7465; Sweet32).
type suite struct {
	id       uint16
	name     string // OpenSSL's
	keywords string // of ciphers(1), without synonyms, between blanks
	flaws    flaws
	approved bool // in FIPS 140-3 mode
}

// allSuites has the suites in crypto/tls's order of preference.
func allSuites() []suite {
	return []suite{
		{stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256", " ALL HIGH ECDHE aECDSA AES AES128 AESGCM TLSv1.2 FIPS ", 0, true},
		{stdtls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256", " ALL HIGH ECDHE aRSA AES AES128 AESGCM TLSv1.2 FIPS ", 0, true},
		{stdtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384", " ALL HIGH ECDHE aECDSA AES AES256 AESGCM TLSv1.2 FIPS ", 0, true},
		{stdtls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384", " ALL HIGH ECDHE aRSA AES AES256 AESGCM TLSv1.2 FIPS ", 0, true},
		{stdtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305", " ALL HIGH ECDHE aECDSA CHACHA20 TLSv1.2 ", 0, false},
		{stdtls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305", " ALL HIGH ECDHE aRSA CHACHA20 TLSv1.2 ", 0, false},
		{stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, "ECDHE-ECDSA-AES128-SHA", " ALL HIGH ECDHE aECDSA AES AES128 CBC SHA1 TLSv1 FIPS ", cbc, false},
		{stdtls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, "ECDHE-RSA-AES128-SHA", " ALL HIGH ECDHE aRSA AES AES128 CBC SHA1 TLSv1 FIPS ", cbc, false},
		{stdtls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "ECDHE-ECDSA-AES256-SHA", " ALL HIGH ECDHE aECDSA AES AES256 CBC SHA1 TLSv1 FIPS ", cbc, false},
		{stdtls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, "ECDHE-RSA-AES256-SHA", " ALL HIGH ECDHE aRSA AES AES256 CBC SHA1 TLSv1 FIPS ", cbc, false},
		{stdtls.TLS_RSA_WITH_AES_128_GCM_SHA256, "AES128-GCM-SHA256", " ALL HIGH kRSA aRSA AES AES128 AESGCM TLSv1.2 FIPS ", staticRSA, false},
		{stdtls.TLS_RSA_WITH_AES_256_GCM_SHA384, "AES256-GCM-SHA384", " ALL HIGH kRSA aRSA AES AES256 AESGCM TLSv1.2 FIPS ", staticRSA, false},
		{stdtls.TLS_RSA_WITH_AES_128_CBC_SHA, "AES128-SHA", " ALL HIGH kRSA aRSA AES AES128 CBC SHA1 SSLv3 FIPS ", staticRSA | cbc, false},
		{stdtls.TLS_RSA_WITH_AES_256_CBC_SHA, "AES256-SHA", " ALL HIGH kRSA aRSA AES AES256 CBC SHA1 SSLv3 FIPS ", staticRSA | cbc, false},
		{stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, "ECDHE-ECDSA-AES128-SHA256", " ALL HIGH ECDHE aECDSA AES AES128 CBC SHA256 TLSv1.2 FIPS ", cbcSHA256, true},
		{stdtls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, "ECDHE-RSA-AES128-SHA256", " ALL HIGH ECDHE aRSA AES AES128 CBC SHA256 TLSv1.2 FIPS ", cbcSHA256, true},
		{stdtls.TLS_RSA_WITH_AES_128_CBC_SHA256, "AES128-SHA256", " ALL HIGH kRSA aRSA AES AES128 CBC SHA256 TLSv1.2 FIPS ", staticRSA | cbcSHA256, false},
	}
}

// is tells whether word is the suite's own name.
func (s suite) is(word string) bool {
	return word == s.name || word == stdtls.CipherSuiteName(s.id)
}

// under tells whether word, a name or a keyword, stands for the suite.
func (s suite) under(word string) bool {
	return strings.Contains(s.keywords, " "+canonical(word)+" ") || s.is(word)
}

// old tells whether TLS 1.0 and 1.1 can use the suite.
func (s suite) old() bool { return s.flaws&cbc != 0 }

// named gives those of the suite's flaws that word asks for.
func (s suite) named(word string) flaws {
	if s.is(word) {
		return s.flaws
	}
	switch canonical(word) {
	case "CBC", "SHA1", "TLSv1": // SSLv3 has none without kRSA
		return s.flaws & cbc
	case "kRSA":
		return s.flaws & staticRSA
	}
	return 0
}

// canonical gives the keyword that means the same for the suites of allSuites,
// all of which authenticate the server.
func canonical(word string) string {
	switch word {
	case "kECDHE", "kEECDH", "EECDH", "ECDH":
		return "ECDHE"
	case "RSA":
		return "kRSA"
	case "ECDSA":
		return "aECDSA"
	case "SHA":
		return "SHA1"
	case "TLSv1.0":
		return "TLSv1"
	}
	return word
}

// suiteNames joins OpenSSL's names.
func suiteNames(list []suite) string {
	var names []string
	for _, s := range list {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

// flawed gives the suites of list with any of f.
func flawed(list []suite, f flaws) (found []suite) {
	for _, s := range list {
		if s.flaws&f != 0 {
			found = append(found, s)
		}
	}
	return found
}
