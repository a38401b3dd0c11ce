package accesslog

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func format(t testing.TB, s string) *Format {
	t.Helper()
	f, err := NewFormat(s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// sample is a request with everything that can be known of one.
func sample() *Record {
	return &Record{
		Event: Request, Began: time.Date(2026, 11, 22, 13, 14, 15, 16e6, time.FixedZone("", 3600)), Took: 1234567 * time.Microsecond,
		Client: "192.0.2.1", Port: 1024, Peer: "10.0.0.9", Listener: "[::]:443",
		Method: []byte("GET"), Target: []byte("/a?b=c"), Host: []byte("www.example"), Protocol: "HTTP/1.1", ID: []byte("5f"),
		Headers: [MaxHeaders][]byte{[]byte("https://a.example/"), []byte("curl/8")},
		Status:  200, In: 100, Out: 250, OutHead: 50,
		Server: "10.0.0.1", ServerPort: 8080, Upstream: 2 * time.Millisecond, Retries: 1,
		TLS: true, Handshake: 3 * time.Millisecond, Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Group: "X25519MLKEM768", SNI: "www.example",
		ALPN: "http/1.1", Resumed: true, JA4: "t13d1516h2_8daaf6152771_e5627efa2ab1", CommonName: "a b", Fingerprint: "00ff",
		Country: "SE", ASN: 64500, Denied: "acl", Reason: "no reason",
	}
}

func TestFormats(t *testing.T) {
	for _, c := range []struct{ format, want string }{
		{"common", `192.0.2.1 - a\x20b [22/Nov/2026:13:14:15 +0100] "GET /a?b=c HTTP/1.1" 200 200`},
		{"combined", `192.0.2.1 - a\x20b [22/Nov/2026:13:14:15 +0100] "GET /a?b=c HTTP/1.1" 200 200 "https://a.example/" "curl/8"`},
		{`%m|%U|%q|%H|%v|%a|%s|%B|%I|%O|%D|%T|100%%`, `GET|/a|?b=c|HTTP/1.1|www.example|192.0.2.1|200|200|100|250|1234567|1|100%`},
		{`"%u" %r`, `"a b" GET\x20/a?b=c\x20HTTP/1.1`},
		{"%{time}x\t%{event}x %{duration}x %{upstream_time}x %{handshake_time}x %{tls_resumed}x %{ech}x %{asn}x",
			"2026-11-22T13:14:15.016+01:00\trequest 1.234567 0.002000 0.003000 true false 64500"},
		{`%{user-agent}i %{path}x %{query}x`, `https://a.example/ /a ?b=c`},
		{"json", `{"time":"2026-11-22T13:14:15.016+01:00","event":"request","client":"192.0.2.1","port":1024,"peer":"10.0.0.9","country":"SE","asn":64500,` +
			`"listener":"[::]:443","method":"GET","target":"/a?b=c","protocol":"HTTP/1.1","host":"www.example","referer":"https://a.example/","user_agent":"curl/8",` +
			`"request_id":"5f","status":200,"bytes_in":100,"bytes_out":250,"body_bytes_out":200,"duration":1.234567,"upstream_time":0.002000,"server":"10.0.0.1","server_port":8080,` +
			`"retries":1,"handshake_time":0.003000,"tls_version":"TLS 1.3","tls_cipher":"TLS_AES_128_GCM_SHA256","tls_group":"X25519MLKEM768","tls_resumed":true,` +
			`"ech":false,"sni":"www.example","alpn":"http/1.1","ja4":"t13d1516h2_8daaf6152771_e5627efa2ab1","client_cn":"a b","client_fingerprint":"00ff",` +
			`"denied":"acl","reason":"no reason"}`},
	} {
		if got := string(format(t, c.format).Append(nil, sample())); got != c.want+"\n" {
			t.Errorf("%s\n got %s\nwant %s", c.format, got, c.want)
		}
	}
}

// TestUnknown: what is not known is a hyphen, or not there.
func TestUnknown(t *testing.T) {
	r := &Record{Event: Connection, Began: sample().Began, Client: "::1"}
	for _, c := range []struct{ format, want string }{
		{"combined", `::1 - - [22/Nov/2026:13:14:15 +0100] "-" - - "-" "-"`},
		{"%{tls_resumed}x %{status}x %{bytes_in}x %{server}x %{country}x", "- - 0 - -"},
		{"json", `{"time":"2026-11-22T13:14:15.016+01:00","event":"connection","client":"::1","bytes_in":0,"bytes_out":0,"body_bytes_out":0,"duration":0.000000,"retries":0}`},
	} {
		if got := string(format(t, c.format).Append(nil, r)); got != c.want+"\n" {
			t.Errorf("%s\n got %s\nwant %s", c.format, got, c.want)
		}
	}
}

// TestNothingIsNegative: heads that nobody has taken do not make a body less than nothing.
func TestNothingIsNegative(t *testing.T) {
	r := sample()
	r.Out, r.OutHead = 0, 38
	if got := string(format(t, "%b %B %{body_bytes_out}x").Append(nil, r)); got != "- 0 0\n" {
		t.Error(got)
	}
}

// TestStrangers: what they send ends neither field nor line.
func TestStrangers(t *testing.T) {
	r := &Record{Malformed: []byte("\x16\x03\x01 \"\\\r\n"), Target: []byte("a\u202eb\u2028\xff\u0085é\U000e0001\x7f\"\\\n")}
	if got, want := string(format(t, `"%r"`).Append(nil, r)), `"\x16\x03\x01 \"\\\x0d\x0a"`+"\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := string(appendString(nil, r.Target)), `"a\u202eb\u2028\ufffd\u0085é\udb40\udc01\u007f\"\\\u000a"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestFormatErrors(t *testing.T) {
	for _, c := range []struct{ format, want string }{
		{"jsn", `"jsn" is no format; expected common, combined, json`},
		{"", `"" is no format`},
		{"é %y", `at character 3: "%y" is unknown; expected one of %B %D`},
		{"%h %", "at character 4: % without a letter"},
		{"%h %>b", `at character 4: "%>" is unknown`},
		{"%{Referer", "at character 1: %{ without a }"},
		{"%{Referer}o", "at character 11: expected i or x behind %{Referer}"},
		{"%h %{sni}x%{nis}x", `at character 13: there is no field "nis"; expected one of time event`},
		{"%{a b}i", `at character 3: "a b" is no name of a field`},
		{"%{}i", `at character 3: "" is no name`},
		{"%h\n", "at character 3: a control character"},
		{"%h\xff", "at character 3: a control character"},
		{strings.Repeat("%{A}i", 20) + "%{0}i%{1}i%{2}i%{3}i%{4}i%{5}i%{6}i%{7}i%{8}i%{9}i%{10}i%{11}i%{12}i%{13}i%{14}i%{15}i", "at character 181: more than 16"},
	} {
		if _, err := NewFormat(c.format); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.format, err, c.want)
		}
	}
}

func TestAsks(t *testing.T) {
	if f := format(t, "%h %{ja4}x"); !f.Asks("ja4") || f.Asks("country") {
		t.Error("asked for the wrong fields")
	}
	if f := format(t, "json"); !f.Asks("ja4") || !f.Asks("country") || len(f.Headers()) != 2 {
		t.Error("JSON has all of them")
	}
}

// TestText: what is kept is cut, and stays what it was when more is kept.
func TestText(t *testing.T) {
	var text Text
	a := text.Value([]byte(strings.Repeat("a", 2000)))
	b := text.Target([]byte(strings.Repeat("b", 9000)))
	if string(a) != strings.Repeat("a", 1024) || string(b) != strings.Repeat("b", 4096) {
		t.Errorf("%d and %d bytes", len(a), len(b))
	}
	text.Reset()
	if cap(text.b) != 0 {
		t.Errorf("%d bytes are held on to", cap(text.b))
	}
}

// FuzzRecord: whatever strangers say, a record is one line, and a line of JSON says it again.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("GET"), []byte("/a?b"), []byte("host"), []byte("agent \"x\"\r\n{}"), "CN \x00", 200)
	f.Add([]byte("\xff\xfe"), []byte("\u2028"), []byte(`\`), []byte("\u202e\U000e0001"), "\"", 0)
	f.Add([]byte(""), []byte("\xed\xa0\x80"), []byte("%{x}"), []byte("\t"), "</script>", -1)
	formats := []*Format{format(f, "common"), format(f, "combined"), format(f, "json"), format(f, `%r %{target}x "%{User-Agent}i" %{Host}i %u`)}
	f.Fuzz(func(t *testing.T, method, target, host, agent []byte, name string, status int) {
		r := &Record{Event: Request, Method: method, Target: target, Host: host, Malformed: host, Protocol: "HTTP/1.1", CommonName: name, Status: status}
		r.Headers[0], r.Headers[1] = agent, target
		for _, f := range formats {
			line := f.Append(nil, r)
			if strings.Count(string(line), "\n") != 1 || line[len(line)-1] != '\n' || strings.ContainsFunc(string(line[:len(line)-1]), func(r rune) bool { return r < ' ' }) {
				t.Fatalf("no line: %q", line)
			}
			if !f.json {
				unbroken(t, string(line))
				continue
			}
			var got struct {
				Method, Target, Host, Referer string
				Status                        int
			}
			if err := json.Unmarshal(line, &got); err != nil || !utf8.Valid(line) {
				t.Fatalf("%v: %q", err, line)
			}
			if want := strings.ToValidUTF8(string(target), "\ufffd"); utf8.Valid(target) && got.Target != want || got.Status != status ||
				utf8.Valid(method) && got.Method != string(method) || utf8.Valid(agent) && got.Referer != string(agent) {
				t.Fatalf("%q became %+v", line, got)
			}
		}
	})
}

// unbroken checks that the quotes of a line are those of its format.
func unbroken(t *testing.T, line string) {
	t.Helper()
	inside := false
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '"':
			if inside = !inside; inside && i > 0 && line[i-1] != ' ' || !inside && line[i+1] != ' ' && line[i+1] != '\n' {
				t.Fatalf("a quote within a field: %q", line)
			}
		}
	}
	if inside {
		t.Fatalf("a quote that is not closed: %q", line)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	r, b := sample(), make([]byte, 0, 4096)
	for _, name := range []string{"common", "combined", "json"} {
		f := format(t, name)
		if n := testing.AllocsPerRun(100, func() { f.Append(b, r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	r, line := sample(), make([]byte, 0, 4096)
	for _, name := range []string{"combined", "json"} {
		f := format(b, name)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f.Append(line, r)
			}
		})
	}
}
