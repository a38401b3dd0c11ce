package acl

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// pattern is a text in which * stands for any text.
type pattern struct {
	parts []string // what stands between the stars
	// escaped: the texts are names as appendName writes them, in which a
	// backslash and the byte after it are one character.
	escaped bool
}

// newPattern makes a pattern of a text in which every star is one.
func newPattern(text string) pattern { return pattern{parts: strings.Split(text, "*")} }

// match reports whether the pattern fits the whole of s. The first place where a
// part fits is as good as any other, so there is no going back.
func (p pattern) match(s []byte) bool {
	first, last := p.parts[0], p.parts[len(p.parts)-1]
	if len(p.parts) == 1 {
		return string(s) == first
	}
	if len(s) < len(first)+len(last) || string(s[:len(first)]) != first {
		return false
	}
	at := len(first)
	for _, part := range p.parts[1 : len(p.parts)-1] {
		for at+len(part) <= len(s) && string(s[at:at+len(part)]) != part {
			at = p.next(s, at)
		}
		at += len(part)
	}
	end := len(s) - len(last)
	for at < end {
		at = p.next(s, at)
	}
	return at == end && string(s[end:]) == last
}

// next is where the character after the one at i begins. That a star never ends
// within an escaped character keeps `*,O=Example` from matching `CN=x\,O=Example`,
// which somebody may have asked the CA for.
func (p pattern) next(s []byte, i int) int {
	if p.escaped && s[i] == '\\' {
		return i + 2
	}
	return i + 1
}

// parseName reads a pattern for a distinguished name, RFC 2253 with stars, into
// the form of appendName. As section 4 there wants of readers, the case of types
// and blanks around separators are of no importance.
func parseName(text string) (pattern, error) {
	w := patternWriter{}
	for {
		end := unescapedSeparator(text)
		if err := w.attribute(text[:end]); err != nil {
			return pattern{}, err
		}
		if end == len(text) {
			return pattern{parts: append(w.parts, string(w.part)), escaped: true}, nil
		}
		w.part = append(w.part, text[end])
		text = text[end+1:]
	}
}

// unescapedSeparator is the index of the comma or plus that ends an attribute.
func unescapedSeparator(text string) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case ',', '+':
			return i
		}
	}
	return len(text)
}

// patternWriter collects the parts of a pattern.
type patternWriter struct {
	parts []string
	part  []byte
}

// raw adds a text that has no escapes.
func (w *patternWriter) raw(text string) {
	for i := range len(text) {
		if text[i] == '*' {
			w.parts, w.part = append(w.parts, string(w.part)), nil
			continue
		}
		w.part = append(w.part, text[i])
	}
}

// attribute adds TYPE=VALUE, or what is left of it where there are stars.
func (w *patternWriter) attribute(text string) error {
	text = trimBlanks(text)
	kind, value, whole := strings.Cut(text, "=")
	switch {
	case !whole || strings.Contains(kind, `\`):
		if !strings.Contains(text, "*") {
			return fmt.Errorf("%q is not TYPE=VALUE, as in CN=Alice,O=Example", text)
		}
		return w.value(text)
	case strings.Contains(kind, "*"):
		w.raw(kind)
	default:
		name, ok := knownType(strings.TrimRight(kind, " "))
		if !ok {
			return fmt.Errorf("%q is not a type of attribute, as CN, OU, O, L, ST, C, DC, UID, emailAddress or an OID", kind)
		}
		w.raw(name)
	}
	w.raw("=")
	value = trimBlanks(value)
	if strings.HasPrefix(value, "#") {
		w.raw(strings.ToUpper(value)) // the value's encoding, in hexadecimal digits
		return nil
	}
	return w.value(value)
}

// value adds a value, in which backslashes escape a character or stand before
// the two hexadecimal digits of a byte.
func (w *patternWriter) value(text string) error {
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '*':
			w.raw("*")
		case text[i] != '\\':
			w.part = appendEscaped(w.part, text[i])
		case i+1 == len(text):
			return fmt.Errorf(`%q ends in a backslash that escapes nothing`, text)
		default:
			i++
			b := text[i]
			if pair, err := hex.DecodeString(text[i:min(i+2, len(text))]); err == nil {
				b = pair[0]
				i++
			}
			w.part = appendEscaped(w.part, b)
		}
	}
	return nil
}

// trimBlanks removes the blanks around text, but not one that is escaped.
func trimBlanks(text string) string {
	text = strings.TrimLeft(text, " ")
	trimmed := strings.TrimRight(text, " ")
	backslashes := len(trimmed) - len(strings.TrimRight(trimmed, `\`))
	if backslashes%2 == 1 && len(trimmed) < len(text) {
		return text[:len(trimmed)+1]
	}
	return trimmed
}
