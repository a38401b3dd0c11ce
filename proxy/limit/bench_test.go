package limit

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// some are the limits of the benchmarks: nobody there reaches them.
var some = Config{Concurrent: 1 << 20, PerSecond: 1e8, Burst: 1 << 30, Failures: 1e6}

// v6 is an address for each number: the lowest bits choose the /48.
func v6(n uint32) netip.Addr {
	b := [16]byte{0x20, 1}
	binary.LittleEndian.PutUint32(b[2:], n)
	return netip.AddrFrom16(b)
}

// v4 is an IPv4 address for each number.
func v4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// BenchmarkOff is a connection that comes and goes where there is no limit.
func BenchmarkOff(b *testing.B) {
	table, addr, now := New(Config{}, time.Now()), v4(1), time.Now()
	b.ReportAllocs()
	for range b.N { // Loop would keep Enter from being inlined
		k, v := table.Enter(addr, now)
		if v.Reason == OK {
			k.Leave()
		}
	}
}

// BenchmarkEnter is a connection that comes and goes, of one of 4096 clients or of
// a million that the table cannot hold.
func BenchmarkEnter(b *testing.B) {
	for _, bench := range []struct {
		name   string
		config Config
		addr   func(uint32) netip.Addr
		n      uint32
	}{
		{"v4", some, v4, 4096},
		{"v6", some, v6, 4096},
		{"strangers", some, v4, 1 << 30},
	} {
		b.Run(bench.name, func(b *testing.B) {
			now := time.Now()
			table := New(bench.config, now)
			addrs := make([]netip.Addr, min(bench.n, 1<<20))
			for i := range addrs {
				addrs[i] = bench.addr(uint32(i))
			}
			var who atomic.Uint32
			b.ReportAllocs()
			b.SetParallelism(1)
			b.RunParallel(func(pb *testing.PB) {
				i := who.Add(1) << 19
				for pb.Next() {
					i++
					k, v := table.Enter(addrs[i%uint32(len(addrs))], now)
					if v.Reason != OK {
						b.Error(v)
					}
					k.Leave()
				}
			})
		})
	}
}

func BenchmarkBudget(b *testing.B) {
	for name, config := range map[string]Config{"off": {}, "on": {Handshakes: 100, HandshakesPerSecond: 1e9}} {
		b.Run(name, func(b *testing.B) {
			budget := NewBudget(config)
			b.ReportAllocs()
			for b.Loop() {
				turn, err := budget.Acquire(b.Context(), time.Time{})
				if err != nil {
					b.Fatal(err)
				}
				turn.Done(true)
			}
		})
	}
}
