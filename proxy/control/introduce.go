package control

import (
	"fmt"
	"slices"
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

// proxyOut is "proxy_out v1|v2".
func (c *call) proxyOut() error {
	switch {
	case c.no:
		c.ProxyOut = 0
	case len(c.words) == 0:
		if c.ProxyOut > 0 {
			c.printf("v%d\n", c.ProxyOut)
		}
	case c.words[0] == "v1":
		c.ProxyOut = 1
	case c.words[0] == "v2":
		c.ProxyOut = 2
	default:
		return fmt.Errorf("proxy_out: %q: expected v1 or v2", c.words[0])
	}
	return nil
}
