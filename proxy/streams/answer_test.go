package streams

import (
	"bytes"
	"fmt"
	"testing"
)

// sink is a recipient that remembers.
type sink struct{ said bytes.Buffer }

func (s *sink) Head(a *Answer, text []byte, ended bool) error {
	fmt.Fprintf(&s.said, "[%d %v]", a.Status(), ended)
	a.EachField(text, func(name, value []byte) { fmt.Fprintf(&s.said, "[%s=%s]", name, value) })
	return nil
}

func (s *sink) Data(p []byte, ended bool) error {
	s.said.Write(p)
	if ended {
		s.said.WriteString("[end]")
	}
	return nil
}

func (s *sink) Trailer(fields []byte) error {
	fmt.Fprintf(&s.said, "[trailer %q]", fields)
	return nil
}

// FuzzAnswer takes a response in pieces of any size: the same comes of it as in one.
func FuzzAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n", 3, false)
	f.Add("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 1, false)
	f.Add("HTTP/1.1 200 OK\r\n\r\nabc", 7, false)
	f.Add("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: key\r\n\r\nraw", 5, true)
	f.Fuzz(func(t *testing.T, said string, step int, upgrade bool) {
		step = max(step, 1)
		whole, pieces := new(sink), new(sink)
		a, b := NewAnswer(), NewAnswer()
		if upgrade {
			a.Accept, b.Accept = "key", "key"
		}
		one := a.Take(whole, []byte(said))
		var two error
		for rest := []byte(said); len(rest) > 0 && two == nil; {
			n := min(step, len(rest))
			two = b.Take(pieces, bytes.Clone(rest[:n]))
			rest = rest[n:]
		}
		if (one == nil) != (two == nil) || a.Ended != b.Ended || one == nil && whole.said.String() != pieces.said.String() {
			t.Errorf("%q by %d: %v and %v, %v and %v, %q and %q", said, step, one, two, a.Ended, b.Ended, &whole.said, &pieces.said)
		}
	})
}
