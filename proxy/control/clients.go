package control

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"edgepen/acl"
	"edgepen/proxy"
)

// clientSettings is the commands about who may come in.
func clientSettings() []*command {
	return []*command{
		{"denied", "[acl|country|rate|ja4|certificate ACTION]", "what denied clients get, by reason: default, close, reset, tarpit, abuse, 403, 429", false, (*call).denied},
		{"geo_fields", "[country|continent|asn…]", "tell HTTP servers where clients are: X-Geo-Country and its like; no geo_fields: nothing", true, (*call).geoFields},
		toggle("geoip_builtin", "ask the built-in database of countries after those of geoip", func(c *proxy.Config) *bool { return &c.GeoBuiltin }),
		number1("handshake_max", "TLS handshakes at once, 0 any number", 0, func(c *proxy.Config) *int { return &c.Limits.Handshakes }),
		rate("handshake_rate", "full TLS handshakes a second, 0 any number; resumed ones cost a quarter", func(c *proxy.Config) *float64 { return &c.Limits.HandshakesPerSecond }),
		number1("limit_connections", "connections of a client's prefix at once, 0 any number", 0, func(c *proxy.Config) *int { return &c.Limits.Concurrent }),
		rate("limit_failures", "failed handshakes of a client's prefix a minute, 0 any number", func(c *proxy.Config) *float64 { return &c.Limits.Failures }),
		{"limit_prefix", "[V4 V6]", "lengths of the prefixes that limits are for", false, (*call).limitPrefix},
		{"limit_rate", "[N [BURST]]", "new connections of a client's prefix a second, and at once, 0 any number", false, (*call).limitRate},
		number1("limit_table", "prefixes that are remembered, 64 bytes each; 0 for 65536", 0, func(c *proxy.Config) *int { return &c.Limits.Prefixes }),
		number1("tarpit_max", "denied clients that are kept waiting at once", 0, func(c *proxy.Config) *int { return &c.TarpitMax }),
	}
}

// rate is a number that may have a fraction. The reply is the one in force.
func rate(name, help string, field func(*proxy.Config) *float64) *command {
	return &command{name, "[N]", help, false, func(c *call) error {
		f := field(&c.Config)
		if len(c.words) > 0 {
			n, err := fraction(c.words[0])
			if err != nil {
				return fmt.Errorf("%s: %v", name, err)
			}
			*f = n
		}
		c.printf("%s\n", decimal(*f))
		return nil
	}}
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func fraction(word string) (float64, error) {
	n, err := strconv.ParseFloat(word, 64)
	if err != nil || !(n >= 0 && n <= 1e9) {
		return 0, fmt.Errorf("%q is no rate; expected a number from 0 to 1000000000, as in 20 or 0.5", word)
	}
	return n, nil
}

func (c *call) limitRate() error {
	if len(c.words) > 0 {
		n, err := fraction(c.words[0])
		burst := 0
		if err == nil && len(c.words) > 1 {
			burst, err = number(c.words[1], "connections", 0, 1<<31-1)
		}
		if err != nil {
			return fmt.Errorf("limit_rate: %v", err)
		}
		c.Limits.PerSecond, c.Limits.Burst = n, burst
	}
	c.printf("%s %d\n", decimal(c.Limits.PerSecond), c.Limits.Burst)
	return nil
}

func (c *call) limitPrefix() error {
	if len(c.words) == 1 {
		return errors.New("limit_prefix wants two lengths: " + c.cmd.usage())
	}
	if len(c.words) > 0 {
		v4, err := number(c.words[0], "a prefix length of IPv4", 0, 32)
		v6, err6 := number(c.words[1], "a prefix length of IPv6", 0, 128)
		if err := errors.Join(err, err6); err != nil {
			return fmt.Errorf("limit_prefix: %v", err)
		}
		c.Limits.V4, c.Limits.V6 = v4, v6
	}
	c.printf("%d %d\n", c.Limits.V4, c.Limits.V6)
	return nil
}

// denied says, or sets, what denied clients get.
func (c *call) denied() error {
	if len(c.words) == 0 {
		for reason, action := range c.Denied {
			c.printf("%s %s\n", proxy.ReasonWords[reason], proxy.ActionWords[action])
		}
		return nil
	}
	reason := slices.Index(proxy.ReasonWords, c.words[0])
	switch {
	case reason < 0:
		return unknownWord("denied", c.words[0], proxy.ReasonWords)
	case len(c.words) == 1:
		return errors.New("denied wants an action: " + c.cmd.usage())
	}
	action := slices.Index(proxy.ActionWords, c.words[1])
	if action < 0 {
		return unknownWord("denied", c.words[1], proxy.ActionWords)
	}
	c.Denied[reason] = proxy.Action(action)
	return nil
}

// geoFields says what servers are told of where clients are.
func (c *call) geoFields() error {
	var want proxy.Places
	if !c.no && len(c.words) == 0 {
		c.printf("%s\n", strings.Join(placeWords(c.PlaceFields), " "))
		return nil
	}
	for _, word := range c.words {
		switch word {
		case "country":
			want.Country = true
		case "continent":
			want.Continent = true
		case "asn":
			want.ASN = true
		default:
			return unknownWord("geo_fields", word, []string{"country", "continent", "asn"})
		}
	}
	c.PlaceFields = want
	return nil
}

func placeWords(p proxy.Places) (words []string) {
	for _, w := range []struct {
		on   bool
		name string
	}{{p.Country, "country"}, {p.Continent, "continent"}, {p.ASN, "asn"}} {
		if w.on {
			words = append(words, w.name)
		}
	}
	return words
}

// askList answers "acl N list", "acl N apply" and "acl N test ADDRESS …"; false if the words are none of these.
func (c *call) askList(n int, words []string) (bool, error) {
	if len(words) == 0 {
		return false, nil
	}
	switch words[0] {
	case "list":
		c.listEntries(n)
	case "apply":
		c.ApplyList(n, func(ended int) { c.printf("connections ended: %d\n", ended) })
	case "test":
		return true, c.testList(n, words[1:])
	default:
		return false, nil
	}
	if len(words) > 1 {
		return true, fmt.Errorf("acl %d %s: unexpected word %q", n, words[0], words[1])
	}
	return true, nil
}

// listEntries prints the entries of a list, each with the number of clients that it has decided about.
func (c *call) listEntries(n int) {
	hits := c.ListHits(n)
	count := func(i int) uint64 {
		if i < len(hits) {
			return hits[i]
		}
		return 0
	}
	for i, e := range c.ACLs[n] {
		c.printf("%d %s hits %d\n", i+1, e, count(i))
	}
	rest := "permit"
	if l := c.ACLs[n]; len(l) > 0 && l[len(l)-1].Permit {
		rest = "deny"
	}
	c.printf("otherwise %s hits %d\n", rest, count(len(c.ACLs[n])))
}

// testList says what a list decides about a client.
func (c *call) testList(n int, words []string) error {
	const usage = "acl N test ADDRESS|unix [sni NAME] [ja4 F] [uid N] [gid N]"
	if len(words)%2 == 0 {
		return errors.New("acl test: expected " + usage)
	}
	var who acl.Client
	if words[0] == "unix" {
		who.Unix, who.UID, who.GID = true, nobody, nobody
	} else {
		a, err := netip.ParseAddr(words[0])
		if err != nil {
			return fmt.Errorf("acl test: %q is no address; expected %s", words[0], usage)
		}
		who.Addr = a.Unmap()
	}
	for w := words[1:]; len(w) > 0; w = w[2:] {
		if err := describe(&who, w[0], w[1]); err != nil {
			return fmt.Errorf("acl test: %v; expected %s", err, usage)
		}
	}
	why, running := c.ExplainList(n, &who)
	if !running {
		return errors.New("acl test: no list is in force yet; ask a pen that runs, by penctl")
	}
	c.printf("%s", why)
	return nil
}

// nobody is the id of no user and no group: what is not said matches no entry.
const nobody = 1<<32 - 1

// describe adds to what is known of a client that is made up.
func describe(who *acl.Client, name, value string) error {
	switch name {
	case "sni":
		who.Name = strings.ToLower(value)
	case "ja4":
		who.JA4 = func() string { return value }
	case "uid", "gid":
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return fmt.Errorf("%q is no %s", value, name)
		}
		if name == "uid" {
			who.UID = uint32(n)
		} else {
			who.GID = uint32(n)
		}
	default:
		return fmt.Errorf("unknown word %q", name)
	}
	return nil
}
