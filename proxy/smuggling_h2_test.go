package proxy

import (
	"bytes"
	stdtls "crypto/tls"
	"fmt"
	"io"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"edgepen/httpx/smugglingtest"
	"edgepen/proxy/backend"
)

// TestNothingSmuggledByHTTP2 sends every request of testdata/smuggling/h2 over TLS, each on a connection of its own, to the servers of
// TestNothingSmuggled.
func TestNothingSmuggledByHTTP2(t *testing.T) {
	cases := smugglingtest.LoadHTTP2(t, "..")
	if len(cases) < 60 {
		t.Errorf("only %d cases", len(cases))
	}
	for kind, front := range fronts {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w, addr := startWitness(t, front)
			p, _ := start(t, func(c *Config) {
				c.Servers = []backend.Spec{spec(t, addr)}
				c.HTTP = true
				c.Certificates.SelfSigned = "localhost"
			})
			for _, c := range cases {
				w.checkHTTP2(t, c, kind, address(p, 0))
			}
		})
	}
}

// checkHTTP2 sends one case over a connection of its own, and compares.
func (w *witness) checkHTTP2(t *testing.T, c *smugglingtest.Case, kind, addr string) {
	t.Helper()
	got, err := exchangeHTTP2(addr, c)
	if err != nil {
		t.Errorf("%v: %v", c, err)
	}
	seen, fields := w.take()
	if want := c.SeenBy(kind); !slices.Equal(seen, want) {
		t.Errorf("%v: the server saw %q, expected %q; the client got %q", c, seen, want, got)
	}
	if want := clientGets(c, kind); want != "" && got != want {
		t.Errorf("%v: the client got %q, expected %q", c, got, want)
	}
	w.checkFields(t, c, kind, fields)
}

// clientGets is a status, or the code that its stream is reset with; "": it has not waited for any, or it is for the server to say.
func clientGets(c *smugglingtest.Case, kind string) string {
	switch _, differs := c.Differs[kind]; {
	case c.Reset != "":
		return c.Reset
	case c.Refuse != 0:
		return strconv.Itoa(c.Refuse)
	case c.Cut, differs:
		return ""
	}
	return "200"
}

// exchangeHTTP2 sends a case as the first stream of a connection and returns what came back on it: a status, or the code that it was reset
// with. The connection has to go on: on another stream another request follows, and its answer must be its own.
func exchangeHTTP2(addr string, c *smugglingtest.Case) (got string, err error) {
	conn, err := stdtls.Dial("tcp", addr, &stdtls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // it keeps a broken test from hanging
	io.WriteString(conn, http2.ClientPreface)  //nolint:errcheck // the next read fails
	s := newSender(conn)
	s.fr.WriteSettings() //nolint:errcheck // the next read fails
	s.send(1, &c.Stream)
	if c.Cut {
		s.fr.WriteRSTStream(1, http2.ErrCodeCancel) //nolint:errcheck // the next read fails
	} else if got, _, err = s.answer(1); err != nil {
		return got, err
	}
	s.send(3, &smugglingtest.Stream{Fields: []smugglingtest.Field{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"},
		{Name: ":path", Value: canary}, {Name: ":authority", Value: "h"}}})
	status, target, err := s.answer(3)
	if err != nil {
		return got, fmt.Errorf("the next request: %w", err)
	}
	if target != canary {
		return got, fmt.Errorf("the next request got the answer to %q (%s)", target, status)
	}
	return got, nil
}

// sender is a client of HTTP/2 that says what it is told to.
type sender struct {
	fr     *http2.Framer
	fields *hpack.Encoder
	block  bytes.Buffer
	dec    *hpack.Decoder
}

func newSender(conn io.ReadWriter) *sender {
	s := &sender{fr: http2.NewFramer(conn, conn), dec: hpack.NewDecoder(4096, nil)}
	s.fr.AllowIllegalWrites = true
	s.fields = hpack.NewEncoder(&s.block)
	return s
}

// send sends a request, as it is, in frames of the default size at most.
func (s *sender) send(id uint32, st *smugglingtest.Stream) {
	s.head(id, st.Fields, len(st.Data) == 0 && !st.Open)
	for i, data := range st.Data {
		last := i == len(st.Data)-1 && len(st.Trailer) == 0
		s.fr.WriteData(id, last && !st.Open, data) //nolint:errcheck // the next read fails
	}
	if len(st.Trailer) > 0 {
		s.head(id, st.Trailer, !st.Open)
	}
}

func (s *sender) head(id uint32, fields []smugglingtest.Field, ends bool) {
	const frameMax = 16 << 10
	s.block.Reset()
	for _, f := range fields {
		s.fields.WriteField(hpack.HeaderField{Name: f.Name, Value: f.Value}) //nolint:errcheck // into memory
	}
	part := s.block.Next(frameMax)
	s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: part, EndStream: ends, EndHeaders: s.block.Len() == 0}) //nolint:errcheck // the next read fails
	for s.block.Len() > 0 {
		part = s.block.Next(frameMax)
		s.fr.WriteContinuation(id, s.block.Len() == 0, part) //nolint:errcheck // as above
	}
}

// answer reads on until a stream has ended, and says with which status, or with which code where it was reset, and what target the server said
// that it was asked for.
func (s *sender) answer(id uint32) (status, target string, err error) {
	for {
		frame, err := s.fr.ReadFrame()
		if err != nil {
			return status, target, err
		}
		switch f := frame.(type) {
		case *http2.GoAwayFrame:
			return status, target, fmt.Errorf("GOAWAY %v", f.ErrCode)
		case *http2.HeadersFrame: // of all streams: what later blocks mean depends on them
			fields, err := s.dec.DecodeFull(f.HeaderBlockFragment())
			if err != nil {
				return status, target, err
			}
			if f.StreamID != id {
				continue
			}
			for _, one := range fields {
				switch one.Name {
				case ":status":
					status = one.Value
				case "x-target":
					target = one.Value
				}
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id && f.ErrCode != http2.ErrCodeNo {
				return f.ErrCode.String(), target, nil
			}
		}
		if h := frame.Header(); h.StreamID == id && (h.Type == http2.FrameHeaders || h.Type == http2.FrameData) && h.Flags.Has(http2.FlagDataEndStream) {
			return status, target, nil
		}
	}
}
