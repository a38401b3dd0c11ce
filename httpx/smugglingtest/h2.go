package smugglingtest

import (
	"fmt"
	"strings"
	"testing"
)

// A Stream is a request of HTTP/2: HEADERS, as many DATA as there are lines of bytes, and HEADERS again if there is a trailer. The last of
// these ends the stream.
type Stream struct {
	Fields, Trailer []Field
	Data            [][]byte
	Open            bool   // the last frame does not end the stream
	Reset           string // the code of RST_STREAM, as RFC 9113 section 7 calls it; "": it is not
}

// A Field is one of a HEADERS frame, whatever its name and value hold.
type Field struct{ Name, Value string }

// LoadHTTP2 reads the corpus of HTTP/2.
func LoadHTTP2(t testing.TB, root string) []*Case {
	t.Helper()
	all := load(t, root, "h2", "*.txt")
	for _, c := range all {
		if c.Clause == "" || len(c.Fields) == 0 || len(c.Forward) == 0 && c.Refuse == 0 && c.Reset == "" && !c.Cut {
			t.Fatalf("%v lacks its clause, fields or verdict", c)
		}
		if c.Cut != c.Open && c.Reset == "" {
			t.Fatalf("%v is cut, or does not end, and not both", c)
		}
	}
	return all
}

// field takes one of the head, or of the trailer.
func (c *Case) field(line string) error {
	words := append(strings.SplitN(line, " ", 2), "")
	name, err := unescape(words[0])
	if err != nil {
		return err
	}
	value, err := unescape(words[1])
	if err != nil {
		return err
	}
	one := Field{string(name), string(value)}
	if len(c.Data) > 0 {
		c.Trailer = append(c.Trailer, one)
	} else {
		c.Fields = append(c.Fields, one)
	}
	return nil
}

func (c *Case) reset(code string) error {
	if c.Reset = code; code == "" {
		return fmt.Errorf("expected a code behind reset")
	}
	return nil
}
