package policy

import (
	stdtls "crypto/tls"
	"slices"
	"strings"
	"testing"
)

const (
	natural = "X25519MLKEM768 X25519 P-256 P-384"
	hybrids = "X25519MLKEM768 SecP256r1MLKEM768 SecP384r1MLKEM1024"
)

func TestCompile(t *testing.T) {
	const (
		v10 = stdtls.VersionTLS10
		v11 = stdtls.VersionTLS11
		v12 = stdtls.VersionTLS12
		v13 = stdtls.VersionTLS13

		compat = "compatibility mode (-Z) allows TLS 1.0 and 1.1 (deprecated by RFC 8996) and CBC suites"
		both   = aead + ", " + padded
		none   = ""
	)
	old := func(word, spoken string) string {
		return "protocol version " + word + " is accepted for old command lines only; speaking " + spoken
	}
	for _, test := range []struct {
		o        Options
		floor    uint16
		suites   string
		groups   string
		warnings string // each followed by a newline
		notices  int
	}{
		{Options{}, v12, aead, natural, "", 0},
		{Options{Profile: "intermediate", MinVersion: "ssl23"}, v12, aead, natural, "", 0},
		{Options{Profile: "modern"}, v13, none, natural, "", 0},
		{Options{Profile: "modern", MinVersion: "tls1.2"}, v13, none, natural, "", 0},
		{Options{Profile: "modern", Ciphers: "HIGH"}, v13, none, natural, "", 1},
		{Options{MinVersion: "tls1.2"}, v12, aead, natural, "", 0},
		{Options{MinVersion: "tls1.3"}, v13, none, natural, "", 0},
		{Options{MinVersion: "ssl2"}, v12, aead, natural, old("ssl2", "TLS 1.2 and 1.3\n"), 0},
		{Options{MinVersion: "ssl3"}, v12, aead, natural, old("ssl3", "TLS 1.2 and 1.3\n"), 0},
		{Options{MinVersion: "tls1", Profile: "modern"}, v13, none, natural, old("tls1", "TLS 1.3 alone\n"), 0},

		{Options{Compat: true}, v10, both, natural, compat + "\n", 0},
		{Options{Compat: true, MinVersion: "tls1"}, v10, both, natural, old("tls1", "TLS 1.0 to 1.3\n") + compat + "\n", 0},
		{Options{Compat: true, MinVersion: "tls1.2"}, v12, both, natural, "compatibility mode (-Z) allows CBC suites, of which padding oracles are known\n", 0},
		{Options{Compat: true, MinVersion: "tls1.3"}, v13, none, natural, "", 1},
		{Options{Compat: true, Ciphers: "ECDHE+AESGCM:!AES256"}, v12, "ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-RSA-AES128-GCM-SHA256", natural, "", 1},
		{Options{Compat: true, SSLOptions: "no_sslv2 no_sslv3 no_tlsv1"}, v11, both, natural, "compatibility mode (-Z) allows TLS 1.1 (deprecated by RFC 8996) and CBC suites\n", 0},
		{Options{Compat: true, SSLOptions: "no_tlsv1 no_tlsv1.1", Ciphers: "HIGH:!SHA1"}, v12, aead, natural, "", 1},
		{Options{Compat: true, SSLOptions: "no_tlsv1.1", Ciphers: "HIGH:!SHA1:!kRSA:-SHA256"}, v12, aead, natural, "", 1},

		{Options{SSLOptions: " no_sslv2\tno_sslv3  no_tlsv1 no_tlsv1.1 "}, v12, aead, natural, "", 0},
		{Options{SSLOptions: "no_tlsv1.2"}, v13, none, natural, "", 0},
		{Options{SSLOptions: "no_tlsv1.2", MinVersion: "tls1.2"}, v13, none, natural, "", 0},
		{Options{SSLOptions: "cipher_server_preference cipher_server_preference"}, v12, aead, natural, "", 1},

		{Options{Ciphers: "ECDHE-RSA-AES128-SHA:kRSA+AESGCM"}, v12, "ECDHE-RSA-AES128-SHA, AES128-GCM-SHA256, AES256-GCM-SHA384", natural,
			"ssl_ciphers allows CBC suites, of which padding oracles are known: ECDHE-RSA-AES128-SHA\n" +
				"ssl_ciphers allows RSA key exchange, without forward secrecy (RFC 9325 section 4.1): who gets the key later can read what was recorded: AES128-GCM-SHA256, AES256-GCM-SHA384\n", 0},
		{Options{Ciphers: "ECDHE-RSA-AES128-SHA256"}, v12, "ECDHE-RSA-AES128-SHA256", natural,
			"ssl_ciphers allows CBC suites with SHA256, for which crypto/tls has no countermeasure against Lucky 13: ECDHE-RSA-AES128-SHA256\n", 0},

		{Options{Groups: "x25519:prime256v1,secp384r1: P-521 :X25519"}, v12, aead, "X25519 P-256 P-384 P-521", "", 0},
		{Options{Groups: "CurveP256:SecP256r1MLKEM768:SecP384r1MLKEM1024"}, v12, aead, "P-256 SecP256r1MLKEM768 SecP384r1MLKEM1024", "", 0},
		{Options{Groups: "X448:ffdhe2048:P-384:brainpoolP256r1"}, v12, aead, "P-384", "", 1},
		{Options{Groups: "X25519MLKEM768", MinVersion: "tls1.3"}, v13, none, "X25519MLKEM768", "", 0},
		{Options{RequirePQ: true}, v13, none, hybrids, "", 0},
		{Options{RequirePQ: true, MinVersion: "tls1.2"}, v13, none, hybrids, "", 0},
		{Options{RequirePQ: true, Groups: "X25519:X25519MLKEM768:P-256"}, v13, none, "X25519MLKEM768", "", 1},
	} {
		p, err := compile(test.o, false)
		if err != nil {
			t.Errorf("%+v: %v", test.o, err)
			continue
		}
		if p.Min != test.floor || p.Max != v13 {
			t.Errorf("%+v: versions %x to %x, want %x to 304", test.o, p.Min, p.Max, test.floor)
		}
		if got := names(p.CipherSuites); got != test.suites {
			t.Errorf("%+v: suites %s, want %s", test.o, got, test.suites)
		}
		if got := groupNames(p.Groups); got != test.groups {
			t.Errorf("%+v: groups %s, want %s", test.o, got, test.groups)
		}
		if got := lines(p.Warnings); got != test.warnings {
			t.Errorf("%+v: warnings %q, want %q", test.o, got, test.warnings)
		}
		if len(p.Notices) != test.notices {
			t.Errorf("%+v: notices %q, want %d", test.o, p.Notices, test.notices)
		}
	}
}

// names gives OpenSSL's, looked up.
func names(ids []uint16) string {
	var list []suite
	for _, id := range ids {
		i := slices.IndexFunc(allSuites(), func(s suite) bool { return s.id == id })
		list = append(list, allSuites()[i])
	}
	return suiteNames(list)
}

func groupNames(ids []uint16) string {
	var list []string
	for _, id := range ids {
		i := slices.IndexFunc(allGroups(), func(g group) bool { return uint16(g.id) == id })
		list = append(list, allGroups()[i].names[0])
	}
	return strings.Join(list, " ")
}

func lines(list []string) (text string) {
	for _, s := range list {
		text += s + "\n"
	}
	return text
}

func TestCompileErrors(t *testing.T) {
	for _, test := range []struct {
		o    Options
		fips bool
		want string
	}{
		{Options{Profile: "old"}, false, `TLS profile "old" not known; expected modern or intermediate`},
		{Options{MinVersion: "tls9"}, false, "protocol version tls9 not known; expected ssl23, ssl2, ssl3, tls1, tls1.2 or tls1.3"},
		{Options{SSLOptions: "no_sslv2 no_tlsv1.3"}, false, `ssl_option "no_tlsv1.3" not known; expected no_sslv2, no_sslv3, no_tlsv1, no_tlsv1.1, no_tlsv1.2 or cipher_server_preference`},
		{Options{Profile: "modern", Compat: true}, false, "compatibility mode (-Z) contradicts profile modern, which speaks TLS 1.3 alone: drop one of them"},
		{Options{RequirePQ: true, Compat: true}, false, "compatibility mode (-Z) contradicts requiring hybrid post-quantum groups, which only TLS 1.3 has: drop one of them"},

		{Options{Ciphers: ":"}, false, `ssl_ciphers ":": no suite is left for TLS 1.2: select one, or speak TLS 1.3 alone (-L tls1.3)`},
		{Options{Ciphers: "HIGH:!ALL"}, false, `ssl_ciphers "HIGH:!ALL": no suite is left for TLS 1.2: select one, or speak TLS 1.3 alone (-L tls1.3)`},
		{Options{Ciphers: "DES-CBC3-SHA:RC4-SHA"}, false, `ssl_ciphers "DES-CBC3-SHA:RC4-SHA": no suite is left for TLS 1.2: select one, or speak TLS 1.3 alone (-L tls1.3); ssl_ciphers: skipped, since crypto/tls has no such suite, or only a broken one (RC4, 3DES): DES-CBC3-SHA, RC4-SHA`},
		{Options{Ciphers: "TLS_AES_128_GCM_SHA256"}, false, `ssl_ciphers "TLS_AES_128_GCM_SHA256": no suite is left for TLS 1.2: select one, or speak TLS 1.3 alone (-L tls1.3); ssl_ciphers: without effect, since the TLS 1.3 suites are fixed in crypto/tls: TLS_AES_128_GCM_SHA256`},
		{Options{Ciphers: "FOO", MinVersion: "tls1.3"}, false, `ssl_ciphers "FOO": "FOO" is no cipher suite or keyword of OpenSSL's`},

		{Options{Groups: "X25519:X25518"}, false, `groups "X25519:X25518": "X25518" not known; expected names such as X25519MLKEM768, X25519, P-256, P-384, separated by colons`},
		{Options{Groups: ":,"}, false, `groups ":,": none is left to use`},
		{Options{Groups: "X448"}, false, `groups "X448": none is left to use; groups: skipped, since crypto/tls lacks them: X448`},
		{Options{Groups: "X25519MLKEM768"}, false, `groups "X25519MLKEM768": none that is left serves TLS 1.2: add P-256, or speak TLS 1.3 alone (-L tls1.3)`},
		{Options{Groups: "X25519", RequirePQ: true}, false, `groups "X25519": none is left to use; groups: left out, since hybrid post-quantum ones are required: X25519`},

		{Options{Ciphers: "CHACHA20"}, true, `ssl_ciphers "CHACHA20": no suite is left for TLS 1.2: select one, or speak TLS 1.3 alone (-L tls1.3); FIPS 140-3 mode: left out, since not approved: ECDHE-ECDSA-CHACHA20-POLY1305, ECDHE-RSA-CHACHA20-POLY1305, X25519`},
		{Options{Groups: "X25519"}, true, `groups "X25519": none is left to use; FIPS 140-3 mode: left out, since not approved: ECDHE-ECDSA-CHACHA20-POLY1305, ECDHE-RSA-CHACHA20-POLY1305, X25519`},
	} {
		p, err := compile(test.o, test.fips)
		if err == nil || err.Error() != test.want {
			t.Errorf("%+v: error %v, want %s", test.o, err, test.want)
		}
		if p.CipherSuites != nil || p.Explain != nil {
			t.Errorf("%+v: half a policy beside the error", test.o)
		}
	}
}

// TestLeftOut has the notice on weak suites name the flaw that kept them out.
func TestLeftOut(t *testing.T) {
	const rsa, cbc, cbcSHA256 = "RSA key exchange", "padding oracles", "Lucky 13"
	for _, test := range []struct {
		text string
		want []string
	}{
		{"AESGCM", []string{rsa}},
		{"ECDHE", []string{cbc, cbcSHA256}},
		{"kRSA", []string{cbc, cbcSHA256}},
		{"kRSA+AESGCM:ECDHE+AESGCM", nil},
		{"ECDHE+AESGCM:SHA1", []string{rsa}},
		{"AES128+ECDHE:AES128+ECDHE+SHA1:-SHA256", nil},
		{"HIGH:!SHA256:!kRSA:!SHA1", nil},
	} {
		p, err := compile(Options{Ciphers: test.text}, false)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		var got []string
		for _, flaw := range []string{rsa, cbc, cbcSHA256} {
			if strings.Contains(lines(p.Notices), flaw) {
				got = append(got, flaw)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: left out for %q, want %q", test.text, got, test.want)
		}
	}
}

// TestNotices has each kind of thing without effect said once.
func TestNotices(t *testing.T) {
	const text = "DES-CBC3-SHA:HIGH:CAMELLIA+kDHE:@STRENGTH:+kRSA:!aNULL:TLS_AES_128_GCM_SHA256:DEFAULT:@SECLEVEL=1:DHE-RSA-AES128-GCM-SHA256:!SUITEB128:!TLS_CHACHA20_POLY1305_SHA256"
	p, err := compile(Options{Ciphers: text}, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ssl_ciphers: skipped, since crypto/tls has no such suite, or only a broken one (RC4, 3DES): DES-CBC3-SHA, CAMELLIA+kDHE, DHE-RSA-AES128-GCM-SHA256",
		"ssl_ciphers: without effect, since DEFAULT and SUITEB128 count at the beginning only, and behind SUITEB128 nothing does: DEFAULT, !SUITEB128",
		"ssl_ciphers: without effect, since the TLS 1.3 suites are fixed in crypto/tls: TLS_AES_128_GCM_SHA256, !TLS_CHACHA20_POLY1305_SHA256",
		"ssl_ciphers: without effect, since crypto/tls orders suites and judges keys by itself: @STRENGTH, +kRSA, @SECLEVEL=1",
		"ssl_ciphers: left out though the keywords cover them: RSA key exchange, for want of forward secrecy (the suite's name or kRSA asks for it); " +
			"CBC suites, for their padding oracles (the suite's name, CBC, SHA1 or -Z asks for them); " +
			"CBC suites with SHA256, which have no countermeasure against Lucky 13 in crypto/tls (the suite's name asks for them)",
	}
	if !slices.Equal(p.Notices, want) {
		t.Errorf("notices:\n%swant:\n%s", lines(p.Notices), lines(want))
	}
}

func TestExplain(t *testing.T) {
	for _, test := range []struct {
		o    Options
		fips bool
		want string
	}{
		{Options{}, false, "versions: TLS 1.2 and 1.3\n" +
			"suites of TLS 1.3: TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256 (fixed: no setting changes them)\n" +
			"suites of TLS 1.2: " + aead + "\n" +
			"order of suites: crypto/tls's own, whatever the order written: ephemeral ECDH first, then AEAD, AES or ChaCha20 by what both sides have hardware for\n" +
			"groups: X25519MLKEM768, X25519, P-256, P-384 (hybrid post-quantum ones before others, then those that the client has sent a key share for)\n"},
		{Options{Compat: true, Ciphers: "HIGH:!ECDSA:RC4-SHA"}, false, "warning: compatibility mode (-Z) allows TLS 1.0 and 1.1 (deprecated by RFC 8996) and CBC suites\n" +
			"versions: TLS 1.0 to 1.3\n" +
			"suites of TLS 1.3: TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256 (fixed: no setting changes them)\n" +
			"suites of TLS 1.2 and older: ECDHE-RSA-AES128-GCM-SHA256, ECDHE-RSA-AES256-GCM-SHA384, ECDHE-RSA-CHACHA20-POLY1305, ECDHE-RSA-AES128-SHA, ECDHE-RSA-AES256-SHA\n" +
			"order of suites: crypto/tls's own, whatever the order written: ephemeral ECDH first, then AEAD, AES or ChaCha20 by what both sides have hardware for\n" +
			"groups: X25519MLKEM768, X25519, P-256, P-384 (hybrid post-quantum ones before others, then those that the client has sent a key share for)\n" +
			"note: ssl_ciphers: skipped, since crypto/tls has no such suite, or only a broken one (RC4, 3DES): RC4-SHA\n" +
			"note: ssl_ciphers: left out though the keywords cover them: RSA key exchange, for want of forward secrecy (the suite's name or kRSA asks for it); " +
			"CBC suites with SHA256, which have no countermeasure against Lucky 13 in crypto/tls (the suite's name asks for them)\n"},
		{Options{RequirePQ: true, Groups: "X25519MLKEM768"}, false, "versions: TLS 1.3 alone\n" +
			"suites of TLS 1.3: TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256 (fixed: no setting changes them)\n" +
			"groups: X25519MLKEM768 (hybrid post-quantum ones before others, then those that the client has sent a key share for)\n" +
			"clients without a hybrid post-quantum group are turned away\n"},
		{Options{Compat: true}, true, "versions: TLS 1.2 and 1.3\n" +
			"suites of TLS 1.3: TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384 (fixed: no setting changes them)\n" +
			"suites of TLS 1.2: ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-RSA-AES128-GCM-SHA256, ECDHE-ECDSA-AES256-GCM-SHA384, ECDHE-RSA-AES256-GCM-SHA384\n" +
			"order of suites: crypto/tls's own, whatever the order written: ephemeral ECDH first, then AEAD, AES or ChaCha20 by what both sides have hardware for\n" +
			"groups: X25519MLKEM768, P-256, P-384 (hybrid post-quantum ones before others, then those that the client has sent a key share for)\n" +
			"FIPS 140-3 mode is on (GODEBUG=fips140): only approved versions, suites and groups remain\n" +
			"note: FIPS 140-3 mode: left out, since not approved: TLS 1.0 and 1.1, ECDHE-ECDSA-CHACHA20-POLY1305, ECDHE-RSA-CHACHA20-POLY1305, " + padded + ", X25519\n"},
	} {
		p, err := compile(test.o, test.fips)
		if err != nil {
			t.Errorf("%+v: %v", test.o, err)
		} else if got := lines(p.Explain); got != test.want {
			t.Errorf("%+v:\n%swant:\n%s", test.o, got, test.want)
		}
	}
}
