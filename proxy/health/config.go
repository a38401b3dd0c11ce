package health

import (
	"fmt"
	"strings"
	"time"
)

// Kind is what a check asks of a server.
type Kind int

const (
	Off  Kind = iota
	TCP       // to accept a connection
	TLS       // and to complete a handshake
	HTTP      // to answer a request with one of the statuses
)

// Config is what is checked, and how: plain, comparable data.
type Config struct {
	Kind     Kind
	Path     string // of the request
	Host     string // its Host field; "": the server's name
	Statuses Statuses
	Interval time.Duration // from the beginning of a check to that of the next
	Timeout  time.Duration // for the whole of a check
	Rise     int           // good checks in a row that bring a server up
	Fall     int           // failed ones in a row that take it down
}

// Defaults is no checks, and how they are made once they are asked for.
func Defaults() Config {
	c := Config{Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3}
	c.Statuses.Add(200, 399)
	return c
}

// asks reports whether two configurations ask servers for the same.
func (c Config) asks(other Config) bool {
	return c.Kind == other.Kind && c.Path == other.Path && c.Host == other.Host && c.Statuses == other.Statuses
}

// The statuses that a server can answer with.
const (
	MinStatus = 100
	MaxStatus = 599
)

// Statuses is a set of HTTP statuses.
type Statuses [(MaxStatus-MinStatus)/64 + 1]uint64

// Add adds the statuses of a range, which has to lie between MinStatus and MaxStatus.
func (s *Statuses) Add(from, to int) {
	for n := from - MinStatus; n <= to-MinStatus; n++ {
		s[n/64] |= 1 << (n % 64)
	}
}

// Has reports whether a status is among them.
func (s *Statuses) Has(status int) bool {
	n := status - MinStatus
	return n >= 0 && n/64 < len(s) && s[n/64]&(1<<(n%64)) != 0
}

// String is the ranges, as in 200-399,401.
func (s Statuses) String() string {
	var ranges []string
	for from := MinStatus; from <= MaxStatus; from++ {
		if !s.Has(from) {
			continue
		}
		to := from
		for s.Has(to + 1) {
			to++
		}
		if to == from {
			ranges = append(ranges, fmt.Sprint(from))
		} else {
			ranges = append(ranges, fmt.Sprintf("%d-%d", from, to))
		}
		from = to
	}
	return strings.Join(ranges, ",")
}
