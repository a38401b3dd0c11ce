// Package ticket reads the keys of session tickets from a file that several
// machines share, so that a client resumes its session on any of them.
package ticket

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Key is what crypto/tls seals session tickets with
// (tls.Config.SetSessionTicketKeys): the SHA-256 of the bytes in the file, so
// that every length gives a key, and the same on each machine.
type Key = [sha256.Size]byte

// maxKeys bounds a file: crypto/tls tries the keys one after the other.
const maxKeys = 16

// Parse reads the content of the key file name, in one of two forms:
//
//   - 48 or 80 random bytes, as for nginx's ssl_session_ticket_key
//     (openssl rand -out ticket.key 80): one key.
//   - Lines of base64, as for HAProxy's tls-ticket-keys, each 32, 48 or 80
//     bytes (openssl rand -base64 48): one key a line, 16 at most. Blank
//     lines and lines that begin with # do not count.
//
// The first key seals new tickets, and all of them open old ones, as in nginx;
// HAProxy seals with the last but one. So a new key goes to the end of every
// machine's file first, and to the top once all have it. openssl breaks 80
// bytes of base64 into two lines, which are two good keys here. Tickets are
// not understood by nginx or HAProxy, nor theirs here.
//
// The error names the file and the line, and what was expected, but never a
// key: no keys, a key twice, one of another length, and one whose bytes are
// all the same, which nobody has drawn at random.
func Parse(name string, content []byte) ([]Key, error) {
	if len(content) == 48 || len(content) == 80 {
		if !isText(content) {
			if uniform(content) {
				return nil, fmt.Errorf("ticket key file %s: all bytes of the key are the same; expected random ones, as openssl rand -out %s 80 makes them", name, name)
			}
			return []Key{sha256.Sum256(content)}, nil
		}
	} else if !isText(content) {
		return nil, fmt.Errorf("ticket key file %s holds %d bytes that are no text; expected 48 or 80 random bytes, or lines of base64", name, len(content))
	}
	return parseLines(name, string(content))
}

// parseLines reads the form with one key a line.
func parseLines(name, content string) ([]Key, error) {
	var keys []Key
	at := make(map[Key]int) // the line of each key
	line := 0
	for text := range strings.Lines(content) {
		line++
		text = strings.TrimSpace(text)
		if text == "" || text[0] == '#' {
			continue
		}
		key, err := parseKey(text)
		if err != nil {
			return nil, fmt.Errorf("ticket key file %s, line %d: %v", name, line, err)
		}
		if first, ok := at[key]; ok {
			return nil, fmt.Errorf("ticket key file %s, line %d: the same key as in line %d", name, line, first)
		}
		if len(keys) == maxKeys {
			return nil, fmt.Errorf("ticket key file %s, line %d: more than %d keys; remove the oldest, at the end", name, line, maxKeys)
		}
		at[key] = line
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("ticket key file %s holds no key; expected 48 or 80 random bytes, or lines of base64", name)
	}
	return keys, nil
}

// parseKey reads one key in base64. Its errors must not quote the key.
func parseKey(text string) (Key, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return Key{}, errors.New("not base64; expected a key of 32, 48 or 80 bytes, as openssl rand -base64 48 makes it")
	}
	switch len(raw) {
	case 32, 48, 80:
	default:
		return Key{}, fmt.Errorf("a key of %d bytes; expected 32, 48 or 80", len(raw))
	}
	if uniform(raw) {
		return Key{}, errors.New("all bytes of the key are the same; expected random ones, as openssl rand -base64 48 makes them")
	}
	return sha256.Sum256(raw), nil
}

// isText reports whether content is ASCII text. Of random keys of 48 bytes,
// one in 10^20 is.
func isText(content []byte) bool {
	for _, c := range content {
		if (c < ' ' || c > '~') && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

func uniform(key []byte) bool { return bytes.Count(key, key[:1]) == len(key) }
