package main

import (
	"strings"
	"testing"
)

// sampleReport holds W5 with figures, W9 where edgepen failed once, and W7 where no peer has a figure.
func sampleReport(t *testing.T) *report {
	t.Helper()
	ws, err := selectWorkloads("W5,W7,W9")
	if err != nil {
		t.Fatal(err)
	}
	mine, pen, nginx := contender{name: edgepen}, contender{name: "pen", peer: true}, contender{name: "nginx", peer: true}
	r := &report{
		Date: "2026-11-22T09:00:00Z", Kernel: "Linux 6.1", CPUs: 2, Go: "go1.26", Command: "compare -rounds 3", Rounds: 3, Duration: "800ms",
		Versions: map[string]string{"nginx": "nginx/1.22"}, Missing: []string{"haproxy"},
		contenders: []contender{mine, pen, nginx}, workloads: ws,
	}
	for _, f := range []float64{12, 9, 11} {
		r.add(ws[0], mine, sample{Figure: f, TLS: "TLS 1.3, X25519"})
		r.add(ws[0], pen, sample{Figure: f + 5, TLS: "TLS 1.3, P256"})
		r.add(ws[0], nginx, sample{Figure: f - 1, TLS: "TLS 1.3, X25519"})
	}
	r.add(ws[1], mine, sample{Figure: 5})
	r.add(ws[1], pen, sample{Error: "not offered"})
	r.add(ws[2], mine, sample{Figure: 0.25})
	r.add(ws[2], mine, sample{Error: "3 errors | the first: EOF\nmore"})
	r.add(ws[2], pen, sample{Figure: 0.5})
	return r
}

func TestMarkdown(t *testing.T) {
	const want = `# edgepen and its peers, side by side

2026-11-22T09:00:00Z, Linux 6.1, 2 CPUs, go1.26; rounds: 3 of 800ms

    compare -rounds 3

- nginx: nginx/1.22
- not installed: haproxy

Median of the rounds (lowest–highest). Lower is better; under about 10 % is a tie.

| workload | unit | edgepen | pen | nginx | edgepen / best peer |
| --- | --- | --- | --- | --- | --- |
| W5 HTTPS keep-alive request with X-Forwarded-For | CPU µs / request | 11.0 (9.00–12.0) | 16.0 (14.0–17.0) | 10.0 (8.00–11.0) | 1.10 (nginx) |
| W7 the same request through plain TCP | CPU µs / request | 5.00 (5.00–5.00) | – | – | – |
| W9 bulk download over plain TCP | CPU s / GB | – | 0.500 (0.500–0.500) | – | – |

## No figure

- pen: not offered (W7)
- edgepen: 3 errors \| the first: EOF more (W9)

## Negotiated

- edgepen: TLS 1.3, X25519 (W5)
- pen: TLS 1.3, P256 (W5)
- nginx: TLS 1.3, X25519 (W5)
`
	if got := sampleReport(t).markdown(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestJudge(t *testing.T) {
	rep := sampleReport(t)
	tests := []struct {
		limits string
		want   []string // parts of the error, in order
	}{
		{"W5<=1.2", nil},
		{"W5<=1.1", nil},
		{"W5 <= 1.05", []string{"W5: edgepen uses 1.10 times the best peer's, the limit is 1.05"}},
		{"W9<=0.85,W5<=1,W7<=1,W8<=1", []string{
			"W9: edgepen has no figure: 3 errors", "W5: edgepen uses 1.10", "W7: no peer has a figure", "W8: edgepen was not measured"}},
	}
	for _, tt := range tests {
		limits, err := parseLimits(tt.limits)
		if err != nil {
			t.Fatal(err)
		}
		text := errorText(judge(limits, rep))
		if (text == "") != (tt.want == nil) {
			t.Errorf("%s: %q", tt.limits, text)
		}
		for _, part := range tt.want {
			_, rest, ok := strings.Cut(text, part)
			if !ok {
				t.Errorf("%s: %q lacks %q", tt.limits, text, part)
			}
			text = rest
		}
	}
}

func TestParseLimitsRefuses(t *testing.T) {
	for _, bad := range []string{"", "W1", "W1<=", "<=1", "W1<=0", "W1<=-1", "W1<=NaN", "W1<=Inf", "W1<=1,", "W1=1"} {
		if got, err := parseLimits(bad); err == nil {
			t.Errorf("%q: %v, want an error", bad, got)
		}
	}
}
