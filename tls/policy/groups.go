package policy

import (
	stdtls "crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// group is a key exchange that crypto/tls has.
type group struct {
	id stdtls.CurveID
	// names are all spellings, in lower case since OpenSSL compares without
	// regard to case, but for the first, which is for people.
	names    []string
	hybrid   bool // with ML-KEM; TLS 1.3 only
	byNature bool // used where no groups are given
	approved bool // in FIPS 140-3 mode
}

func allGroups() []group {
	return []group{
		{stdtls.X25519MLKEM768, []string{"X25519MLKEM768", "x25519mlkem768"}, true, true, true},
		{stdtls.SecP256r1MLKEM768, []string{"SecP256r1MLKEM768", "secp256r1mlkem768"}, true, false, true},
		{stdtls.SecP384r1MLKEM1024, []string{"SecP384r1MLKEM1024", "secp384r1mlkem1024"}, true, false, true},
		{stdtls.X25519, []string{"X25519", "x25519", "ecdh_x25519", "curve25519"}, false, true, false},
		{stdtls.CurveP256, []string{"P-256", "p-256", "p256", "prime256v1", "secp256r1", "curvep256"}, false, true, true},
		{stdtls.CurveP384, []string{"P-384", "p-384", "p384", "secp384r1", "curvep384"}, false, true, true},
		{stdtls.CurveP521, []string{"P-521", "p-521", "p521", "secp521r1", "curvep521"}, false, false, true},
	}
}

// otherGroups are what OpenSSL (3.5 included) knows and crypto/tls lacks, in
// lower case.
const otherGroups = `
	x448 ecdh_x448 ffdhe2048 ffdhe3072 ffdhe4096 ffdhe6144 ffdhe8192
	mlkem512 mlkem768 mlkem1024 x448mlkem1024 curvesm2 curvesm2mlkem768 sm2
	brainpoolp256r1 brainpoolp384r1 brainpoolp512r1
	brainpoolp256r1tls13 brainpoolp384r1tls13 brainpoolp512r1tls13
	p-192 p-224 prime192v1 secp160k1 secp160r1 secp160r2 secp192k1 secp192r1
	secp224k1 secp224r1 secp256k1
	k-163 b-163 k-233 b-233 k-283 b-283 k-409 b-409 k-571 b-571
	sect163k1 sect163r1 sect163r2 sect193r1 sect193r2 sect233k1 sect233r1
	sect239k1 sect283k1 sect283r1 sect409k1 sect409r1 sect571k1 sect571r1
	gc256a gc256b gc256c gc256d gc512a gc512b gc512c`

// chooseGroups reads Options.Groups.
func (d *draft) chooseGroups() error {
	if d.options.Groups == "" {
		for _, g := range allGroups() {
			// Where clients must have a hybrid group any of them will do.
			if d.options.RequirePQ && g.hybrid || !d.options.RequirePQ && g.byNature {
				d.groups = append(d.groups, g)
			}
		}
		return nil
	}
	var lacking, plain []string
	for _, word := range strings.FieldsFunc(d.options.Groups, func(r rune) bool { return r == ':' || r == ',' }) {
		name := strings.TrimSpace(word)
		g, ok := findGroup(name)
		switch {
		case !ok && slices.Contains(strings.Fields(otherGroups), strings.ToLower(name)):
			lacking = append(lacking, name)
		case !ok:
			return fmt.Errorf("groups %q: %q not known; expected names such as X25519MLKEM768, X25519, P-256, P-384, separated by colons", d.options.Groups, name)
		case d.options.RequirePQ && !g.hybrid:
			plain = append(plain, g.names[0])
		case !slices.ContainsFunc(d.groups, func(h group) bool { return h.id == g.id }):
			d.groups = append(d.groups, g)
		}
	}
	if lacking != nil {
		d.notice("groups: skipped, since crypto/tls lacks them: %s", strings.Join(lacking, ", "))
	}
	if plain != nil {
		d.notice("groups: left out, since hybrid post-quantum ones are required: %s", strings.Join(plain, ", "))
	}
	return nil
}

func findGroup(name string) (group, bool) {
	name = strings.ToLower(name)
	for _, g := range allGroups() {
		if slices.Contains(g.names[1:], name) {
			return g, true
		}
	}
	return group{}, false
}
