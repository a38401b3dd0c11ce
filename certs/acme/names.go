package acme

import (
	"fmt"
	"net/netip"
	"strings"
)

// plain reports whether name is a host name in lower case as RFC 1123 section
// 2.1 has it, which is also safe as the name of a file. A name whose last
// label is a number is an address or looks like one.
func plain(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	last := name
	for rest, more := name, true; more; {
		last, rest, more = strings.Cut(rest, ".")
		if !plainLabel(last) {
			return false
		}
	}
	return strings.Trim(last, "0123456789") != ""
}

func plainLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		c := label[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

// hostName returns name in lower case, or what is wrong with it.
func hostName(name string) (string, error) {
	lower := strings.ToLower(name)
	if plain(lower) {
		return lower, nil
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return "", fmt.Errorf("ACME name %s is an address: certificates are obtained for host names", name)
	}
	if strings.HasPrefix(name, "*.") {
		return "", fmt.Errorf("ACME name %s: a CA wants the dns-01 challenge for a wildcard, which is not offered: name the hosts, or allow them on demand", name)
	}
	return "", fmt.Errorf("ACME name %q is not a host name: expected labels of letters, digits and hyphens, with dots between (an international name in its xn-- form)", name)
}

// hostNames checks all names and returns them as a set.
func hostNames(names []string) (map[string]bool, error) {
	all := map[string]bool{}
	for _, name := range names {
		name, err := hostName(name)
		if err != nil {
			return nil, err
		}
		all[name] = true
	}
	return all, nil
}

// allowed is the rule on names that are obtained on demand.
type allowed struct {
	names, suffixes map[string]bool // suffixes without their "*."
}

func newAllowed(patterns []string) (allowed, error) {
	a := allowed{map[string]bool{}, map[string]bool{}}
	for _, pattern := range patterns {
		rest, wildcard := strings.CutPrefix(pattern, "*.")
		name, err := hostName(rest)
		if err != nil {
			return a, fmt.Errorf("on demand: %w", err)
		}
		if wildcard {
			a.suffixes[name] = true
		} else {
			a.names[name] = true
		}
	}
	return a, nil
}

// match reports whether name, as a client sent it in lower case, may be
// obtained.
func (a allowed) match(name string) bool {
	if len(a.names) == 0 && len(a.suffixes) == 0 || !plain(name) {
		return false
	}
	_, suffix, _ := strings.Cut(name, ".")
	return a.names[name] || a.suffixes[suffix]
}
