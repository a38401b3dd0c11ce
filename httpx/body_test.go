package httpx

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http/httputil"
	"strings"
	"testing"
)

var chunkCases = []struct {
	clause, in string
	want       int    // status, 0 for accepted
	out        string // what is forwarded, where it is not the same
}{
	{"9112 7.1 chunks", "5\r\nhello\r\n0\r\n\r\n", 0, ""},
	{"9112 7.1 upper and lower case", "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", 0, ""},
	{"9112 7.1 zeros", "000005\r\nhello\r\n00\r\n\r\n", 0, ""},
	{"9112 7.1 empty", "0\r\n\r\n", 0, ""},
	{"9112 7.1 no size", "\r\nhello\r\n", 400, ""},
	{"9112 7.1 sign", "+5\r\nhello\r\n", 400, ""},
	{"9112 7.1 negative", "-5\r\nhello\r\n", 400, ""},
	{"9112 7.1 0x", "0x5\r\nhello\r\n", 400, ""},
	{"9112 7.1 blank before", " 5\r\nhello\r\n", 400, ""},
	{"9112 7.1 blank behind", "5 \r\nhello\r\n", 400, ""},
	{"9112 7.1 underscore", "1_0\r\n", 400, ""},
	{"9112 7.1 15 digits", "00000000000000f\r\n0123456789abcde\r\n0\r\n\r\n", 0, ""},
	{"9112 7.1 overflow", "1000000000000000\r\n", 400, ""},
	{"9112 7.1 LF after the size", "5\nhello\r\n0\r\n\r\n", 400, ""},
	{"9112 7.1 CR after the size", "5\rhello\r\n0\r\n\r\n", 400, ""},
	{"9112 7.1 LF after the data", "5\r\nhello\n0\r\n\r\n", 400, ""},
	{"9112 7.1 no CRLF after the data", "5\r\nhello0\r\n\r\n", 400, ""},
	{"9112 7.1 CR without LF after the data", "5\r\nhello\r0\r\n\r\n", 400, ""},
	{"9112 7.1 LF at the end", "0\r\n\n", 400, ""},
	{"9112 7.1 LF after the last chunk", "0\n\r\n", 400, ""},
	{"9112 7.1.1 extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n", 0, "5\r\nhello\r\n0\r\n\r\n"},
	{"9112 7.1.1 blank before an extension", "5 ;a\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"9112 7.1.1 extension with blanks", "5; a = \"b\"\r\nhello\r\n0\r\n\r\n", 0, "5\r\nhello\r\n0\r\n\r\n"},
	{"9112 7.1.1 extension with LF", "5;a\nb\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"9112 7.1.1 extension with CR", "5;a\rb\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"9112 7.1.1 extension with NUL", "5;a\x00\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"9112 7.1.1 no extension", "5 a\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"9112 7.1.1 long extension", "5;" + strings.Repeat("a", 4092) + "\r\nhello\r\n0\r\n\r\n", 0, "5\r\nhello\r\n0\r\n\r\n"},
	{"9112 7.1.1 extension too long", "5;" + strings.Repeat("a", 4093) + "\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"9112 7.1.1 too much extension", strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 20) + "0\r\n\r\n", 400, ""},
	{"9112 7.1.2 trailer", "0\r\nA: b\r\nC:d\r\n\r\n", 0, ""},
	{"9110 6.5.1 trailer fields that go no further", "1\r\nx\r\n0\r\nHost: a\r\nA: b\r\nContent-Length: 5\r\nX-Forwarded-For: c\r\nX_Real_IP: d\r\nConnection: close\r\nE: f\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
		"1\r\nx\r\n0\r\nA: b\r\nE: f\r\n\r\n"},
	{"9112 7.1.2 folded", "0\r\nA: b\r\n c\r\n\r\n", 400, ""},
	{"9112 7.1.2 LF", "0\r\nA: b\n\r\n", 400, ""},
	{"9112 7.1.2 LF behind a value", "0\r\nA: bcd\n\r\n", 400, ""},
	{"9112 7.1.2 blank before the colon", "0\r\nA : b\r\n\r\n", 400, ""},
	{"9112 7.1.2 NUL", "0\r\nA: \x00\r\n\r\n", 400, ""},
	{"6585 5 trailer line too long", "0\r\nA: " + strings.Repeat("a", 4096) + "\r\n\r\n", 431, ""},
	{"6585 5 trailer too large", "0\r\n" + strings.Repeat("A: b\r\n", testLimit/6+1) + "\r\n", 431, ""},
}

// feed gives a body to b as a relay would: what is not taken is offered again with more behind it.
func feed(b *Body, in string, step func() int) (out []byte, taken int, err error) {
	var buf []byte
	for rest := in; ; {
		n := min(step(), len(rest))
		buf, rest = append(buf, rest[:n]...), rest[n:]
		var i, o int
		i, o, err = b.Feed(buf)
		out = append(out, buf[:o]...)
		taken += i
		buf = append(buf[:0], buf[i:]...)
		if err != nil || b.Done() || len(rest) == 0 {
			return out, taken, err
		}
	}
}

func TestChunked(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, c := range chunkCases {
		const next = "GET "
		whole := chunkedBody(testLimit)
		out, taken, err := feed(&whole, c.in+next, func() int { return math.MaxInt })
		if got := status(t, err); got != c.want {
			t.Errorf("%s: status %d (%v), want %d", c.clause, got, err, c.want)
			continue
		}
		want := c.out
		if want == "" {
			want = c.in
		}
		if c.want == 0 && (string(out) != want || taken != len(c.in) || !whole.Done() || whole.Close() != nil) {
			t.Errorf("%s: took %d of %d, forwards %q", c.clause, taken, len(c.in), out)
		}
		for name, step := range map[string]func() int{
			"byte by byte": func() int { return 1 },
			"random":       func() int { return 1 + random.IntN(12) },
		} {
			b := chunkedBody(testLimit)
			out2, taken2, err2 := feed(&b, c.in+next, step)
			if !bytes.Equal(out2, out) || taken2 != taken || fmt.Sprint(err2) != fmt.Sprint(err) {
				t.Errorf("%s, %s: %q, %d, %v; at once %q, %d, %v", c.clause, name, out2, taken2, err2, out, taken, err)
			}
		}
	}
}

// TestTruncated: no beginning of a body is taken for the whole.
func TestTruncated(t *testing.T) {
	const in = "5;a\r\nhello\r\n0\r\nA: b\r\n\r\n"
	for end := range len(in) {
		b := chunkedBody(testLimit)
		if _, _, err := feed(&b, in[:end], func() int { return 3 }); err != nil {
			t.Fatal(err)
		}
		if b.Done() || b.Close() == nil {
			t.Errorf("%q is taken for a whole body", in[:end])
		}
	}
}

func TestBodyByLengthAndUntilClose(t *testing.T) {
	var none Body
	if in, out, err := none.Feed([]byte("x")); !none.Done() || in != 0 || out != 0 || err != nil || none.Close() != nil || none.Remaining() != 0 {
		t.Error("the zero Body is not empty")
	}
	b := lengthBody(5)
	if in, out, _ := b.Feed([]byte("abc")); in != 3 || out != 3 || b.Done() || b.Remaining() != 2 || b.Close() == nil {
		t.Errorf("took %d, forwards %d, remaining %d", in, out, b.Remaining())
	}
	if in, _, _ := b.Feed([]byte("defg")); in != 2 || !b.Done() || b.Close() != nil {
		t.Errorf("took %d of the rest", in)
	}
	c := Body{mode: untilClose}
	if in, out, _ := c.Feed([]byte("abc")); in != 3 || out != 3 || c.Done() || c.Remaining() != -1 || c.Opaque() != math.MaxInt64 {
		t.Error("a body until close does not take everything")
	}
	if c.Close() != nil || !c.Done() || c.Opaque() != 0 {
		t.Error("a body until close does not end with the connection")
	}
}

func TestSkip(t *testing.T) {
	b := chunkedBody(testLimit)
	if in, _, err := b.Feed([]byte("64\r\n")); in != 4 || err != nil || b.Opaque() != 100 {
		t.Fatal(in, err, b.Opaque())
	}
	b.Skip(40)
	b.Skip(60)
	if in, _, err := b.Feed([]byte("\r\n0\r\n\r\n")); in != 7 || err != nil || !b.Done() {
		t.Error(in, err, b.Done())
	}
	c := lengthBody(10)
	c.Skip(10)
	if !c.Done() {
		t.Error("not done after everything was skipped")
	}
}

func TestBodyAllocatesNothing(t *testing.T) {
	in := []byte("5;a\r\nhello\r\n0\r\nA: b\r\nHost: c\r\n\r\n")
	buf := make([]byte, len(in))
	allocs := testing.AllocsPerRun(100, func() {
		b := chunkedBody(testLimit)
		copy(buf, in)
		if _, _, err := b.Feed(buf); err != nil || !b.Done() {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// decode is the payload of a chunked body as net/http reads it.
func decode(p []byte) ([]byte, error) {
	return io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(p)))
}
