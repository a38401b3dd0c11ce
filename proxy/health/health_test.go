package health

import (
	"testing"
	"time"
)

func TestState(t *testing.T) {
	for _, c := range []struct {
		results string // + good, - bad
		want    string // u up, d down, after each
		rule    Rule
	}{
		{"---", "uud", Rule{2, 3}},
		{"--+--+---", "uuuuuuuud", Rule{2, 3}},
		{"---++", "uuddu", Rule{2, 3}},
		{"---+-++", "uuddddu", Rule{2, 3}},
		{"-+-+", "dudu", Rule{1, 1}},
		{"+++", "uuu", Rule{1, 1}},
	} {
		var s State
		got := ""
		for i, r := range c.results {
			why := ""
			if r == '-' {
				why = "refused"
			}
			before := s.Down
			now := time.Unix(int64(i), 0)
			if changed := s.Note(why, time.Millisecond, now, c.rule); changed != (before != s.Down) || changed && !s.Since.Equal(now) {
				t.Errorf("%s: result %d: changed %v, since %v", c.results, i, changed, s.Since)
			}
			got += map[bool]string{false: "u", true: "d"}[s.Down]
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.results, got, c.want)
		}
	}
}

func TestStatuses(t *testing.T) {
	s, err := ParseStatuses("200-399,404")
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[int]bool{199: false, 200: true, 302: true, 399: true, 400: false, 404: true, 503: false} {
		if s.Good(code) != want {
			t.Errorf("%d: %v", code, !want)
		}
	}
	for _, bad := range []string{"", "x", "200-", "300-200", "99", "600", "200,,300", "200-300-400"} {
		if _, err := ParseStatuses(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
