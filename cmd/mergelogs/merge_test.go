package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// first is the time of the tests' logs, 1 January 2026.
const first = 1767225600

// hit is a line of a web server's log, so many seconds later.
func hit(at int, request string) string {
	t := time.Unix(int64(first+at), 0).UTC()
	return "9.9.9.9 - joe [" + t.Format(dateLayout) + "] \"" + request + "\" 200 5 \"ref\" \"agent x\"\n"
}

// told is a line of pen's log.
func told(client string, at int, server, request string) string {
	return fmt.Sprintf("%s %d %s %s\n", client, first+at, server, request)
}

// logs writes files and returns the directory.
func logs(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// merged runs mergelogs in a directory.
func merged(t *testing.T, dir string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	t.Chdir(dir)
	var out, errors strings.Builder
	status = run(args, &out, &errors)
	return out.String(), errors.String(), status
}

// clients are the first and last word of each line, the latter being how the tests tell lines apart.
func clients(out string) string {
	var all []string
	for line := range strings.Lines(out) {
		client, rest, _ := strings.Cut(line, " ")
		_, request, _ := strings.Cut(rest, `"`)
		request, _, _ = strings.Cut(request, `"`)
		all = append(all, client+"="+request)
	}
	return strings.Join(all, " ")
}

func TestMatch(t *testing.T) {
	z := func(n int) string { return strings.Repeat("z", n) }
	for _, c := range []struct {
		name     string
		flags    string
		pen, web string
		want     string
	}{
		{name: "match and none", pen: told("c", 0, "s", "A"), web: hit(0, "A") + hit(0, "B"), want: "c=A s=B"},
		{name: "another server", pen: told("c", 0, "t", "A"), web: hit(0, "A"), want: "s=A"},
		{name: "nearest", pen: told("a", 0, "s", "A") + told("b", 100, "s", "A") + told("c", 300, "s", "A"),
			web: hit(49, "A") + hit(50, "A") + hit(51, "A") + hit(199, "A") + hit(201, "A") + hit(800, "A"), want: "a=A a=A b=A b=A c=A c=A"},
		{name: "the first of a second", pen: told("a", 10, "s", "A") + told("b", 10, "s", "A"), web: hit(9, "A") + hit(10, "A") + hit(11, "A"), want: "a=A a=A a=A"},
		{name: "jitter by itself", pen: told("a", 1000, "s", "A"), web: hit(399, "A") + hit(400, "A") + hit(1600, "A") + hit(1601, "A"), want: "s=A a=A a=A s=A"},
		{name: "jitter", flags: "-j 2", pen: told("a", 10, "s", "A"), web: hit(7, "A") + hit(8, "A") + hit(12, "A") + hit(13, "A"), want: "s=A a=A a=A s=A"},
		{name: "no jitter", flags: "-j0", pen: told("a", 10, "s", "A"), web: hit(9, "A") + hit(10, "A"), want: "s=A a=A"},
		{name: "all of pen's log", flags: "-c -j 2", pen: told("a", 90000, "s", "A") + told("b", 0, "s", "A"), web: hit(5, "A") + hit(80000, "A"), want: "b=A a=A"},
		{name: "requests are whole", pen: told("a", 0, "s", "GET /longer") + told("b", 0, "s", "PUT /lo"), web: hit(0, "GET /long") + hit(0, "PUT /long"), want: "s=GET /long s=PUT /long"},
		{name: "as far as pen has them", pen: told("a", 0, "s", z(100)), web: hit(0, z(200)) + hit(0, z(98)), want: "a=" + z(200) + " s=" + z(98)},
		{name: "empty requests", pen: told("a", 0, "s", ""), web: hit(0, ""), want: "s="},
		{name: "pen's log out of order", pen: told("a", 30, "s", "A") + told("b", 10, "s", "A") + told("c", 20, "s", "A"), web: hit(9, "A") + hit(19, "A") + hit(29, "A"), want: "b=A c=A a=A"},
		{name: "a clock that was ahead", flags: "-j 5", pen: told("a", 0, "s", "A") + told("x", 86400, "s", "X") + told("b", 10, "s", "B") + told("x", 86400, "s", "X") + told("c", 20, "s", "A") + told("d", 86401, "s", "D"),
			web: hit(0, "A") + hit(11, "B") + hit(20, "A") + hit(40, "A") + hit(86400, "X") + hit(86401, "D"), want: "a=A b=B c=A s=A x=X d=D"},
		{name: "a late line", flags: "-j 10", pen: told("a", 0, "s", "A") + told("b", 15, "s", "B"), web: hit(15, "B") + hit(0, "A"), want: "b=B a=A"},
		{name: "carriage returns", pen: "c 1767225600 s A\r\n", web: strings.TrimSuffix(hit(0, "A"), "\n") + "\r\n", want: "c=A"},
		{name: "no last newline", pen: "c 1767225600 s A", web: strings.TrimSuffix(hit(0, "A"), "\n"), want: "c=A"},
		{name: "empty files", want: ""},
		{name: "no offset", flags: "-t 0", pen: told("a", 0, "s", "A"), web: hit(0, "A"), want: "a=A"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "no offset" && time.Local != time.UTC {
				c.flags = "" // what -t 0 means elsewhere is TestShift's
			}
			dir := logs(t, map[string]string{"pen": c.pen, "web": c.web})
			out, errors, status := merged(t, dir, append(strings.Fields(c.flags), "-p", "pen", "s:web")...)
			if got := clients(out); got != c.want || errors != "" || status != 0 {
				t.Errorf("status %d, %s\n got %s\nwant %s", status, errors, got, c.want)
			}
		})
	}
}

// TestReadsAhead: as many lines as it reads ahead may be of a clock that was wrong, and no more are kept than these and those of the time around.
func TestReadsAhead(t *testing.T) {
	var pen, web strings.Builder
	for n := range aheadMax - 1 {
		pen.WriteString(told("x", 1e6+n, "s", "X"))
	}
	const hits = 20 * aheadMax
	for n := range hits {
		pen.WriteString(told(fmt.Sprintf("c%d", n), n, "s", fmt.Sprint(n)))
		web.WriteString(hit(n, fmt.Sprint(n)))
	}
	dir := logs(t, map[string]string{"pen": pen.String(), "web": web.String()})
	in, err := openLog(filepath.Join(dir, "pen"), nil, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	w := newWindow(in, 10)
	for n := range hits {
		client, found, err := w.client("s", fmt.Sprint(n), int64(first+n))
		if want := fmt.Sprintf("c%d", n); err != nil || !found || client != want {
			t.Fatalf("%s is %q, %v, %v", want, client, found, err)
		}
		if len(w.order) > 50 || len(w.visits) > 50 || len(w.ahead) > aheadMax {
			t.Fatalf("at %d it holds %d visits, %d of them different, and %d ahead", n, len(w.order), len(w.visits), len(w.ahead))
		}
	}
}

func TestMerge(t *testing.T) {
	dir := logs(t, map[string]string{
		"pen": told("c1", 0, "10.0.0.1", "1") + told("c2", 3, "2001:db8::2", "2"),
		"one": hit(1, "1") + hit(5, "1b") + hit(5, "1c"),
		"two": strings.ReplaceAll(hit(3601, "2"), "+0000", "+0100") + hit(3, "2b") + hit(5, "2c"),
	})
	out, errors, status := merged(t, dir, "one:one", "-p", "pen", "10.0.0.1:one", "[2001:DB8:0::2]:two", "-d")
	want := "one=1 c1=1 c2=2 2001:db8::2=2b one=1b one=1c 10.0.0.1=1b 10.0.0.1=1c 2001:db8::2=2c"
	if got := clients(out); got != want || status != 0 {
		t.Errorf("status %d\n got %s\nwant %s", status, got, want)
	}
	if !strings.Contains(errors, "two:2: client = '9.9.9.9' => '2001:db8::2'\n") || strings.Contains(errors, "c1") {
		t.Errorf("-d: %s", errors)
	}
	if !strings.Contains(out, `c2 - joe [01/Jan/2026:00:00:01 +0000] "2" 200 5 "ref" "agent x"`+"\n") {
		t.Errorf("the time is not UTC: %s", out)
	}
}

// TestStrangersNames: what a client calls itself changes neither the time nor the request of its line, nor leaves it out. nginx writes brackets as they are
// and quotes as \x22, Apache puts a backslash before the latter.
func TestStrangersNames(t *testing.T) {
	for _, name := range []string{"[", "]", "a [b] c", "a [01/Jan/2000:00:00:00 +0000] b", `a [01/Jan/2000:00:00:00 +0000] \"X\"`, `\"`, `a\"X\"b`, `\\`, `\x22X\x22`, `\x5C`} {
		l, ok := parseLine(strings.Replace(strings.TrimSuffix(hit(7, "A"), "\n"), "joe", name, 1))
		if want := "- " + name + " "; !ok || l.who != want || l.request != "A" || l.at.Unix() != first+7 {
			t.Errorf("%s: %v, %+v", name, ok, l)
		}
	}
	for request, want := range map[string]string{`GET /\"a\" HTTP/1.1`: `GET /\"a\" HTTP/1.1`, `\\`: `\\`, `]`: `]`} {
		if l, ok := parseLine(hit(7, request)); !ok || l.request != want {
			t.Errorf("%s: %v, %+v", request, ok, l)
		}
	}
	for _, text := range []string{`9 - - ] "A" 1`, `9 - - [] "A" 1`, `9 - - \"A\" 1`, `9 - - [01/Jan/2026:00:00:06 +0000] "A\" 1`, `9 - - "A" [01/Jan/2026:00:00:06 +0000] 1`} {
		if l, ok := parseLine(text); ok {
			t.Errorf("%s became %+v", text, l)
		}
	}
}

// TestEscapes: a client is not lost by asking for what servers write in other words than pen.
func TestEscapes(t *testing.T) {
	dir := logs(t, map[string]string{
		"pen": told("c1", 0, "s", `GET /"a\b`) + told("c2", 0, "s", "GET /..") + told("c3", 0, "s", `GET /\x22`),
		"web": hit(0, `GET /\"a\\b`) + hit(0, `GET /\x22a\x5Cb`) + hit(0, `GET /\xc3\xa9`) + hit(0, `GET /\x22`),
	})
	out, errors, status := merged(t, dir, "-p", "pen", "s:web")
	var who []string
	for line := range strings.Lines(out) {
		who = append(who, strings.Fields(line)[0])
	}
	if status != 0 || !slices.Equal(who, []string{"c1", "c1", "c2", "c3"}) {
		t.Errorf("status %d: %s%s", status, out, errors)
	}
}

// TestLeftOut checks that what is no log line is reported, and kept with -r.
func TestLeftOut(t *testing.T) {
	long := strings.Repeat("x", 3*maxLine)
	bad := []string{"rubbish", `9 - - [01/Foo/2026:00:00:06 +0000] "A" 1`, `9 - - [01/Jan/2026:00:00:06 UTC] "A" 1`, `9 - - "A" 1`, ` 9 - - [01/Jan/2026:00:00:06] "A"`, long}
	dir := logs(t, map[string]string{
		"pen": "c s A\n" + told("c", 0, "s", "A") + "c x s A\nc 99999999999999 s A\nc\n",
		"web": hit(0, "A") + strings.Join(bad, "\n\n") + "\n" + hit(0, "B"),
	})
	out, errors, status := merged(t, dir, "-p", "pen", "-r", "rejects", "s:web")
	if got := clients(out); got != "c=A s=B" || status != 0 {
		t.Errorf("status %d: %s", status, got)
	}
	want := "mergelogs: pen:1: left out: \"c s A\"; expected: client unix-time server request\n" +
		"mergelogs: web:2: left out: \"rubbish\"; expected: client ... [02/Jan/2006:15:04:05 +0000] \"request\" ...\n" +
		"mergelogs: web: 6 lines left out\nmergelogs: pen: 4 lines left out\n"
	if errors != want {
		t.Errorf("\n got %s\nwant %s", errors, want)
	}
	rejects, err := os.ReadFile("rejects")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range append(bad, "c s A", "c x s A", "c 99999999999999 s A", "c") {
		if !strings.Contains("\n"+string(rejects), "\n"+line+"\n") {
			t.Errorf("%.60q is lost", line)
		}
	}
}

func TestUsage(t *testing.T) {
	dir := logs(t, map[string]string{"pen": "", "web": hit(0, "A")})
	for _, c := range []struct {
		args   string
		status int
		stderr string // how it begins
	}{
		{"", 2, "mergelogs: -p with pen's log is wanted\nusage: "},
		{"s:web", 2, "mergelogs: -p with pen's log is wanted\nusage: "},
		{"-p pen", 2, "mergelogs: a server:logfile is wanted\nusage: "},
		{"-p pen web", 2, `mergelogs: server:logfile is wanted, not "web"`},
		{"-p pen :web", 2, `mergelogs: server:logfile is wanted, not ":web"`},
		{"-p pen s:", 2, `mergelogs: server:logfile is wanted, not "s:"`},
		{"-p pen [::1]web", 2, `mergelogs: server:logfile is wanted, not "[::1]web"`},
		{"-q", 2, "mergelogs: unknown flag -q\nusage: "},
		{"-p pen -j x s:web", 2, `mergelogs: -j: "x": a number of seconds from 0 to `},
		{"-p pen -j -5 s:web", 2, `mergelogs: -j: "-5": a number`},
		{"-p pen -t 1h s:web", 2, `mergelogs: -t: "1h": a number`},
		{"-p none s:web", 1, "mergelogs: -p: open none: "},
		{"-p pen s:none", 1, "mergelogs: s: open none: "},
		{"-p pen s:.", 1, "mergelogs: .: read .: "},
		{"-p . s:web", 1, "mergelogs: .: read .: "},
		{"-p pen -r no/where s:web", 1, "mergelogs: -r: open no/where: "},
	} {
		stdout, stderr, status := merged(t, dir, strings.Fields(c.args)...)
		if status != c.status || !strings.HasPrefix(stderr, c.stderr) || stdout != "" {
			t.Errorf("mergelogs %s: status %d, stdout %q, stderr %q", c.args, status, stdout, stderr)
		}
	}
	if stdout, stderr, status := merged(t, dir, "--help"); status != 0 || stdout != usage || stderr != "" {
		t.Errorf("--help: %d %q, %q", status, stdout, stderr)
	}
}

// TestShift holds -t to the original's meaning: the offset of the zone in which it runs puts times right.
func TestShift(t *testing.T) {
	east := time.FixedZone("", 7200)
	at := time.Unix(first, 0)
	offset := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		offset *int64
		zone   *time.Location
		want   int64
	}{
		{nil, time.UTC, 0}, {nil, east, 0},
		{offset(0), time.UTC, 0}, {offset(3600), time.UTC, 3600},
		{offset(0), east, -7200}, {offset(7200), east, 0}, {offset(-1), east, -7201},
	} {
		o := options{offset: c.offset}
		if got := o.shift(c.zone)(at) - first; got != c.want {
			t.Errorf("%+v: shifted by %d", c, got)
		}
	}
}

// TestLikeTheOriginal merges logs by chance with both. The original shows the second line of a run an hour early (it
// reads memory that it has not set), so the first two are not compared; and it takes what its cache happens to hold for near
// enough, so all is near.
func TestLikeTheOriginal(t *testing.T) {
	const original = "/usr/bin/mergelogs"
	if _, err := exec.LookPath(original); err != nil {
		t.Skip("the original mergelogs is not installed (Debian's package pen)")
	}
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 1))
		var pen, one, two strings.Builder
		one.WriteString(hit(0, "filler") + hit(0, "filler"))
		for at := 1; at < 150; at++ {
			request := fmt.Sprintf("GET /%d HTTP/1.1", r.IntN(20))
			switch to := r.IntN(4); to {
			case 0, 1:
				pen.WriteString(told(fmt.Sprintf("10.0.9.%d", at), at, fmt.Sprintf("10.0.0.%d", to+1), request))
			case 2:
				one.WriteString(hit(at+r.IntN(2), request))
			case 3:
				two.WriteString(strings.Replace(hit(at+5400, request), "+0000", "+0130", 1))
			}
		}
		dir := logs(t, map[string]string{"pen": pen.String(), "one": one.String(), "two": two.String()})
		for _, flags := range []string{"", "-c"} {
			args := append(strings.Fields(flags), "-p", "pen", "10.0.0.1:one", "10.0.0.2:two")
			got, errors, status := merged(t, dir, args...)
			cmd := exec.Command(original, args...)
			cmd.Env = append(os.Environ(), "TZ=UTC")
			want, err := cmd.Output()
			if err != nil || status != 0 || errors != "" {
				t.Fatalf("%v; status %d, %s", err, status, errors)
			}
			if after(got, 2) != after(string(want), 2) {
				t.Errorf("seed %d %s: the original:\n%s\nours:\n%s", seed, flags, want, got)
			}
		}
	}
}

// after is what follows the first n lines.
func after(s string, n int) string {
	for range n {
		_, s, _ = strings.Cut(s, "\n")
	}
	return s
}

// FuzzLine reads what strangers have got into a web server's log: a line that is one comes out as it went in, but for the
// client, the blanks after it and the zone.
func FuzzLine(f *testing.F) {
	f.Add(hit(0, "GET / HTTP/1.1"))
	f.Add(`a [31/Dec/1969:23:59:59 -1200]""`)
	f.Add(`a [31/Dec/1969:23:59:52,9 -1200]""`)
	f.Add(`a [31/Dec/9999:12:00:00 -1200]""`)
	f.Add(`a - x [01/Jan/2000:00:00:00 +0000] \"b\" [31/Dec/1999:23:59:59 +0000] [ "GET /\"\\" "\`)
	f.Add(`a ]\[31/Dec/1999:23:59:59 +0000]\]""`)
	f.Fuzz(func(t *testing.T, text string) {
		l, ok := parseLine(text)
		if !ok {
			return
		}
		again, ok := parseLine(strings.TrimSuffix(l.format("c"), "\n"))
		if !ok || !again.at.Equal(l.at) || again.who != l.who || again.between != l.between || again.request != l.request || again.rest != l.rest {
			t.Errorf("%q became %q", text, l.format("c"))
		}
	})
}

// FuzzMerge merges any two files.
func FuzzMerge(f *testing.F) {
	f.Add([]byte(told("c", 0, "s", "A")), []byte(hit(0, "A")), int64(2))
	f.Add([]byte("c -9 s A\nc 9 s A\n"), []byte(`a [31/Dec/1969:23:59:59 -1200]"A"`), int64(0))
	f.Fuzz(func(t *testing.T, pen, web []byte, jitter int64) {
		dir := logs(t, map[string]string{"pen": string(pen), "web": string(web)})
		var out, errors bytes.Buffer
		args := []string{"-p", filepath.Join(dir, "pen"), "-j", fmt.Sprint(min(max(jitter, 0), secondsMax)), "s:" + filepath.Join(dir, "web")}
		if status := run(args, &out, &errors); status != 0 {
			t.Fatalf("status %d: %s", status, errors.String())
		}
		if n := bytes.Count(web, []byte("\n")) + 1; bytes.Count(out.Bytes(), []byte("\n")) > n {
			t.Errorf("%d lines became %q", n, out.String())
		}
	})
}
