package control

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"edgepen/proxy/health"
)

// healthWords are the words of health_check by their number.
var healthWords = []string{health.TCP: "tcp", health.TLS: "tls", health.HTTP: "http"}

// healthCheck is "health_check tcp|tls|http PATH"; a comma may stand for the blank.
func (c *call) healthCheck() error {
	if c.no {
		c.Health.Kind, c.Health.Path = health.Off, ""
		return nil
	}
	if len(c.words) == 0 {
		if c.Health.Kind != health.Off {
			c.printf("%s\n", strings.Join(checkWords(&c.Health), " "))
		}
		return nil
	}
	text := strings.Join(c.words, " ")
	kind, path := text, ""
	if i := strings.IndexAny(text, " ,"); i >= 0 {
		kind, path = text[:i], text[i+1:]
	}
	switch {
	case kind == "tcp" && path == "":
		c.Health.Kind = health.TCP
	case kind == "tls" && path == "":
		c.Health.Kind = health.TLS
	case kind == "http" && isPath(path):
		c.Health.Kind = health.HTTP
	case kind == "http":
		return fmt.Errorf("health_check: %q is no path; expected one that begins with / and has only visible ASCII characters without #, as in http /health", path)
	default:
		return fmt.Errorf("health_check: %q; expected tcp, tls, or http and a path, as in http,/health", text)
	}
	c.Health.Path = path
	return nil
}

// checkWords is what healthCheck reads.
func checkWords(c *health.Config) []string {
	words := []string{healthWords[c.Kind]}
	if c.Kind == health.HTTP {
		words = append(words, c.Path)
	}
	return words
}

// isPath reports whether a request can ask for a word.
func isPath(word string) bool {
	return strings.HasPrefix(word, "/") && !strings.ContainsFunc(word, invisible)
}

// invisible is what a word of a request cannot hold.
func invisible(r rune) bool { return r <= ' ' || r > '~' || r == '#' }

// healthHost is "health_host NAME".
func (c *call) healthHost() error {
	switch {
	case c.no:
		c.Health.Host = ""
	case len(c.words) == 0:
		if c.Health.Host != "" {
			c.printf("%s\n", c.Health.Host)
		}
	case c.words[0] == "" || strings.ContainsFunc(c.words[0], func(r rune) bool { return invisible(r) || strings.ContainsRune(`/?@\,"`, r) }):
		return fmt.Errorf("health_host: %q is no host; expected NAME or NAME:PORT", c.words[0])
	default:
		c.Health.Host = c.words[0]
	}
	return nil
}

// healthStatus is "health_status N|N-M…"; commas may stand for blanks.
func (c *call) healthStatus() error {
	if c.no {
		c.Health.Statuses = health.Defaults().Statuses
		return nil
	}
	if len(c.words) == 0 {
		c.printf("%s\n", c.Health.Statuses)
		return nil
	}
	var all health.Statuses
	words := strings.FieldsFunc(strings.Join(c.words, ","), func(r rune) bool { return r == ',' || r == ' ' })
	if len(words) == 0 {
		return errors.New("health_status: no status; expected N or N-M, as in 200-399,401")
	}
	for _, word := range words {
		from, to, isRange := strings.Cut(word, "-")
		first, err := number(from, "a status", health.MinStatus, health.MaxStatus)
		last := first
		if err == nil && isRange {
			last, err = number(to, "a status", first, health.MaxStatus)
		}
		if err != nil {
			return fmt.Errorf("health_status: %v", err)
		}
		all.Add(first, last)
	}
	c.Health.Statuses = all
	return nil
}

// health prints what checks have found out.
func (c *call) health() error {
	for _, s := range c.HealthStatus() {
		if s.Route != "" {
			c.printf("route %s ", s.Route)
		}
		c.printf("%d addr %s port %d ", s.Slot, s.Address, s.Port)
		switch {
		case !s.Watched:
			c.printf("unchecked\n")
		case s.Said == "":
			c.printf("%s\n", s.Standing)
		default:
			c.printf("%s since %s ms %.1f last %s\n", s.Standing, s.Since.Format(time.RFC3339), float64(s.Took.Microseconds())/1000, s.Said)
		}
	}
	return nil
}

// health writes the settings of health checks.
func (w *writer) health(c *health.Config) {
	if c.Kind == health.Off {
		w.command("no", "health_check")
	} else {
		w.command(append([]string{"health_check"}, checkWords(c)...)...)
	}
	w.time("health_interval", c.Interval)
	w.time("health_timeout", c.Timeout)
	w.number("health_rise", c.Rise)
	w.number("health_fall", c.Fall)
	w.command("health_status", c.Statuses.String())
	w.value("health_host", c.Host)
}
