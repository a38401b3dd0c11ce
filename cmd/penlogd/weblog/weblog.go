// Package weblog is what penlogd and mergelogs know of web servers' logs: how these write what strangers have sent.
package weblog

import (
	"encoding/hex"
	"strings"
)

// Quote is where the first double quote is that no backslash stands before, which servers put before one that is part of a name or request; -1: there is
// none.
func Quote[T ~string | ~[]byte](text T) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// letters are the escapes of Apache that are a letter or a mark, and what they stand for.
var letters = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\b`, "\b", `\n`, "\n", `\r`, "\r", `\t`, "\t", `\v`, "\v")

// AsPen is a request as pen writes it: with the bytes that servers write as escapes (\" or \x22), and a dot for each that is not ASCII. A client must not
// be lost by asking for something with a quote in it.
func AsPen(request string) string {
	if strings.IndexByte(request, '\\') < 0 && strings.IndexFunc(request, func(r rune) bool { return r >= 0x80 }) < 0 {
		return request
	}
	b := make([]byte, 0, len(request))
	for i := 0; i < len(request); i++ {
		c := request[i]
		if c == '\\' && i+1 < len(request) {
			var n int
			c, n = escaped(request[i:])
			i += n - 1
		}
		if c >= 0x80 || c == 0 {
			c = '.'
		}
		b = append(b, c)
	}
	return string(b)
}

// escaped is the byte that an escape stands for, and the escape's length; what is none is a backslash.
func escaped(text string) (c byte, n int) {
	var one [1]byte
	if text[1] == 'x' && len(text) >= 4 {
		if _, err := hex.Decode(one[:], []byte(text[2:4])); err == nil {
			return one[0], 4
		}
	}
	if s := letters.Replace(text[:2]); len(s) == 1 {
		return s[0], 2
	}
	return '\\', 1
}
