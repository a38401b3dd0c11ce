// Package acme obtains certificates from a CA that speaks ACME (RFC 8555) and
// renews them, when the CA says (ARI, RFC 9773) or when a third of their life
// is left. certmagic keeps them; the answers to the CA's challenges (http-01,
// RFC 8555 section 8.3, and tls-alpn-01, RFC 8737) are only put into a table,
// which whoever owns the listeners asks. The package opens no listener.
//
// What it obtains lies in a directory, in certmagic's layout, and is served
// from there at the next start without a word to the CA.
package acme

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/caddyserver/certmagic"
	acmeproto "github.com/mholt/acmez/v3/acme"
)

// The values of Config.CA that stand for a directory's URL.
const (
	LetsEncrypt = "letsencrypt" // Let's Encrypt, as is ""
	Staging     = "staging"     // Let's Encrypt's staging environment, whose certificates nobody trusts
)

// The values of Config.Challenges.
const (
	HTTP01    = acmeproto.ChallengeTypeHTTP01
	TLSALPN01 = acmeproto.ChallengeTypeTLSALPN01
)

// Config says which certificates are wanted, from whom. It is plain data; the
// zero Config wants none and is valid.
type Config struct {
	// Names are host names; each gets a certificate of its own. Addresses
	// and wildcards are errors.
	Names []string
	// OnDemand says for which other names a certificate is obtained once a
	// client asks: host names, and "*.suffix" for those with one label more
	// than suffix.
	OnDemand []string
	// Email is what the CA may write to. "" is none.
	Email string
	// CA is the https URL of the CA's directory, LetsEncrypt, Staging or "".
	CA string
	// CARoots is a PEM file of the certificates that the CA's own server is
	// verified against. "" means the system's. It is read by New and Update.
	CARoots string
	// CARootsPEM is what CARoots holds, where somebody has read it already: it
	// may be out of reach since. "" has it read.
	CARootsPEM string
	// Profile is the profile that orders name, as the CA's directory lists
	// them. "" leaves it to the CA.
	Profile string
	// EABKey and EABSecret bind the account to one that the CA knows (RFC
	// 8555 section 7.3.4): the key's ID, and the key in base64url.
	EABKey, EABSecret string
	// Storage is the directory for accounts, keys and certificates. It is
	// made, mode 0700, if it is not there.
	Storage string
	// Challenges are HTTP01 or TLSALPN01, the preferred one first. Empty
	// means TLSALPN01 and, where HTTPAvailable, HTTP01.
	Challenges []string
	// HTTPAvailable says that a listener on port 80 asks Manager.HTTPToken.
	HTTPAvailable bool
}

// Empty reports whether c wants no certificates.
func (c Config) Empty() bool { return len(c.Names) == 0 && len(c.OnDemand) == 0 }

// Equal reports whether c and d want the same in the same way.
func (c Config) Equal(d Config) bool {
	return slices.Equal(c.Names, d.Names) && slices.Equal(c.OnDemand, d.OnDemand) && slices.Equal(c.Challenges, d.Challenges) &&
		c.Email == d.Email && c.CA == d.CA && c.CARoots == d.CARoots && c.CARootsPEM == d.CARootsPEM && c.Profile == d.Profile && c.EABKey == d.EABKey &&
		c.EABSecret == d.EABSecret && c.Storage == d.Storage && c.HTTPAvailable == d.HTTPAvailable
}

// Clone returns a Config that shares no slice with c.
func (c Config) Clone() Config {
	c.Names, c.OnDemand, c.Challenges = slices.Clone(c.Names), slices.Clone(c.OnDemand), slices.Clone(c.Challenges)
	return c
}

// settings is a Config that was checked.
type settings struct {
	names map[string]bool // in lower case
	allow allowed
	identity
}

// identity is what makes one authority differ from another. It is comparable.
type identity struct {
	directory, email, profile, eabKey, eabSecret, storage string
	roots                                                 string // content of CARoots
	challenges                                            string // separated by spaces
}

// check turns c into settings. Of files it reads CARoots alone.
func (c Config) check() (settings, error) {
	var s settings
	if c.Empty() {
		return s, nil
	}
	var err error
	if s.names, err = hostNames(c.Names); err != nil {
		return s, err
	}
	if s.allow, err = newAllowed(c.OnDemand); err != nil {
		return s, err
	}
	if c.Storage == "" {
		return s, errors.New("ACME: no storage directory for the certificates: --acme-storage DIR")
	}
	s.email, s.profile, s.storage = c.Email, c.Profile, c.Storage
	for _, step := range []func(Config) error{s.setCA, s.setEmail, s.setEAB, s.setChallenges} {
		if err := step(c); err != nil {
			return settings{}, err
		}
	}
	return s, nil
}

func (id *identity) setCA(c Config) error {
	switch c.CA {
	case "", LetsEncrypt:
		id.directory = certmagic.LetsEncryptProductionCA
	case Staging:
		id.directory = certmagic.LetsEncryptStagingCA
	default:
		u, err := url.Parse(c.CA)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("ACME CA %q: expected the https URL of a directory, %s or %s", c.CA, LetsEncrypt, Staging)
		}
		if u.User != nil {
			return fmt.Errorf("ACME CA %s: no user name belongs in its URL", u.Redacted())
		}
		id.directory = c.CA
	}
	if c.CARoots == "" {
		// Read now, for the process may lose sight of them (chroot) before it
		// first talks to the CA. Without any, that will say so.
		x509.SystemCertPool()
		return nil
	}
	if id.roots = c.CARootsPEM; id.roots == "" {
		content, err := os.ReadFile(c.CARoots)
		if err != nil {
			return fmt.Errorf("ACME CA's roots: %w", err)
		}
		id.roots = string(content)
	}
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(id.roots)) {
		return fmt.Errorf("ACME CA's roots: %s has no certificates in PEM", c.CARoots)
	}
	return nil
}

func (id *identity) setEmail(c Config) error {
	if c.Email == "" {
		return nil
	}
	address, err := mail.ParseAddress(c.Email)
	if err != nil || address.Address != c.Email {
		return fmt.Errorf("ACME e-mail address %q: expected name@host", c.Email)
	}
	return nil
}

// setEAB also accepts the secret in plain base64 and with padding, which some
// CAs show it in.
func (id *identity) setEAB(c Config) error {
	if (c.EABKey == "") != (c.EABSecret == "") {
		return errors.New("ACME external account: key ID and secret come together")
	}
	secret := strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(c.EABSecret), "=")
	if _, err := base64.RawURLEncoding.DecodeString(secret); err != nil {
		return errors.New("ACME external account: the secret is not base64url") // without the secret's text
	}
	id.eabKey, id.eabSecret = c.EABKey, secret
	return nil
}

func (id *identity) setChallenges(c Config) error {
	types := c.Challenges
	if len(types) == 0 {
		types = []string{TLSALPN01}
		if c.HTTPAvailable {
			types = append(types, HTTP01)
		}
	}
	for i, t := range types {
		switch {
		case t != HTTP01 && t != TLSALPN01:
			return fmt.Errorf("ACME challenge %q: expected %s or %s", t, TLSALPN01, HTTP01)
		case slices.Contains(types[:i], t):
			return fmt.Errorf("ACME challenge %s is given twice", t)
		case t == HTTP01 && !c.HTTPAvailable:
			return fmt.Errorf("ACME challenge %s needs a listener for plain HTTP, on port 80 for the authority, and there is none: --redirect ADDR", HTTP01)
		}
	}
	id.challenges = strings.Join(types, " ")
	return nil
}

// key names the CA in the storage, as certmagic's own issuer does.
func (id identity) key() string {
	u, err := url.Parse(id.directory)
	if err != nil {
		return id.directory
	}
	if path := strings.Trim(strings.NewReplacer("/", "-", `\`, "-").Replace(u.Path), "-"); path != "" {
		return u.Host + "-" + path
	}
	return u.Host
}
