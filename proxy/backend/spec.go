package backend

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Spec is what the configuration says of one server: plain, comparable data.
// The zero Spec is a slot that was never given an address.
type Spec struct {
	// Address is a host name, an IP address without brackets, or the path of
	// a Unix socket, which contains a slash.
	Address string
	// Port is the TCP or UDP port. A server with port 0 is never tried. A
	// Unix socket has port 1, which is what pen prints for one.
	Port uint16
	// Max is the soft limit of simultaneous connections, 0 for none.
	Max int
	// Hard is the limit for a client that was last on this server.
	Hard int
	// Weight is the server's share under [Mode].Weight; 0 is never chosen.
	Weight int
	// Prio is the server's rank under [Mode].Prio: the lowest is chosen.
	Prio int
	// ACL is the number of the access list that a client has to pass.
	ACL int
}

// The fields of a server operand, for error messages.
const specForm = "host[:port[:max[:hard[:weight[:prio]]]]]"

// unixPort stands for the port of a Unix socket: not 0, which means "unusable".
const unixPort = 1

// ParseSpec reads a server operand of the command line,
// host[:port[:max[:hard[:weight[:prio]]]]] (pen(1), OPTIONS). An IPv6 address
// is written in brackets, a Unix socket as its path, whose port field has no
// meaning; the port may be a service name. An empty or missing port is
// defaultPort, any other empty or missing field 0. ACL is always 0: list 0 is
// the one that a server asks unless told otherwise.
//
// Errors name the operand, the word in it and what was expected.
func ParseSpec(operand string, defaultPort uint16) (Spec, error) {
	if strings.Contains(operand, "://") {
		return Spec{}, fmt.Errorf("server %q: a server is host:port, not a URL", operand)
	}
	host, rest, err := splitHost(operand)
	if err != nil {
		return Spec{}, err
	}
	var fields [5]string // port, max, hard, weight, prio
	if words := strings.Split(rest, ":"); len(words) <= len(fields) {
		copy(fields[:], words)
	} else {
		return Spec{}, fmt.Errorf("server %q has too many fields: expected %s", operand, specForm)
	}
	spec := Spec{Address: host, Port: defaultPort}
	switch {
	case isUnix(host):
		spec.Port = unixPort
	case fields[0] != "":
		if spec.Port, err = parsePort(fields[0]); err != nil {
			return Spec{}, fmt.Errorf("server %q: %v", operand, err)
		}
	}
	numbers := []struct {
		name string
		min  int
		to   *int
	}{
		{"max", 0, &spec.Max},
		{"hard", 0, &spec.Hard},
		{"weight", 0, &spec.Weight},
		{"prio", math.MinInt32, &spec.Prio},
	}
	for i, field := range numbers {
		if *field.to, err = parseNumber(fields[i+1], field.min); err != nil {
			return Spec{}, fmt.Errorf("server %q: %s %v", operand, field.name, err)
		}
	}
	return spec, nil
}

// String is the operand that [ParseSpec] reads back, with no more fields than
// are needed. The access list has no place in it.
func (s Spec) String() string {
	host := s.Address
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	fields := []int{int(s.Port), s.Max, s.Hard, s.Weight, s.Prio}
	for len(fields) > 1 && fields[len(fields)-1] == 0 {
		fields = fields[:len(fields)-1]
	}
	if s.IsUnix() && len(fields) == 1 {
		return host
	}
	var b strings.Builder
	b.WriteString(host)
	for _, n := range fields {
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// IsUnix reports whether the server is the path of a Unix socket.
func (s Spec) IsUnix() bool { return isUnix(s.Address) }

func isUnix(address string) bool { return strings.Contains(address, "/") }

// splitHost cuts an operand into the host, without brackets, and what follows
// the colon after it.
func splitHost(operand string) (host, rest string, err error) {
	if inside, ok := strings.CutPrefix(operand, "["); ok {
		host, rest, ok = strings.Cut(inside, "]")
		addr, addrErr := netip.ParseAddr(host)
		if !ok || addrErr != nil || !addr.Is6() || strings.Contains(host, "/") {
			return "", "", fmt.Errorf("server %q: expected an IPv6 address in brackets, as in [2001:db8::1]:80", operand)
		}
		if rest == "" {
			return host, "", nil
		}
		if rest, ok = strings.CutPrefix(rest, ":"); !ok {
			return "", "", fmt.Errorf("server %q: expected a colon after the bracket, as in [2001:db8::1]:80", operand)
		}
		return host, rest, nil
	}
	// pen takes the first group of such an address for a host name; that
	// can only be a mistake, and a costly one where the name exists.
	if addr, err := netip.ParseAddr(operand); err == nil && addr.Is6() {
		return "", "", fmt.Errorf("server %q: an IPv6 address needs brackets, as in [%s]:80", operand, operand)
	}
	host, rest, _ = strings.Cut(operand, ":")
	if host == "" {
		return "", "", fmt.Errorf("server %q has no host: expected %s", operand, specForm)
	}
	if i := strings.IndexFunc(host, isBlankOrControl); i >= 0 {
		return "", "", fmt.Errorf("server %q: %q cannot be part of a host", operand, host[i:i+1])
	}
	return host, rest, nil
}

func isBlankOrControl(r rune) bool { return r <= ' ' || r == 0x7f }

// parsePort reads a port number or a service name, which is looked up for TCP.
func parsePort(word string) (uint16, error) {
	if strings.Trim(word, "0123456789") == "" {
		n, err := strconv.ParseUint(word, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("port %q is not from 0 to 65535", word)
		}
		return uint16(n), nil
	}
	if strings.IndexFunc(word, isBlankOrControl) >= 0 || word[0] == '-' || word[0] == '+' {
		return 0, fmt.Errorf("port %q is neither a number nor a service name", word)
	}
	n, err := net.LookupPort("ip", word) // of TCP or UDP
	if err != nil {
		return 0, fmt.Errorf("port %q is neither a number nor a known service name", word)
	}
	return uint16(n), nil
}

// parseNumber reads a decimal number of at least least; an empty word is 0.
func parseNumber(word string, least int) (int, error) {
	if word == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(word, 10, 32)
	if err != nil || int(n) < least {
		return 0, fmt.Errorf("%q is not a number from %d to %d", word, least, math.MaxInt32)
	}
	return int(n), nil
}
