package control

import (
	"fmt"
	"strings"
	"time"

	"edgepen/proxy"
	"edgepen/proxy/health"
)

// healthCommands are the settings of health checks, and what they have found.
func healthCommands() []*command {
	return []*command{
		{"health", "", "what checks have found of the servers", false, (*call).health},
		{"health_check", "tcp | tls | http PATH", "check servers without clients: do they take connections, do a TLS handshake, answer; no health_check: do not", true, (*call).healthCheck},
		number1("health_fall", "bad checks in a row that take a server out", 1, func(c *proxy.Config) *int { return &c.Health.Fall }),
		text("health_host", "[NAME]", "Host of the requests of checks", func(c *proxy.Config) *string { return &c.Health.Host }),
		setting("health_interval", "how often servers are checked", 1, func(c *proxy.Config) *time.Duration { return &c.Health.Interval }),
		number1("health_rise", "good checks in a row that bring a server back", 1, func(c *proxy.Config) *int { return &c.Health.Rise }),
		{"health_status", "[CODES]", "status codes that are good, as in 200-399,404", false, (*call).healthStatus},
		setting("health_timeout", "how long a check may take", 1, func(c *proxy.Config) *time.Duration { return &c.Health.Timeout }),
	}
}

func (c *call) health() error {
	if c.Health.Kind == "" {
		c.printf("servers are not checked\n")
		return nil
	}
	for _, s := range c.ServersHealth() {
		state, since, last := "up", "", "good"
		switch {
		case !s.Known:
			state, last = "unknown", "none"
		case s.Down:
			state = "down"
		}
		if !s.Since.IsZero() {
			since = " since " + s.Since.UTC().Format("2006-01-02T15:04:05Z")
		}
		if s.Last != "" {
			last = s.Last
		}
		c.printf("%d addr %s port %d %s%s took %.1f ms last check: %s\n", s.Server.Index, s.Server.Address, s.Server.Port, state, since, float64(s.Took.Microseconds())/1000, last)
	}
	return nil
}

func (c *call) healthCheck() error {
	switch {
	case c.no:
		c.Health.Kind, c.Health.Path = "", ""
		return nil
	case len(c.words) == 0:
		if c.Health.Kind != "" {
			c.printf("%s\n", strings.Join(healthWords(&c.Health), " "))
		}
		return nil
	}
	words := c.words
	if len(words) == 1 { // of a flag
		words = strings.Fields(words[0])
	}
	switch {
	case len(words) == 1 && (words[0] == "tcp" || words[0] == "tls"):
		c.Health.Kind, c.Health.Path = words[0], ""
	case len(words) == 2 && words[0] == "http" && words[1][0] == '/' && !strings.ContainsFunc(words[1], func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }):
		c.Health.Kind, c.Health.Path = "http", words[1]
	default:
		return fmt.Errorf("health_check: %q: expected tcp, tls, or http and a path that begins with /", strings.Join(words, " "))
	}
	return nil
}

// healthWords is what healthCheck reads.
func healthWords(h *proxy.Health) []string {
	if h.Path != "" {
		return []string{h.Kind, h.Path}
	}
	return []string{h.Kind}
}

func (c *call) healthStatus() error {
	if len(c.words) > 0 {
		if _, err := health.ParseStatuses(c.words[0]); err != nil {
			return fmt.Errorf("health_status: %v", err)
		}
		c.Health.Status = c.words[0]
	}
	c.printf("%s\n", c.Health.Status)
	return nil
}

func (w *writer) health(c *proxy.Config) {
	h := &c.Health
	if h.Kind == "" {
		w.command("no", "health_check")
	} else {
		w.command(append([]string{"health_check"}, healthWords(h)...)...)
	}
	w.time("health_interval", h.Interval)
	w.time("health_timeout", h.Timeout)
	w.number("health_rise", h.Rise)
	w.number("health_fall", h.Fall)
	w.command("health_status", h.Status)
	w.value("health_host", h.Host)
}
