package accesslog

import (
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

const hex = "0123456789abcdef"

func (f *Format) appendText(dst []byte, r *Record) []byte {
	for i := range f.pieces {
		p := &f.pieces[i]
		if p.literal != "" {
			dst = append(dst, p.literal...)
			continue
		}
		dst = appendValue(dst, r, p.value(r), p.quoted)
	}
	return dst
}

// appendValue writes a value as text; what is unknown is a hyphen.
func appendValue(dst []byte, r *Record, v value, quoted bool) []byte {
	switch v.kind {
	case text:
		return appendEscaped(dst, v.s, quoted)
	case raw:
		return appendEscaped(dst, v.b, quoted)
	case number:
		return strconv.AppendInt(dst, v.n, 10)
	case seconds:
		return appendSeconds(dst, v.n)
	case truth:
		return strconv.AppendBool(dst, v.n != 0)
	case stamp:
		return appendStamp(dst, v.at)
	case clock:
		return v.at.AppendFormat(dst, "[02/Jan/2006:15:04:05 -0700]")
	case line:
		return appendLine(dst, r, quoted)
	}
	return append(dst, '-')
}

// appendLine writes the request line.
func appendLine(dst []byte, r *Record, quoted bool) []byte {
	switch {
	case len(r.Malformed) > 0:
		return appendEscaped(dst, r.Malformed, quoted)
	case len(r.Method) == 0:
		return append(dst, '-')
	}
	blank := " "
	if !quoted {
		blank = `\x20`
	}
	dst = append(appendEscaped(dst, r.Method, quoted), blank...)
	dst = append(appendEscaped(dst, r.Target, quoted), blank...)
	return append(dst, r.Protocol...)
}

// appendEscaped writes what a stranger has sent so that it ends neither its field nor the line: as Apache and nginx do.
func appendEscaped[T string | []byte](dst []byte, s T, quoted bool) []byte {
	done := 0
	for i := range len(s) {
		c := s[i]
		if plain(c) && (c != ' ' || quoted) {
			continue
		}
		dst = append(dst, s[done:i]...)
		if done = i + 1; c == '"' || c == '\\' {
			dst = append(dst, '\\', c)
		} else {
			dst = append(dst, '\\', 'x', hex[c>>4], hex[c&15])
		}
	}
	return append(dst, s[done:]...)
}

// plain reports whether a byte is visible ASCII that means nothing within quotes.
func plain(c byte) bool { return c >= ' ' && c < 0x7f && c != '"' && c != '\\' }

// appendSeconds writes nanoseconds as seconds with six decimals.
func appendSeconds(dst []byte, n int64) []byte {
	n = max(n, 0) / int64(time.Microsecond)
	dst = append(strconv.AppendInt(dst, n/1e6, 10), '.')
	for unit := int64(1e5); unit > 0; unit /= 10 {
		dst = append(dst, '0'+byte(n/unit%10))
	}
	return dst
}

func appendStamp(dst []byte, t time.Time) []byte {
	return t.AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
}

// appendJSON writes an object of what is known.
func (f *Format) appendJSON(dst []byte, r *Record) []byte {
	dst = append(dst, '{')
	for i := range f.pieces {
		v := f.pieces[i].value(r)
		if v.kind == none {
			continue
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(dst, f.pieces[i].name...)
		switch v.kind {
		case text:
			dst = appendString(dst, v.s)
		case raw:
			dst = appendString(dst, v.b)
		case stamp:
			dst = append(appendStamp(append(dst, '"'), v.at), '"')
		default:
			dst = appendValue(dst, r, v, true)
		}
	}
	return append(dst, '}')
}

// appendString writes a string of JSON. What is no UTF-8 becomes U+FFFD; what does not show, such as line separators and changes of direction, is
// escaped, for those who read the log on a terminal.
func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		if plain(s[i]) {
			i++
			continue
		}
		dst = append(dst, s[done:i]...)
		r, n := decode(s[i:])
		i += n
		done = i
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == utf8.RuneError:
			dst = append(dst, `\ufffd`...)
		case unicode.IsPrint(r):
			dst = utf8.AppendRune(dst, r)
		case r > 0xffff:
			r -= 0x10000
			dst = appendUnit(appendUnit(dst, 0xd800+r>>10), 0xdc00+r&0x3ff)
		default:
			dst = appendUnit(dst, r)
		}
	}
	return append(append(dst, s[done:]...), '"')
}

// appendUnit writes a unit of UTF-16.
func appendUnit(dst []byte, u rune) []byte {
	return append(dst, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
}

// decode reads the first character of s.
func decode[T string | []byte](s T) (rune, int) {
	var b [utf8.UTFMax]byte
	n := copy(b[:], s)
	return utf8.DecodeRune(b[:n])
}
