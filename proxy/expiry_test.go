package proxy

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"edgepen/certs"
)

// TestCertificatesThatEndSoonAreNamed: in the last fortnight, or the last quarter of a shorter life.
func TestCertificatesThatEndSoonAreNamed(t *testing.T) {
	var b bytes.Buffer
	p := New(slog.New(slog.NewTextHandler(&b, nil)), new(slog.LevelVar))
	set, err := certs.NewStore().Load(certs.Source{SelfSigned: "a.example"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p.now.Store(&snapshot{certs: set})
	end := set.Default[0].Leaf().NotAfter
	for _, tt := range []struct {
		left time.Duration
		want bool
	}{{15 * 24 * time.Hour, false}, {13 * 24 * time.Hour, true}, {-time.Hour, true}} {
		b.Reset()
		p.warnOfExpiry(end.Add(-tt.left))
		if got := strings.Contains(b.String(), "names=a.example source=self-signed"); got != tt.want {
			t.Errorf("%v before its end: %q", tt.left, b.String())
		}
	}
}
