package control

import (
	"errors"
	"fmt"
	"strings"

	"edgepen/proxy"
)

// proxyProtocol is "proxy_protocol CIDR… [optional]".
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
	optional := words[len(words)-1] == "optional"
	if optional {
		words = words[:len(words)-1]
	}
	peers, err := prefixes(words)
	switch {
	case err != nil:
		return fmt.Errorf("proxy_protocol: %v", err)
	case len(peers) == 0:
		return errors.New("proxy_protocol: expected networks, and perhaps the word optional behind them")
	}
	for _, p := range peers {
		c.ProxyFrom = union(c.ProxyFrom, []proxy.ProxySource{{Peers: p, Optional: optional}})
	}
	return nil
}

// sourceWords is what proxyProtocol reads.
func sourceWords(source proxy.ProxySource) []string {
	if source.Optional {
		return []string{source.Peers.String(), "optional"}
	}
	return []string{source.Peers.String()}
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
