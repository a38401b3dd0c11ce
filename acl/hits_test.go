package acl

import (
	"slices"
	"sync"
	"testing"
)

func TestHits(t *testing.T) {
	compiled := compile(t, list(t, "permit 127.0.0.1;deny sni a.example;deny 10.0.0.0/8"), nil)
	for _, addr := range []string{"127.0.0.1", "127.0.0.1", "::1", "10.0.0.1"} {
		compiled.Judge(&Client{Addr: must(addr)}, Address) // of ::1 and 10.0.0.1 nothing can be said yet
		compiled.Judge(&Client{Addr: must(addr)}, Hello)
	}
	if got, want := compiled.Hits(), []uint64{4, 0, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var nobody *Compiled
	nobody.Inherit(compiled)
	compiled.Inherit(nil)
	if got := nobody.Hits(); got != nil {
		t.Errorf("nil list: %v", got)
	}
}

func TestInherit(t *testing.T) {
	old := compile(t, list(t, "permit 127.0.0.1;deny 10.0.0.0/8;deny 10.0.0.0/8"), nil)
	ask := func(l *Compiled) {
		for _, addr := range []string{"127.0.0.1", "127.0.0.1", "10.0.0.1", "::1"} {
			l.Permit(must(addr))
		}
	}
	ask(old)
	tests := []struct {
		list string
		want []uint64 // after ask
	}{
		{"permit 127.0.0.1;deny 10.0.0.0/8;deny 10.0.0.0/8", []uint64{4, 2, 0, 2}},
		{"deny 10.0.0.0/8;permit 127.0.0.1;deny ::2", []uint64{2, 4, 0, 2}},
		{"deny 10.0.0.0 255.0.0.0;permit 127.0.0.1", []uint64{2, 4, 1}}, // the default is another one
		{"permit 10.0.0.0/8;deny 127.0.0.1", []uint64{1, 2, 2}},
		{"permit 127.0.0.1;permit 127.0.0.1;deny ::1", []uint64{4, 0, 1, 2}},
	}
	for _, tt := range tests {
		from := compile(t, old.list, nil)
		ask(from)
		to := compile(t, list(t, tt.list), nil)
		to.Inherit(from)
		ask(to)
		if got := to.Hits(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.list, got, tt.want)
		}
	}
}

// TestNoHitIsLost has a list asked while one that is the same takes over from it.
func TestNoHitIsLost(t *testing.T) {
	const rounds = 2000
	l := list(t, "permit 127.0.0.1;deny all")
	old, next := compile(t, l, nil), compile(t, l, nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range rounds {
			old.Permit(local)
		}
	})
	next.Inherit(old)
	for range rounds {
		next.Permit(local)
	}
	wg.Wait()
	if got := next.Hits(); !slices.Equal(got, []uint64{2 * rounds, 0, 0}) {
		t.Errorf("got %v", got)
	}
}

// BenchmarkContention is the worst case: all goroutines count the same entry.
func BenchmarkContention(b *testing.B) {
	compiled := compile(b, list(b, "permit 127.0.0.1;deny all"), nil)
	b.Run("alone", func(b *testing.B) {
		c := Client{Addr: local}
		for b.Loop() {
			compiled.Judge(&c, Address)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			c := Client{Addr: local}
			for pb.Next() {
				compiled.Judge(&c, Address)
			}
		})
	})
}
