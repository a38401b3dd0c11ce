package acl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func must(addr string) netip.Addr { return netip.MustParseAddr(addr) }

// prefixes are a set's, each with its line.
func (f *FileSet) prefixes() (list []string) {
	for _, p := range f.v4 {
		list = append(list, fmt.Sprintf("%s/%d:%d", addrOf(p.prefix().address, true), p.prefix().length(), p.prefix().tag()))
	}
	for _, p := range f.v6 {
		list = append(list, fmt.Sprintf("%s/%d:%d", addrOf(p.address, false), p.length(), p.tag()))
	}
	return list
}

func TestParseFile(t *testing.T) {
	tests := []struct {
		text string
		want string // PREFIX:LINE, sorted
	}{
		{"# nothing\r\n\r\n  \t#\n\n", ""},
		{"192.0.2.1", "192.0.2.1/32:1"},
		{"\t192.0.2.0/24 # office\r\n2001:DB8::/32\r\n", "192.0.2.0/24:1 2001:db8::/32:2"},
		{"::1\n0.0.0.0/0\n10.0.0.1\n::/0", "0.0.0.0/0:2 ::/0:4"},
		{"10.0.0.1\n10.0.0.0/8\n\n10.0.0.0/8\n11.0.0.0/8\n10.255.255.255\n", "10.0.0.0/8:2 11.0.0.0/8:5"},
		{"::ffff:192.0.2.1\n::ffff:c000:200/120\n::ffff:0:0/97", "0.0.0.0/1:3 192.0.2.0/24:2"},
		{"::/64\n2001:db8::1:0:0\n2001:db8::1:0:0/112\n1:2:3:4:5:6:7:8#x", "::/64:1 1:2:3:4:5:6:7:8/128:4 2001:db8::1:0:0/112:3"},
	}
	for _, tt := range tests {
		set, err := ParseFile("list", iotest.OneByteReader(strings.NewReader(tt.text)))
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if got := strings.Join(set.prefixes(), " "); got != tt.want || set.Len() != len(strings.Fields(tt.want)) || set.Name() != "list" {
			t.Errorf("%q: got %d, %s, want %s", tt.text, set.Len(), got, tt.want)
		}
	}
}

func TestParseFileErrors(t *testing.T) {
	const form = `is not an address or a prefix: expected one a line, as 192.0.2.0/24 or 2001:db8::/32`
	tests := []struct{ text, want string }{
		{"192.0.2.1\n\nx\n", `list:3: "x" ` + form},
		{"192.0.2.1 192.0.2.2", `list:1: "192.0.2.1 192.0.2.2" ` + form},
		{"192.0.2.1 255.255.255.0", form},
		{"192.0.2.256", form},
		{"192.0.2", form},
		{"192.0.2.01", form},
		{"192.0.2.0/33", form},
		{"192.0.2.0/", form},
		{"192.0.2.0/024", form},
		{"192.0.2.0/+8", form},
		{"2001:db8::/129", form},
		{"2001:db8", form},
		{"fe80::1%eth0", form},
		{"fe80::/10%eth0", form},
		{"192.0.2.0-192.0.2.9", form},
		{"\xef\xbb\xbf192.0.2.0", form},
		{"192.0.2.1/24", "list:1: 192.0.2.1/24 has bits outside its prefix: expected 192.0.2.0/24"},
		{"# a\n2001:db8::1/32", "list:2: 2001:db8::1/32 has bits outside its prefix: expected 2001:db8::/32"},
		{"::ffff:192.0.2.0/95", "has bits outside its prefix: expected ::fffe:0:0/95"},
		{"#" + strings.Repeat("a", maxLine), "list:1: a line of more than 4096 bytes"},
		{strings.Repeat("1", 1<<17), "list:1: a line of more than 4096 bytes"},
		{strings.Repeat("1", 200), `"` + strings.Repeat("1", 100) + `…" is not`},
		{"\x00\xff", `"\x00\xff" is not`},
	}
	for _, tt := range tests {
		if set, err := ParseFile("list", strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) || set != nil {
			t.Errorf("%q: got %v, want an error with %s", tt.text, err, tt.want)
		}
	}
	if _, err := ParseFile("list", io.MultiReader(strings.NewReader("192.0.2.1\n192.0.2.2"), iotest.ErrReader(errors.New("broken")))); err == nil || err.Error() != "list:2: broken" {
		t.Errorf("a broken reader: got %v", err)
	}
}

func TestFilesHaveAnEnd(t *testing.T) {
	if set, err := parseLines("list", strings.NewReader("::1\n::1\n::1\n"), 3); err != nil || set.Len() != 1 {
		t.Errorf("3 lines: %v", err)
	}
	if _, err := parseLines("list", strings.NewReader("#\n#\n#\n#"), 3); err == nil || err.Error() != "list has more than 3 lines" {
		t.Errorf("one more: %v", err)
	}
}

// manyLines are n different addresses in no order.
func manyLines(n int, v6 bool) *heapMeter {
	var text bytes.Buffer
	rng := rand.New(rand.NewPCG(11, 12))
	for i := range n {
		scattered := uint32(i) * 2654435761 // odd, hence different for each i
		if v6 {
			fmt.Fprintf(&text, "2a0%x:%x:%x:%x::%x/128\n", rng.IntN(16), rng.IntN(1<<16), scattered>>16, scattered&0xffff, rng.IntN(1<<16))
			continue
		}
		fmt.Fprintf(&text, "%d.%d.%d.%d\n", scattered>>24, scattered>>16&255, scattered>>8&255, scattered&255)
	}
	return &heapMeter{r: &text}
}

// heapMeter notes how much memory there is while it is read from.
type heapMeter struct {
	r    io.Reader
	peak uint64
}

func (m *heapMeter) Read(p []byte) (int, error) {
	m.note()
	return m.r.Read(p)
}

func (m *heapMeter) note() {
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	m.peak = max(m.peak, now.HeapAlloc)
}

func TestAMillionLines(t *testing.T) {
	n := 1_000_000
	if raceDetector { // which takes many times the time and memory
		n = 10_000
	}
	for _, v6 := range []bool{false, true} {
		lines := manyLines(n, v6)
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		set, err := ParseFile("million", lines)
		took := time.Since(start)
		lines.note()
		if err != nil || set.Len() != n {
			t.Fatalf("IPv6 %t: %v", v6, err)
		}
		used := (max(lines.peak, before.HeapAlloc) - before.HeapAlloc) >> 20
		t.Logf("IPv6 %t: %v, at most %d MiB", v6, took, used)
		if used > 64 {
			t.Errorf("IPv6 %t: %d MiB were used, expected at most 64", v6, used)
		}
		if took > 2*time.Second {
			t.Errorf("IPv6 %t: took %v, expected at most 2 s", v6, took)
		}
	}
}

// FuzzParseAddress holds the reader of addresses to netip's.
func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{
		"", "0.0.0.0", "255.255.255.255", "01.2.3.4", "1.2.3", "1.2.3.4.5", "::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8",
		"1:2:3:4::5:6:7:8", "1::2::3", ":1", "1:", ":::", "12345::", "abcd:EF01::", "::ffff:1.2.3.4", "fe80::1%eth0", "g::", "1.2.3.4/8", "::/0", "::ffff:1.2.3.0/120", "1::/128", "1.2.3.4/",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := parseAddress([]byte(text))
		want, err := netip.ParseAddr(text)
		if wantOK := err == nil && want.Zone() == ""; ok != wantOK || ok && got != want {
			t.Errorf("%q: got %s, %t, want %s, %v", text, got, ok, want, err)
		}
		p, is4, ok := parseLine([]byte(text))
		prefix, err := netip.ParsePrefix(text)
		if want.IsValid() && want.Zone() == "" {
			prefix, err = netip.PrefixFrom(want, want.BitLen()), nil
		}
		if ok != (err == nil) {
			t.Fatalf("%q: line is read: %t, want %v", text, ok, err)
		}
		if !ok {
			return
		}
		if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		if got := netip.PrefixFrom(addrOf(p.address, is4), p.length()); got != prefix || p.isMasked() != (prefix == prefix.Masked()) {
			t.Errorf("%q: got %s, masked %t, want %s", text, got, p.isMasked(), prefix)
		}
	})
}

// FuzzParseFile holds sets to a plain loop over the lines.
func FuzzParseFile(f *testing.F) {
	f.Add([]byte("192.0.2.0/24 # office\r\n\n2001:db8::/32\n"), []byte("\xc0\x00\x02\x01"))
	f.Add([]byte("10.0.0.0/8\n10.1.0.0/16\n10.1.1.1\n11.0.0.0/8"), []byte("\x0a\x01\x01\x01"))
	f.Add([]byte("::ffff:10.0.0.0/104\n::/0\n1::/16"), []byte("\x00\x01aaaaaaaaaaaaaa"))
	f.Add([]byte("192.0.2.1/24\n"), []byte("aaaa"))
	f.Add([]byte("1.2.3.4 x\n\x00"), []byte("aaaa"))
	f.Fuzz(func(t *testing.T, text, client []byte) {
		if len(text) > 1<<16 {
			return
		}
		set, err := ParseFile("list", bytes.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "list:") {
				t.Errorf("%q: no line in %v", text, err)
			}
			return
		}
		addr, ok := netip.AddrFromSlice(client)
		if !ok {
			return
		}
		held, holds := set.holds(text, addr.Unmap())
		got, line, found := set.find(addr)
		if found != holds || found && (got.Bits() != held.Bits() || !got.Contains(addr.Unmap()) || line > bytes.Count(text, []byte("\n"))+1) {
			t.Errorf("%q: %s: got %s, line %d, %t, want %s, %t", text, addr, got, line, found, held, holds)
		}
		o := Options{Files: func(string) (*FileSet, error) { return set, nil }}
		compiled, err := CompileWith(List{{Permit: true, File: "list"}}, o)
		if err != nil || compiled.Permit(addr) != holds {
			t.Errorf("%q: %s: permitted %t, %v, want %t", text, addr, !holds, err, holds)
		}
	})
}

// holds finds the widest prefix in a file, which has no errors, that holds an
// address, line by line.
func (f *FileSet) holds(text []byte, addr netip.Addr) (widest netip.Prefix, ok bool) {
	for line := range strings.SplitSeq(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.Trim(line, " \t\r")
		p, err := netip.ParsePrefix(line)
		if err != nil {
			single, _ := netip.ParseAddr(line)
			p = netip.PrefixFrom(single, single.BitLen())
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.Contains(addr) && (!ok || p.Bits() < widest.Bits()) {
			widest, ok = p, true
		}
	}
	return widest, ok
}

func TestFilesInLists(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for path := range 50 {
		name := fmt.Sprint(path)
		set, err := setOf(name)
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			addr := randomAddr(rng)
			want := slices.ContainsFunc(contentOf(name), func(p netip.Prefix) bool { return p.Contains(addr) })
			if p, line, got := set.find(addr); got != want || got && (!p.Contains(addr) || contentOf(name)[line-1] != p) {
				t.Fatalf("file %s: %s: got %s, line %d, %t, want %t", name, addr, p, line, got, want)
			}
		}
	}
}

func BenchmarkParseFile(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		var text bytes.Buffer
		if _, err := text.ReadFrom(manyLines(1_000_000, v6).r); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("IPv6 %t", v6), func(b *testing.B) {
			for b.Loop() {
				if _, err := ParseFile("million", bytes.NewReader(text.Bytes())); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
