package main

import (
	stdtls "crypto/tls"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	tests := []struct {
		all  []float64
		want float64
	}{
		{[]float64{7}, 7},
		{[]float64{3, 1}, 2},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
	}
	for _, tt := range tests {
		before := slices.Clone(tt.all)
		if got := median(tt.all); got != tt.want {
			t.Errorf("median(%v) = %v, want %v", tt.all, got, tt.want)
		}
		if !slices.Equal(tt.all, before) {
			t.Errorf("median changed its argument to %v", tt.all)
		}
	}
}

func TestNumber(t *testing.T) {
	for f, want := range map[float64]string{0: "–", 0.0456: "0.0456", 0.61: "0.610", 6.5: "6.50", 13.54: "13.5", 413.2: "413", 12345: "12345"} {
		if got := number(f); got != want {
			t.Errorf("number(%v) = %s, want %s", f, got, want)
		}
	}
}

func TestParseStat(t *testing.T) {
	const after = " S 10 42 42 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 1 0 100 2000000 25 18446744073709551615 1 1"
	for _, name := range []string{"pen", "a b", "a) (b", ")", ""} {
		p, err := parseStat("99 (" + name + ")" + after + "\n")
		want := process{pid: 99, parent: 10, group: 42, cpu: 2 * time.Second, rss: 25 * int64(os.Getpagesize()) / 1024}
		if err != nil || p != want {
			t.Errorf("%q: %+v, %v; want %+v", name, p, err, want)
		}
	}
	for _, bad := range []string{"", "99", "99 (pen", "99 (pen) S 10 42", "x (pen)" + after, "99 (pen) S x" + after} {
		if p, err := parseStat(bad); err == nil {
			t.Errorf("%q: %+v, want an error", bad, p)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("99 (a) b) S 10 42 42 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 1 0 100 2000000 25 1")
	f.Add(")(")
	f.Fuzz(func(_ *testing.T, stat string) { parseStat(stat) })
}

func TestParsePss(t *testing.T) {
	tests := []struct {
		text string
		want int64
		ok   bool
	}{
		{"00400000-7fff0000 ---p 00000000 00:00 0 [rollup]\nRss:  900 kB\nPss:  812 kB\nPss_Anon:  3 kB\n", 812, true},
		{"Rss: 900 kB\n", 0, false},
		{"Pss: many kB\n", 0, false},
	}
	for _, tt := range tests {
		if got, ok := parsePss(tt.text); ok != tt.ok || ok && got != tt.want {
			t.Errorf("parsePss(%q) = %d, %v", tt.text, got, ok)
		}
	}
}

func TestFamily(t *testing.T) {
	all := []process{
		{pid: 1}, {pid: 30, parent: 20, group: 30}, // a grandchild that left the group, listed before its parent
		{pid: 10, parent: 1, group: 10}, {pid: 20, parent: 10, group: 10},
		{pid: 21, parent: 1, group: 10}, // an orphan
		{pid: 22, parent: 1, group: 10, ended: true},
		{pid: 40, parent: 1, group: 40},
	}
	var ids []int
	for _, p := range family(all, 10) {
		ids = append(ids, p.pid)
	}
	if !slices.Equal(ids, []int{30, 10, 20, 21}) {
		t.Errorf("family %v", ids)
	}
}

func TestOwnProcess(t *testing.T) {
	requireLinux(t)
	self := process{pid: os.Getpid()}
	for begin := time.Now(); time.Since(begin) < 100*time.Millisecond; {
	}
	clock, err := cpuTime([]process{self})
	ticks, err2 := statTime(self.pid)
	if err != nil || err2 != nil || (clock-ticks).Abs() > 200*time.Millisecond || clock == 0 {
		t.Errorf("clock %v, %v; ticks %v, %v", clock, err, ticks, err2)
	}
	if kib := proportional(self); kib <= 0 {
		t.Errorf("memory %d KiB", kib)
	}
}

func TestParseHead(t *testing.T) {
	tests := []struct {
		head   string
		length int
		want   string // of the error
	}{
		{"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length:  1024 ", 1024, ""},
		{"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5", 0, `the reply is "HTTP/1.1 502 Bad Gateway"`},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", 0, `the reply's Content-Length is ""`},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5", 0, `the reply's Content-Length is "5 5"`},
		{"HTTP/1.1 200 OK\r\nContent-Length: -5", 0, `the reply's Content-Length is "-5"`},
	}
	for _, tt := range tests {
		length, err := parseHead([]byte(tt.head))
		if got := errorText(err); got != tt.want || length != tt.length {
			t.Errorf("%q: %d, %q", tt.head, length, got)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestBackendAnswers(t *testing.T) {
	r := newReplies()
	const forwarded = "x-forwarded-for: 127.0.0.9\r\nX-Forwarded-For:10.0.0.1\r\n"
	tests := []struct{ head, want string }{
		{"GET /page HTTP/1.1\r\n", string(r.page)},
		{"GET /bulk HTTP/1.1\r\n", string(r.bulk)},
		{"GET /forw HTTP/1.1\r\n", string(r.refusal)},
		{"GET /forw HTTP/1.1\r\n" + forwarded, string(r.page)},
		{"GET /echo HTTP/1.1\r\n" + forwarded, string(reply("200 OK", []byte("127.0.0.9 10.0.0.1")))},
		{"GET /other HTTP/1.1\r\n", string(reply("404 Not Found", nil))},
		{"\r\n", string(reply("404 Not Found", nil))},
	}
	for _, tt := range tests {
		if got := string(r.to([]byte(tt.head))); got != tt.want {
			t.Errorf("%q: %.80q", tt.head, got)
		}
	}
}

func TestRequests(t *testing.T) {
	for _, w := range allWorkloads() {
		r := string(w.request())
		if w.path != pathBulk && len(r) != 200 {
			t.Errorf("%s: the request is %d bytes long", w.id, len(r))
		}
		if !strings.HasPrefix(r, "GET "+w.path+" HTTP/1.1\r\n") || !strings.HasSuffix(r, "\r\n\r\n") {
			t.Errorf("%s: %q", w.id, r)
		}
		if w.mode.encrypted() != (w.groups != nil) {
			t.Errorf("%s: groups %v in mode %s", w.id, w.groups, w.mode)
		}
	}
}

func TestVerifyHandshake(t *testing.T) {
	good := stdtls.ConnectionState{Version: stdtls.VersionTLS13, CipherSuite: stdtls.TLS_AES_128_GCM_SHA256, CurveID: stdtls.X25519}
	tests := []struct {
		name   string
		change func(*stdtls.ConnectionState)
		want   string
	}{
		{"as expected", func(*stdtls.ConnectionState) {}, ""},
		{"version", func(s *stdtls.ConnectionState) { s.Version = stdtls.VersionTLS12 }, "expected TLS 1.3"},
		{"group", func(s *stdtls.ConnectionState) { s.CurveID = stdtls.CurveP256 }, "expected the group X25519"},
		{"suite", func(s *stdtls.ConnectionState) { s.CipherSuite = stdtls.TLS_AES_256_GCM_SHA384 }, "expected TLS_AES_128_GCM_SHA256"},
		{"resumed", func(s *stdtls.ConnectionState) { s.DidResume = true }, "expected a full handshake"},
	}
	for _, tt := range tests {
		s := good
		tt.change(&s)
		_, err := verifyHandshake(s, stdtls.X25519)
		if (err == nil) != (tt.want == "") || !strings.Contains(errorText(err), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestSetupsAreComplete(t *testing.T) {
	for _, c := range allContenders() {
		for m, s := range c.setups {
			text := s.command + s.config
			if !strings.Contains(text, "{addr}") || !strings.Contains(text, "{server}") {
				t.Errorf("%s, %s: no address or no server in %s", c.name, m, text)
			}
			if strings.Contains(text, "%!") || m.encrypted() != (strings.Contains(text, "{crt}") || strings.Contains(text, "{pem}")) {
				t.Errorf("%s, %s: %s", c.name, m, text)
			}
		}
		modes := 6
		if c.name == "pen" || c.name == "haproxy" { // which have no HTTP/2, and no datagrams
			modes = 5
		}
		if c.peer && !c.off && len(c.setups) != modes {
			t.Errorf("%s has %d modes", c.name, len(c.setups))
		}
	}
}
