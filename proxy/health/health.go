// Package health decides from the results of checks whether a server is up. It knows no servers and asks nobody: what a check is, is the caller's.
package health

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rule is how results are judged: a server that is up goes down after Fall bad ones in a row, and one that is down comes up after Rise good ones.
type Rule struct{ Rise, Fall int }

// State is what is known of a server. The zero State is one that is up, since nothing bad is known of it.
type State struct {
	Down  bool
	Since time.Time     // of the last change; the zero time: none yet
	Last  string        // what was wrong the last time, "" for nothing
	Took  time.Duration // by the last check
	row   int           // results in a row that speak for a change
}

// Note takes the result of a check down, why is "" for a good one, and reports whether the server has gone down or come up by it.
func (s *State) Note(why string, took time.Duration, now time.Time, r Rule) (changed bool) {
	s.Last, s.Took = why, took
	if (why == "") != s.Down { // it is as we thought
		s.row = 0
		return false
	}
	s.row++
	need := r.Fall
	if s.Down {
		need = r.Rise
	}
	if s.row < need {
		return false
	}
	s.Down, s.Since, s.row = !s.Down, now, 0
	return true
}

// Statuses is the status codes of HTTP that are good, as ranges.
type Statuses [][2]int

// ParseStatuses reads codes and ranges of them, separated by commas: 200-399,404.
func ParseStatuses(text string) (Statuses, error) {
	var all Statuses
	for part := range strings.SplitSeq(text, ",") {
		from, to, is := strings.Cut(part, "-")
		a, err := strconv.Atoi(from)
		b := a
		if is && err == nil {
			b, err = strconv.Atoi(to)
		}
		if err != nil || a < 100 || b > 599 || a > b {
			return nil, fmt.Errorf("%q: expected status codes from 100 to 599 and ranges of them, as in 200-399,404", text)
		}
		all = append(all, [2]int{a, b})
	}
	return all, nil
}

// Good tells whether a code is among them.
func (s Statuses) Good(code int) bool {
	for _, r := range s {
		if code >= r[0] && code <= r[1] {
			return true
		}
	}
	return false
}
