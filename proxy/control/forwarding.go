package control

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"edgepen/httpx"
	"edgepen/proxy"
)

// forwardingSettings is the commands about what trusted proxies say of their clients, and what servers are told.
func forwardingSettings() []*command {
	return []*command{
		oneOf("client_from", "whom client_acl is asked about: the peer, or for each request of a trusted proxy its client as well", clientFromWords,
			func(c *proxy.Config) *proxy.ClientFrom { return &c.ClientFrom }),
		{"error_page", "[STATUS FILE]", "what clients are shown with answers of our own, .html, .txt or .json; no error_page [STATUS]: the pages that are built in", true, (*call).errorPage},
		toggle("forwarded", "tell HTTP servers the client in Forwarded (RFC 7239) as well", func(c *proxy.Config) *bool { return &c.Forwarded }),
		pace("body_rate", "slowest upload of a request's body in bytes a second, 0 any, and how long it may be slower", func(c *proxy.Config) *proxy.Pace { return &c.BodyPace }),
		pace("response_rate", "slowest download of a response by a client in bytes a second, 0 any, and how long it may be slower",
			func(c *proxy.Config) *proxy.Pace { return &c.ResponsePace }),
		setting("request_timeout", "how long a request may take, from its head to the end of the response, 0 for ever", 0,
			func(c *proxy.Config) *time.Duration { return &c.RequestTimeout }),
		toggle("real_ip", "tell HTTP servers the client in X-Real-IP as well", func(c *proxy.Config) *bool { return &c.RealIP }),
		{"request_id", "[NAME]", "field in which servers and clients are told an id of each request, as X-Request-ID; no request_id: none", true, (*call).requestID},
		oneOf("trusted_field", "the field in which trusted proxies tell their clients", trustedFieldWords,
			func(c *proxy.Config) *httpx.TrustedField { return &c.TrustedField }),
		{"via", "[NAME]", "our name in Via, which has to be unlike that of others on the way; no via: none is added", true, (*call).via},
	}
}

var (
	clientFromWords   = []string{proxy.FromPeer: "peer", proxy.FromHeader: "header"}
	trustedFieldWords = []string{httpx.TrustForwardedFor: "x-forwarded-for", httpx.TrustForwarded: "forwarded", httpx.TrustRealIP: "x-real-ip"}
)

// oneOf is one of some words, by their numbers.
func oneOf[T ~int](name, help string, words []string, field func(*proxy.Config) *T) *command {
	return &command{name, "[" + strings.Join(words, "|") + "]", help, false, func(c *call) error {
		f := field(&c.Config)
		if len(c.words) > 0 {
			n := slices.Index(words, strings.ToLower(c.words[0]))
			if n < 0 {
				return fmt.Errorf("%s: unknown word %q; expected %s", name, c.words[0], strings.Join(words, " or "))
			}
			*f = T(n)
		}
		c.printf("%s\n", words[*f])
		return nil
	}}
}

// pace is a rate, and a time for which less will do.
func pace(name, help string, field func(*proxy.Config) *proxy.Pace) *command {
	return &command{name, "[BYTES [SECONDS]]", help, false, func(c *call) error {
		p := *field(&c.Config)
		if len(c.words) > 0 {
			n, err := number(c.words[0], "bytes a second", 0, 1<<30)
			if err != nil {
				return fmt.Errorf("%s: %v", name, err)
			}
			p.Rate = n
		}
		if len(c.words) > 1 {
			d, err := seconds(c.words[1], 1)
			if err != nil {
				return fmt.Errorf("%s: %v", name, err)
			}
			p.Grace = d
		}
		*field(&c.Config) = p
		c.printf("%d %d\n", p.Rate, inSeconds(p.Grace))
		return nil
	}}
}

func (c *call) requestID() error {
	return c.name(&c.RequestID, httpx.IsFreeName, "no name of a field that could hold an id; expected one without a meaning of its own, as X-Request-ID")
}

func (c *call) via() error {
	return c.name(&c.Via, httpx.IsPseudonym, "no name for Via; expected a word of letters, digits and hyphens, or a host with or without a port")
}

// name sets a field to a word that is good, or to none.
func (c *call) name(f *string, good func(string) bool, otherwise string) error {
	switch {
	case c.no:
		*f = ""
	case len(c.words) == 0:
		if *f != "" {
			c.printf("%s\n", *f)
		}
	case !good(c.words[0]):
		return fmt.Errorf("%s: %q is %s", c.cmd.name, c.words[0], otherwise)
	default:
		*f = c.words[0]
	}
	return nil
}

// errorPage is "error_page STATUS FILE".
func (c *call) errorPage() error {
	if len(c.words) == 0 {
		if c.no {
			c.ErrorPages = nil
			return nil
		}
		for _, status := range slices.Sorted(maps.Keys(c.ErrorPages)) {
			c.printf("%d %s\n", status, c.ErrorPages[status])
		}
		return nil
	}
	status, err := number(c.words[0], "a status", 400, 599)
	switch {
	case err != nil:
		return fmt.Errorf("error_page: %v", err)
	case c.no:
		delete(c.ErrorPages, status)
		return nil
	case !httpx.Answers(status):
		return fmt.Errorf("error_page: there is no answer with status %d but servers' own", status)
	case len(c.words) == 1:
		return errors.New("error_page wants a file: " + c.cmd.usage())
	case proxy.PageType(c.words[1]) == "":
		return fmt.Errorf("error_page: %s does not say what it is; expected a name that ends in .html, .txt or .json", c.words[1])
	}
	if c.ErrorPages == nil {
		c.ErrorPages = map[int]string{}
	}
	c.ErrorPages[status] = c.words[1]
	return nil
}

func (w *writer) forwarding(c *proxy.Config) {
	w.command("no", "error_page")
	for _, status := range slices.Sorted(maps.Keys(c.ErrorPages)) {
		w.command("error_page", fmt.Sprint(status), c.ErrorPages[status])
	}
	w.command("trusted_field", trustedFieldWords[c.TrustedField])
	w.command("client_from", clientFromWords[c.ClientFrom])
	w.on("forwarded", c.Forwarded)
	w.on("real_ip", c.RealIP)
	w.value("request_id", c.RequestID)
	w.value("via", c.Via)
	w.command("body_rate", fmt.Sprint(c.BodyPace.Rate), fmt.Sprint(inSeconds(c.BodyPace.Grace)))
	w.command("response_rate", fmt.Sprint(c.ResponsePace.Rate), fmt.Sprint(inSeconds(c.ResponsePace.Grace)))
	w.time("request_timeout", c.RequestTimeout)
}
