package httpx

import "encoding/binary"

// Classes of characters, as bits of the classes table.
const (
	tokenChar = 1 << iota // RFC 9110 section 5.6.2
	pathChar              // what we take in a path as it stands: visible ASCII but for # % ?
	queryChar             // likewise in a query: visible ASCII but for #
	nameChar              // in the registered name of an authority
	valueChar             // in a field value: HTAB, SP, visible ASCII, obs-text (RFC 9110 section 5.5)
	hexChar
)

// classes says of each byte what it may be part of. Read only.
var classes = charClasses()

func charClasses() (t [256]uint8) {
	for c := 0x20; c < 256; c++ {
		if c != 0x7f {
			t[c] |= valueChar
		}
	}
	t['\t'] |= valueChar
	for c := byte(0x21); c < 0x7f; c++ {
		t[c] |= pathChar | queryChar
	}
	t['#'] &^= pathChar | queryChar
	t['%'] &^= pathChar
	t['?'] &^= pathChar
	set := func(class uint8, chars string) {
		for i := range len(chars) {
			t[chars[i]] |= class
		}
	}
	const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	set(tokenChar, alphanumeric+"!#$%&'*+-.^_`|~")
	// RFC 3986 section 3.2.2 without the comma, which would make a list of a Host field, and without percent-encoding, which
	// stands for names that DNS spells in ASCII.
	set(nameChar, alphanumeric+"-._~!$&'()*+;=")
	set(hexChar, "0123456789abcdefABCDEF")
	return t
}

// folded maps letters to lower case and everything that is neither letter nor digit to '-', as the servers' translation of field names
// to CGI variables maps it to '_'. Read only.
var folded = foldTable()

func foldTable() (t [256]byte) {
	for i := range t {
		c := byte(i)
		switch {
		case 'A' <= c && c <= 'Z':
			t[i] = c | 0x20
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			t[i] = c
		default:
			t[i] = '-'
		}
	}
	return t
}

// validValue tells whether p has only bytes that a field value may have.
func validValue(p []byte) bool {
	const ones = 0x0101010101010101
	for len(p) >= 8 {
		x := binary.LittleEndian.Uint64(p)
		del := x ^ 0x7f*ones
		control := (x-0x20*ones)&^x | (del-ones)&^del
		if control&(0x80*ones) != 0 && !allValue(p[:8]) {
			return false
		}
		p = p[8:]
	}
	return allValue(p)
}

func allValue(p []byte) bool {
	for _, c := range p {
		if classes[c]&valueChar == 0 {
			return false
		}
	}
	return true
}

// isToken tells whether p is a token, which has at least one character.
func isToken(p []byte) bool { return len(p) > 0 && tokenLength(p) == len(p) }

// tokenLength returns how many bytes at the beginning of p are token characters.
func tokenLength(p []byte) int {
	for i, c := range p {
		if classes[c]&tokenChar == 0 {
			return i
		}
	}
	return len(p)
}

// equalFold compares p with a word that is written in lower case.
func equalFold(p []byte, lower string) bool {
	if len(p) != len(lower) {
		return false
	}
	for i, c := range p {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// equalFoldBytes compares two byte strings without regard to the case of ASCII letters.
func equalFoldBytes(p, q []byte) bool {
	if len(p) != len(q) {
		return false
	}
	for i, c := range p {
		d := q[i]
		if c == d {
			continue
		}
		if c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z' {
			return false
		}
	}
	return true
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// trimBlanks removes SP and HTAB at both ends.
func trimBlanks(p []byte) []byte {
	for len(p) > 0 && isBlank(p[0]) {
		p = p[1:]
	}
	for len(p) > 0 && isBlank(p[len(p)-1]) {
		p = p[:len(p)-1]
	}
	return p
}
