package health

import "testing"

// TestStanding: results, g for good and b for bad, and after each whether the server is up or down.
func TestStanding(t *testing.T) {
	tests := []struct {
		name       string
		rise, fall int
		results    string
		want       string // u or d
	}{
		{"up until fall checks have failed", 2, 3, "bbbb", "uudd"},
		{"down until rise checks were good", 2, 3, "bbbggg", "uudduu"},
		{"flapping never gets there", 2, 3, "bbgbbgbg", "uuuuuuuu"},
		{"flapping keeps it down", 3, 2, "bbggbggbg", "udddddddd"},
		{"one each", 1, 1, "bgbg", "dudu"},
		{"the count begins anew after a change", 2, 2, "bbggbgbb", "udduuuud"},
		{"good from the beginning", 1, 1, "ggg", "uuu"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s Standing
			if s.String() != "unknown" || s.Down {
				t.Error("nobody has checked it")
			}
			got := ""
			for _, r := range tt.results {
				was := s.Down
				next, changed := s.After(r == 'g', tt.rise, tt.fall)
				if changed != (was != next.Down) || !next.Checked {
					t.Errorf("after %s: changed is %v, of %v", got, changed, next)
				}
				s = next
				got += map[bool]string{false: "u", true: "d"}[s.Down]
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestThresholdsMayChangeMeanwhile: what has been counted counts under the new ones.
func TestThresholdsMayChangeMeanwhile(t *testing.T) {
	var s Standing
	s, _ = s.After(false, 1, 9)
	s, _ = s.After(false, 1, 9)
	if s, changed := s.After(false, 1, 2); !changed || s.String() != "down" {
		t.Errorf("%v, %v", s, changed)
	}
}

func TestStatuses(t *testing.T) {
	var s Statuses
	if s.String() != "" || s.Has(200) {
		t.Error("the zero set has members")
	}
	s.Add(200, 399)
	s.Add(401, 401)
	s.Add(100, 101)
	s.Add(598, 599)
	if got := s.String(); got != "100-101,200-399,401,598-599" {
		t.Error(got)
	}
	for n, want := range map[int]bool{-1: false, 99: false, 100: true, 102: false, 199: false, 200: true, 399: true, 400: false, 401: true, 599: true, 600: false, 700: false, 1 << 40: false} {
		if s.Has(n) != want {
			t.Errorf("%d is %v", n, !want)
		}
	}
	if d := Defaults(); d.Kind != Off || d.Statuses.String() != "200-399" {
		t.Errorf("%+v", d)
	}
}
