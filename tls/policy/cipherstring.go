package policy

import (
	stdtls "crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// element is one step of a cipher string.
type element struct {
	// op is what happens to the suites that all of words stand for: 0 adds
	// them, '-' takes them away, '!' for good, '+' moves them to the end; '@'
	// is a command.
	op    byte
	words []string
}

func (e element) String() string {
	text := strings.Join(e.words, "+")
	if e.op != 0 {
		text = string(e.op) + text
	}
	return text
}

// scan takes a cipher string apart as OpenSSL 3.0 does, where an element also
// ends before the '!' or '@' of the next.
func scan(text string) (elements []element, err error) {
	rest := text
	for {
		rest = strings.TrimLeft(rest, ": ,;\t")
		if rest == "" {
			return elements, nil
		}
		var e element
		if strings.IndexByte("!-+@", rest[0]) >= 0 {
			e.op, rest = rest[0], rest[1:]
		}
		for more := true; more; {
			n := 0
			for n < len(rest) && ofName(rest[n]) {
				n++
			}
			if n == 0 {
				return nil, fmt.Errorf("ssl_ciphers %q: expected a cipher suite or keyword at %q", text, rest)
			}
			e.words, rest = append(e.words, rest[:n]), rest[n:]
			more = rest != "" && rest[0] == '+'
			if more {
				rest = rest[1:]
			}
		}
		elements = append(elements, e)
	}
}

func ofName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._=", c) >= 0
}

// selection is where the reading of a cipher string has got to.
type selection struct {
	compat bool
	suites []suite
	marks  []mark // one for each of suites

	lacking []string // what was to be added and stands for nothing crypto/tls has
	idle    []string // what has no effect in crypto/tls
	fixed   []string // suites of TLS 1.3
	late    []string // what only counts at the beginning
}

// mark says what has become of one suite.
type mark struct {
	selected bool  // by OpenSSL's rules
	taken    bool  // by ours as well, which leave weak ones to those who ask for them
	killed   bool  // cannot come back
	unasked  flaws // why it is selected and not taken
}

// add selects the suite, with the flaws that nobody asked for.
func (m *mark) add(unasked flaws) {
	if m.killed {
		return
	}
	m.selected = true
	m.taken = m.taken || unasked == 0
	m.unasked = unasked
	if m.taken {
		m.unasked = 0
	}
}

// read goes through a cipher string.
func read(text string, compat bool) (*selection, error) {
	s := &selection{compat: compat, suites: allSuites()}
	s.marks = make([]mark, len(s.suites))
	elements, err := scan(text)
	if err != nil {
		return nil, err
	}
	for i, e := range elements {
		if i == 0 && e.op == 0 && s.begin(e) {
			if strings.HasPrefix(e.words[0], "SUITEB") {
				// OpenSSL reads no further.
				for _, e := range elements[1:] {
					s.late = append(s.late, e.String())
				}
				break
			}
			continue
		}
		if err := s.step(text, e); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// begin heeds what has a meaning at the beginning only, and tells whether e is
// that.
func (s *selection) begin(e element) bool {
	if len(e.words) != 1 {
		return false
	}
	const suite128, suite192 = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"
	var words []string
	switch e.words[0] {
	case "DEFAULT":
		words = []string{"ALL"}
	case "SUITEB128":
		words = []string{suite128, suite192}
	case "SUITEB128ONLY":
		words = []string{suite128}
	case "SUITEB128C2", "SUITEB192":
		words = []string{suite192}
	}
	for _, word := range words {
		s.apply(element{words: []string{word}})
	}
	return words != nil
}

// step heeds one element.
func (s *selection) step(text string, e element) error {
	if e.op == '@' {
		return s.command(text, e)
	}
	for _, word := range e.words {
		switch s.kindOf(word) {
		case unknown:
			return fmt.Errorf("ssl_ciphers %q: %q is no cipher suite or keyword of OpenSSL's%s", text, word, s.hint(word))
		case tls13:
			s.fixed = append(s.fixed, e.String())
			return nil
		case initial:
			if len(e.words) > 1 {
				return fmt.Errorf("ssl_ciphers %q: %s cannot be combined by +", text, word)
			}
			s.late = append(s.late, e.String())
			return nil
		}
	}
	if e.op == '+' {
		s.idle = append(s.idle, e.String())
	}
	if !s.apply(e) && e.op == 0 {
		s.lacking = append(s.lacking, e.String())
	}
	return nil
}

// command heeds @STRENGTH and @SECLEVEL=n, neither of which crypto/tls has.
func (s *selection) command(text string, e element) error {
	word := strings.Join(e.words, "+")
	level, ok := strings.CutPrefix(word, "SECLEVEL=")
	if word != "STRENGTH" && !(ok && len(level) == 1 && '0' <= level[0] && level[0] <= '5') {
		return fmt.Errorf("ssl_ciphers %q: @%s not known; expected @STRENGTH, or @SECLEVEL=0 to 5", text, word)
	}
	s.idle = append(s.idle, "@"+word)
	return nil
}

// apply does what e says, and tells whether it stands for any suite.
func (s *selection) apply(e element) (found bool) {
	for i, c := range s.suites {
		var named flaws
		if s.compat {
			named = cbc
		}
		matches := true
		for _, word := range e.words {
			matches = matches && c.under(word)
			named |= c.named(word)
		}
		if !matches {
			continue
		}
		found = true
		m := &s.marks[i]
		switch e.op {
		case 0:
			m.add(c.flaws &^ named)
		case '-':
			*m = mark{killed: m.killed}
		case '!':
			*m = mark{killed: true}
		}
	}
	return found
}

// kind is what a word of a cipher string is.
type kind int

const (
	unknown kind = iota
	ours         // stands for some of allSuites
	other        // OpenSSL's, and none of ours
	tls13        // a suite of TLS 1.3
	initial      // counts at the beginning only
)

func (s *selection) kindOf(word string) kind {
	switch {
	case slices.ContainsFunc(s.suites, func(c suite) bool { return c.under(word) }):
		return ours
	case slices.Contains(strings.Fields(tls13Suites), word):
		return tls13
	case slices.Contains([]string{"DEFAULT", "SUITEB128", "SUITEB128ONLY", "SUITEB128C2", "SUITEB192"}, word):
		return initial
	case slices.Contains(strings.Fields(otherKeywords), word), slices.Contains(strings.Fields(otherSuites), word):
		return other
	}
	return unknown
}

// hint helps where the case is wrong, which matters to OpenSSL.
func (s *selection) hint(word string) string {
	for _, name := range strings.Fields(otherKeywords + otherSuites + " DEFAULT ECDSA ECDH EECDH RSA SHA kECDHE kEECDH") {
		if strings.EqualFold(name, word) {
			return "; it is written " + name
		}
	}
	for _, c := range s.suites {
		for _, name := range append(strings.Fields(c.keywords), c.name, stdtls.CipherSuiteName(c.id)) {
			if strings.EqualFold(name, word) {
				return "; it is written " + name
			}
		}
	}
	return ""
}

// taken gives the suites that the string comes to, in crypto/tls's order.
func (s *selection) taken() (list []suite) {
	for i, m := range s.marks {
		if m.taken {
			list = append(list, s.suites[i])
		}
	}
	return list
}

// unasked gives the flaws for which suites that OpenSSL would take are not
// taken.
func (s *selection) unasked() (f flaws) {
	for _, m := range s.marks {
		f |= m.unasked
	}
	return f
}
