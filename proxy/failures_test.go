package proxy

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestFailuresAreRecordedWithinLimits: a burst is cut short, the next record says how many were left out, and after a while all are
// recorded again.
func TestFailuresAreRecordedWithinLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		f := newFailures(slog.New(slog.NewTextHandler(&b, nil)))
		for range failuresAtOnce + 100 {
			f.record("192.0.2.1", "443", errors.New("bad"))
		}
		if got := strings.Count(b.String(), "handshake failed"); got != failuresAtOnce {
			t.Errorf("%d of a burst are recorded, want %d", got, failuresAtOnce)
		}
		time.Sleep(time.Second)
		b.Reset()
		for range 2 * failuresPerSecond {
			f.record("192.0.2.1", "443", errors.New("bad"))
		}
		if got := strings.Count(b.String(), "handshake failed"); got != failuresPerSecond || !strings.Contains(b.String(), "unrecorded=100") {
			t.Errorf("%d are recorded a second later:\n%s", got, b.String())
		}
		time.Sleep(time.Hour)
		b.Reset()
		for range 2 * failuresAtOnce {
			f.record("192.0.2.1", "443", errors.New("bad"))
		}
		if got := strings.Count(b.String(), "handshake failed"); got != failuresAtOnce {
			t.Errorf("%d are recorded an hour later, want %d", got, failuresAtOnce)
		}
	})
}

// TestUnreadFailuresTakeNoPlace: who looks whether the port is open, as health checks do several times a second, is recorded at a level that
// most do not read, and then leaves the records to others.
func TestUnreadFailuresTakeNoPlace(t *testing.T) {
	var b bytes.Buffer
	f := newFailures(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelWarn})))
	for range 2 * failuresAtOnce {
		f.record("192.0.2.1", "443", io.EOF)
	}
	f.record("192.0.2.2", "443", errors.New("bad"))
	if got := b.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "client=192.0.2.2") || strings.Contains(got, "unrecorded") {
		t.Errorf("recorded:\n%s", got)
	}
}
