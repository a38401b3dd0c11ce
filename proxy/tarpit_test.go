package proxy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// stranger is a connection that notes when it was closed.
type stranger struct{ closed time.Time }

func (s *stranger) Close() error {
	s.closed = time.Now()
	return nil
}

func TestTarpit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var pit tarpit
		pit.resize(2)
		go pit.run(ctx)
		begin := time.Now()
		var first, second, third, fourth, last stranger
		if !pit.hold(&first) {
			t.Fatal("an empty tarpit holds nobody")
		}
		time.Sleep(time.Minute)
		if !pit.hold(&second) || pit.hold(&third) {
			t.Error("two that may be held are not held, or three are")
		}
		time.Sleep(time.Minute + 2*time.Second)
		synctest.Wait()
		if held := first.closed.Sub(begin); held < tarpitTime || held > tarpitTime+time.Second {
			t.Errorf("the first was held for %v", held)
		}
		if !second.closed.IsZero() {
			t.Error("the second was let go too early")
		}
		if !pit.hold(&third) {
			t.Error("the place of one that was let go is not free")
		}
		pit.resize(1)
		if pit.hold(&fourth) {
			t.Error("more are held than may be now")
		}
		cancel()
		synctest.Wait()
		if second.closed.IsZero() || !third.closed.Equal(time.Now()) || !fourth.closed.IsZero() {
			t.Errorf("at the end: %v %v %v", second.closed, third.closed, fourth.closed)
		}
		pit.resize(10)
		if pit.hold(&last) {
			t.Error("one is held after the end, whom nobody lets go")
		}
	})
}
