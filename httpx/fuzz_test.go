package httpx

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"edgepen/httpx/smugglingtest"
)

// Where we accept, net/http's readers say the same, with these exceptions:
//
//	empty lines before a request   ReadRequest refuses them (its server's reader skips them): removed before the comparison
//	Host, Content-Length,          it moves them out of the fields: compared as host and framing
//	Transfer-Encoding, Trailer
//	Trailer naming framing fields  it refuses the message; the declaration binds nobody, and we drop such fields when they come
//	Pragma, Cache-Control          it adds the second for the first; we leave both to the server
//	HTTP/1.x with x > 1            it keeps x; forwarded as 1.1
//	a body of HEAD, 1xx, 204, 304  it tells the length that was announced; we say there is none

// refusedTrailer tells whether net/http refuses the declared trailer names, which bind nobody.
func refusedTrailer(err error) bool {
	return err != nil && strings.Contains(err.Error(), "bad trailer key")
}

// fieldSet lists fields as net/http understands them, without those that it moves elsewhere, sorted.
func fieldSet(h http.Header, without ...string) []string {
	var set []string
	for name, values := range h {
		if slices.Contains([]string{"Host", "Content-Length", "Transfer-Encoding", "Trailer"}, name) || slices.Contains(without, name) {
			continue
		}
		for _, v := range values {
			set = append(set, name+": "+v)
		}
	}
	slices.Sort(set)
	return set
}

// ourSet lists the fields of a parsed head in the same way.
func ourSet(h *head, b []byte) []string {
	set := http.Header{}
	for i := range h.fields {
		f := &h.fields[i]
		set.Add(string(f.nameOf(b)), string(f.valueOf(b)))
	}
	return fieldSet(set, "Cache-Control", "Pragma")
}

// addCorpus seeds with every case of testdata/smuggling but the very long ones.
func addCorpus(f *testing.F, add func(raw []byte)) {
	for _, c := range smugglingtest.Load(f, "..") {
		if len(c.Raw) < 4096 {
			add(c.Raw)
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, c := range requestCases {
		if len(c.head) < 4096 {
			f.Add([]byte(c.head), false)
		}
	}
	addCorpus(f, func(raw []byte) { f.Add(raw, len(raw)%2 == 0) })
	f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\nX_Forwarded_For: 2.2.2.2\r\nContent_Length: 5\r\n\r\n"), true)
	f.Add([]byte("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\nConnection: close, X-B\r\nX-B: 1\r\n\r\n"), false)
	for _, target := range []string{"//a/b", "//[x/", "/[]^`{}<>\\\"", "/?[%", "/:80", "///", "http://a$&'()*+;=!~:80//x", "http://h:00080", "/a;b@c:d", "/%00"} {
		f.Add([]byte("GET "+target+" HTTP/1.0\r\n\r\n"), false)
	}
	f.Add([]byte("GET HTTP://[::1]:80?a HTTP/1.5\r\nHost: [::1]:80\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), true)
	f.Fuzz(func(t *testing.T, b []byte, trusted bool) {
		var r Request
		n, err := r.Parse(b, testLimit)
		if err != nil || n == 0 {
			return
		}
		same, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(skipEmptyLines(b))))
		if refusedTrailer(err) {
			return
		}
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", b[:n], err)
		}
		compareRequest(t, &r, b, same)
		if got, want := ourSet(&r.head, b), fieldSet(same.Header, "Cache-Control", "Pragma"); !slices.Equal(got, want) {
			t.Errorf("%q: fields %q, net/http says %q", b[:n], got, want)
		}
		r.Passed(b, "edge")
		r.ID(b, "X-Request-ID")
		for field := range TrustRealIP + 1 {
			r.Whence(b, field, func(netip.Addr) bool { return trusted }) //nolint:errcheck // that it returns is what is tested
		}
		fwd := Forward{Client: "192.0.2.1", Proto: "https", Port: "443", Trusted: trusted}
		server := checkForwarded(t, &r, b, &fwd)
		got := fieldSet(server.Header, slices.Concat(rewritten, []string{"Connection", "Upgrade", "Expect"})...)
		if want := surviving(same.Header, func(name string) bool { return goesNoFurther(name, trusted) }, saysWhence); !slices.Equal(got, want) {
			t.Errorf("%q: forwarded fields %q, want %q", b[:n], got, want)
		}
	})
}

// rewritten are the fields that are compared by other means than their set.
var rewritten = []string{"Cache-Control", "Pragma", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"}

// surviving says in other words than the code which fields are forwarded as they are: those that drop does not, nor
// Connection by naming them, if it may: fields that say whence a request came mean nothing in a response.
func surviving(h http.Header, drop, protected func(name string) bool) []string {
	left := http.Header{}
	named := strings.Split(strings.ToLower(strings.Join(h["Connection"], ",")), ",")
	for i := range named {
		named[i] = strings.Trim(named[i], " \t")
	}
	for name, values := range h {
		lower := strings.ToLower(name)
		if !drop(lower) && (!slices.Contains(named, lower) || protected(lower)) {
			left[name] = values
		}
	}
	return fieldSet(left, rewritten...)
}

// goesNoFurther tells whether a request's field, its name in lower case, is removed whatever Connection says.
func goesNoFurther(name string, trusted bool) bool {
	plain := strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			return c
		}
		return '-'
	}, name)
	about := saysWhence(plain)
	if strings.HasPrefix(plain, "x-denied-reason") && saysWhence(plain) {
		return true
	}
	if name == "forwarded" || name == "x-real-ip" {
		return true // but where proxies speak of their clients there
	}
	if plain != name {
		return about || knownNames[plain] != other
	}
	return about && !trusted || !about && knownNames[plain] != other
}

// skipEmptyLines removes what net/http's server, but not ReadRequest, skips.
func skipEmptyLines(b []byte) []byte {
	for bytes.HasPrefix(b, []byte("\r\n")) {
		b = b[2:]
	}
	return b
}

func compareRequest(t *testing.T, r *Request, b []byte, same *http.Request) {
	t.Helper()
	if string(r.Method(b)) != same.Method || string(r.Target(b)) != same.RequestURI || string(r.Host(b)) != same.Host {
		t.Errorf("%q: %s %s %s, net/http says %s %s %s", b, r.Method(b), r.Target(b), r.Host(b), same.Method, same.RequestURI, same.Host)
	}
	if want := bodyOf(same.ContentLength, same.TransferEncoding); describeBody(&r.Body) != want {
		t.Errorf("%q: body %s, net/http says %s", b, describeBody(&r.Body), want)
	}
	if r.KeepAlive == same.Close {
		t.Errorf("%q: keep-alive %v, net/http says %v", b, r.KeepAlive, !same.Close)
	}
}

func bodyOf(length int64, codings []string) string {
	if slices.Equal(codings, []string{"chunked"}) {
		return "chunked"
	}
	return fmt.Sprint(length)
}

func describeBody(b *Body) string {
	if b.Chunked() {
		return "chunked"
	}
	return fmt.Sprint(b.Remaining())
}

// checkForwarded holds the promises about what a server gets, which it returns.
func checkForwarded(t *testing.T, r *Request, b []byte, fwd *Forward) *http.Request {
	t.Helper()
	out := r.AppendForward(nil, b, fwd)
	server, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
	if err != nil {
		t.Fatalf("net/http refuses what is forwarded, %q: %v", out, err)
	}
	if server.Method != string(r.Method(b)) || server.Host != string(r.Host(b)) || server.ProtoMinor != r.Minor {
		t.Errorf("forwarded %q for %q", out, b)
	}
	if got, want := bodyOf(server.ContentLength, server.TransferEncoding), describeBody(&r.Body); got != want {
		t.Errorf("forwarded %q with body %s, was %s", out, got, want)
	}
	if len(r.fields) > MaxFields-5 {
		return server // with ours there may be more fields than we accept
	}
	var again Request
	if n, err := again.Parse(out, 4*testLimit); err != nil || n != len(out) {
		t.Fatalf("we refuse what we forward, %q: %v", out, err)
	}
	count := map[string]int{}
	for i := range again.fields {
		f := &again.fields[i]
		count[strings.ToLower(string(f.nameOf(out)))]++
		if f.kind == disguised || f.kind == hopByHop || (f.kind == provenance || f.kind == identity || f.kind == place) && !fwd.Trusted || f.kind == denial {
			t.Errorf("forwarded %q", out)
		}
		if f.fate == keep && !f.tidy {
			t.Errorf("forwarded unusual blanks: %q", out)
		}
	}
	for _, name := range []string{"host", "content-length", "transfer-encoding", "expect", "upgrade", "connection"} {
		if count[name] > 1 {
			t.Errorf("forwarded %d times %s: %q", count[name], name, out)
		}
	}
	checkProvenance(t, server, fwd)
	if r.Upgrade != again.Upgrade || r.Expect != again.Expect || (count["upgrade"] == 1) != r.Upgrade {
		t.Errorf("forwarded %q for %q", out, b)
	}
	return server
}

func checkProvenance(t *testing.T, server *http.Request, fwd *Forward) {
	t.Helper()
	want := map[string]string{"X-Forwarded-For": fwd.Client, "X-Forwarded-Proto": fwd.Proto, "X-Forwarded-Port": fwd.Port, "X-Forwarded-Host": server.Host}
	for name, value := range want {
		got := server.Header.Values(name)
		switch {
		case value == "" && len(got) == 0 && !fwd.Trusted:
		case fwd.Trusted && name == "X-Forwarded-For":
			if len(got) != 1 || !strings.HasSuffix(got[0], value) {
				t.Errorf("%s: %q", name, got)
			}
		case fwd.Trusted:
			if len(got) > 1 {
				t.Errorf("%s: %q", name, got)
			}
		case len(got) != 1 || got[0] != value:
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

func FuzzResponse(f *testing.F) {
	for _, c := range responseCases {
		if len(c.head) < 4096 {
			f.Add([]byte(c.head), c.isHead)
		}
	}
	f.Add([]byte(benchResponse), false)
	addCorpus(f, func(raw []byte) { // what is wrong with a request's fields is wrong with a response's
		if _, fields, ok := bytes.Cut(raw, []byte("\r\n")); ok {
			f.Add(append([]byte("HTTP/1.1 200 OK\r\n"), fields...), false)
		}
	})
	f.Fuzz(func(t *testing.T, b []byte, isHead bool) {
		var r Response
		n, err := r.Parse(b, testLimit, isHead)
		if err != nil || n == 0 {
			return
		}
		same := compareResponse(t, &r, b[:n], b[:n], isHead)
		if len(r.fields) == MaxFields {
			return // with ours there may be more fields than we accept
		}
		for _, keepAlive := range []bool{false, true} {
			out := r.AppendForward(nil, b, keepAlive, 1)
			var again Response
			if n, err := again.Parse(out, 4*testLimit, isHead); err != nil || n != len(out) || again.Status != r.Status {
				t.Fatalf("we refuse what we forward, %q: %v", out, err)
			}
			client := compareResponse(t, &r, b[:n], out, isHead)
			if same == nil || client == nil {
				continue
			}
			got, want := fieldSet(client.Header, "Connection", "Upgrade"), surviving(same.Header, ofTheConnection, func(string) bool { return false })
			if got = slices.DeleteFunc(got, isRewritten); !slices.Equal(got, slices.DeleteFunc(want, isRewritten)) {
				t.Errorf("%q: forwarded fields %q, want %q", b[:n], got, want)
			}
			if again.KeepAlive && !keepAlive && !r.Interim() {
				t.Errorf("forwarded %q without close", out)
			}
		}
	})
}

// compareResponse compares our reading of b with that of net/http of the same or the forwarded head.
func compareResponse(t *testing.T, r *Response, b, sent []byte, isHead bool) *http.Response {
	t.Helper()
	method := http.MethodGet
	if isHead {
		method = http.MethodHead
	}
	same, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(sent)), &http.Request{Method: method, URL: &url.URL{}})
	if refusedTrailer(err) {
		return nil
	}
	if err != nil {
		t.Fatalf("net/http refuses %q: %v", sent, err)
	}
	if same.StatusCode != r.Status {
		t.Errorf("%q: status %d, net/http says %d", b, r.Status, same.StatusCode)
	}
	if isHead || r.Status < 200 || r.Status == 204 || r.Status == 304 {
		if !r.Body.Done() {
			t.Errorf("%q has a body", b)
		}
		return same
	}
	if want := bodyOf(same.ContentLength, same.TransferEncoding); describeBody(&r.Body) != want {
		t.Errorf("%q: body %s, net/http says %s of %q", b, describeBody(&r.Body), want, sent)
	}
	return same
}

// ofTheConnection tells whether a response's field, its name in lower case, is removed whatever Connection says.
func ofTheConnection(name string) bool {
	k := knownNames[name]
	return k == connection || k == hopByHop || k == upgrade
}

func isRewritten(line string) bool {
	name, _, _ := strings.Cut(line, ":")
	return slices.Contains(rewritten, name)
}

// FuzzBody: what is forwarded of a chunked body decodes to the same payload as what came, however it comes.
func FuzzBody(f *testing.F) {
	for _, c := range chunkCases {
		if len(c.in) < 8192 {
			f.Add([]byte(c.in), byte(3))
		}
	}
	addCorpus(f, func(raw []byte) {
		if _, body, ok := bytes.Cut(raw, []byte("\r\n\r\n")); ok && len(body) > 0 {
			f.Add(body, byte(len(body)))
		}
	})
	f.Fuzz(func(t *testing.T, in []byte, pace byte) {
		whole := chunkedBody(testLimit)
		out, taken, err := feed(&whole, string(in), func() int { return len(in) + 1 })
		b := chunkedBody(testLimit)
		out2, taken2, err2 := feed(&b, string(in), func() int { return 1 + int(pace) })
		if !bytes.Equal(out, out2) || taken != taken2 || fmt.Sprint(err) != fmt.Sprint(err2) || b.Done() != whole.Done() {
			t.Fatalf("%q in pieces of %d: %q, %d, %v; at once %q, %d, %v", in, 1+int(pace), out2, taken2, err2, out, taken, err)
		}
		if !whole.Done() {
			return
		}
		want, err := decode(in[:taken])
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", in[:taken], err)
		}
		if got, err := decode(out); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q forwarded as %q: %q, %v", in[:taken], out, got, err)
		}
		again := chunkedBody(testLimit)
		if out3, taken3, err := feed(&again, string(out), func() int { return len(out) }); err != nil || taken3 != len(out) || !bytes.Equal(out3, out) {
			t.Fatalf("%q forwarded again as %q: %v", out, out3, err)
		}
	})
}
