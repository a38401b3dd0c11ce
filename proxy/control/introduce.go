package control

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"edgepen/proxy"
)

// ruleWords names the rules for PROXY headers.
var ruleWords = []string{proxy.ProxyRequired: "required", proxy.ProxyOptional: "optional", proxy.ProxyRefused: "refused"}

// proxyProtocol is "proxy_protocol CIDR… [required|optional|refused]".
func (c *call) proxyProtocol() error {
	switch {
	case c.no:
		c.ProxyFrom = nil
		return nil
	case len(c.words) == 0:
		for _, source := range c.ProxyFrom {
			c.printf("%s\n", strings.Join(sourceWords(source), " "))
		}
		return nil
	}
	words := strings.Split(strings.Join(c.words, ","), ",")
	rule := max(0, slices.Index(ruleWords, words[len(words)-1]))
	if ruleWords[rule] == words[len(words)-1] {
		words = words[:len(words)-1]
	}
	peers, err := prefixes(words)
	switch {
	case err != nil:
		return fmt.Errorf("proxy_protocol: %v; or, as the last word, %s", err, strings.Join(ruleWords, ", "))
	case len(peers) == 0:
		return fmt.Errorf("proxy_protocol: expected networks, and perhaps one of the words %s behind them", strings.Join(ruleWords, ", "))
	}
	for _, p := range peers {
		c.setSource(proxy.ProxySource{Peers: p, Rule: proxy.ProxyRule(rule)})
	}
	return nil
}

// setSource adds a rule, or puts it in the place of the one that the network has: behind that it would never count.
func (c *call) setSource(source proxy.ProxySource) {
	i := slices.IndexFunc(c.ProxyFrom, func(s proxy.ProxySource) bool { return s.Peers == source.Peers })
	if i < 0 {
		c.ProxyFrom = append(c.ProxyFrom, source)
		return
	}
	c.ProxyFrom[i] = source
}

// sourceWords is what proxyProtocol reads.
func sourceWords(source proxy.ProxySource) []string {
	if source.Rule == proxy.ProxyRequired {
		return []string{source.Peers.String()}
	}
	return []string{source.Peers.String(), ruleWords[source.Rule]}
}

// proxyOut is "proxy_out v1|v2 [BYTES]".
func (c *call) proxyOut() error {
	words := strings.Split(strings.Join(c.words, ","), ",")
	version, most := max(0, slices.Index(outVersions, words[0])), 0
	switch {
	case c.no:
	case len(c.words) == 0:
		if c.ProxyOut > 0 {
			c.printf("%s\n", strings.Join(outWords(&c.Config), " "))
		}
		return nil
	case version == 0:
		return fmt.Errorf("proxy_out: %q: expected v1 or v2", words[0])
	case len(words) > 2:
		return fmt.Errorf("proxy_out: unexpected word %q", words[2])
	case len(words) == 2 && version == 1:
		return errors.New("proxy_out: headers of version 1 have no certificates: only v2 takes a number")
	case len(words) == 2:
		var err error
		if most, err = number(words[1], "bytes of a header with a certificate", 1, longestHead); err != nil {
			return fmt.Errorf("proxy_out: %v", err)
		}
	}
	c.ProxyOut, c.ProxyOutMax = version, most
	return nil
}

// outVersions are those that proxy_out takes; none is the first.
var outVersions = []string{"", "v1", "v2"}

// longestHead is how long a PROXY header can be, by its own length field.
const longestHead = 16 + math.MaxUint16

// outWords is what proxyOut reads.
func outWords(c *proxy.Config) []string {
	words := []string{outVersions[c.ProxyOut]}
	if c.ProxyOutMax > 0 {
		words = append(words, strconv.Itoa(c.ProxyOutMax))
	}
	return words
}
