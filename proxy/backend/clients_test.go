package backend

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

func v4(n int) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(n))
	return netip.AddrFrom4(a)
}

// at is a time n seconds into a test.
func at(n int) time.Time { return testNow.Add(time.Duration(n) * time.Second) }

func addrs(infos []ClientInfo) (list []string) {
	for _, info := range infos {
		list = append(list, info.Addr.String())
	}
	return list
}

func TestVisitRemembers(t *testing.T) {
	table := NewClients(10)
	c := table.Visit(client1, at(0), 0)
	if c.Last() != -1 || c.Addr() != client1 || c.Connects() != 1 {
		t.Fatalf("new client: last %d, address %s, connects %d", c.Last(), c.Addr(), c.Connects())
	}
	c.SetLast(3)
	c.AddSent(5)
	c.AddReceived(7)
	if again := table.Visit(client1, at(1e6), 0); again != c {
		t.Error("known client: got another entry")
	}
	want := []ClientInfo{{Addr: client1, Age: 2 * time.Second, Last: 3, Connects: 2, Sent: 5, Received: 7}}
	if got := table.Recent(at(1e6+2), time.Minute); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestVisitForgetsAfterTrackingTime(t *testing.T) {
	table := NewClients(10)
	table.Visit(client1, at(0), time.Minute).SetLast(1)
	if got := table.Visit(client1, at(59), time.Minute).Last(); got != 1 {
		t.Errorf("after 59 s: last %d, want 1", got)
	}
	old := table.Visit(client1, at(118), time.Minute)
	if old.Last() != 1 {
		t.Errorf("59 s after the second visit: last %d, want 1", old.Last())
	}
	c := table.Visit(client1, at(178), time.Minute)
	if c.Last() != -1 || c.Connects() != 1 || c == old {
		t.Errorf("60 s later: last %d, connects %d, want a fresh entry", c.Last(), c.Connects())
	}
	if table.Len() != 1 {
		t.Errorf("%d clients, want 1", table.Len())
	}
}

func TestExpiredSlotIsUsedAgain(t *testing.T) {
	table := NewClients(10)
	for i := range 3 {
		table.Visit(v4(i+1), at(i), time.Minute)
	}
	table.Visit(v4(9), at(61), time.Minute)
	want := []string{"0.0.0.9", "0.0.0.2", "0.0.0.3"}
	if got := addrs(table.Recent(at(61), time.Hour)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// As "recent" of pen 0.34.1 -c 4 prints it.
func TestFullTableForgetsTheLeastRecentlyUsed(t *testing.T) {
	table := NewClients(4)
	clock := 0
	visit := func(ns ...int) {
		for _, n := range ns {
			clock++
			table.Visit(v4(n), at(clock), 0)
		}
	}
	visit(5, 3, 9, 3, 2, 5)
	for _, tt := range []struct {
		newcomer int
		want     []string
	}{
		{77, []string{"0.0.0.5", "0.0.0.3", "0.0.0.77", "0.0.0.2"}},
		{78, []string{"0.0.0.5", "0.0.0.78", "0.0.0.77", "0.0.0.2"}},
	} {
		visit(tt.newcomer)
		if got := addrs(table.Recent(at(clock), time.Hour)); !slices.Equal(got, tt.want) {
			t.Errorf("after %d: got %v, want %v", tt.newcomer, got, tt.want)
		}
	}
}

// A forgotten client's connections go on; what they count must not reach the
// client that has its slot now.
func TestForgottenClientDoesNotTouchItsSuccessor(t *testing.T) {
	table := NewClients(1)
	old := table.Visit(v4(1), at(0), 0)
	heir := table.Visit(v4(2), at(1), 0)
	old.SetLast(4)
	old.AddSent(10)
	if heir.Last() != -1 || heir.Sent() != 0 || heir.Addr() != v4(2) {
		t.Errorf("successor: last %d, sent %d, address %s", heir.Last(), heir.Sent(), heir.Addr())
	}
}

// The table against a plain list of addresses, newest last.
func TestClientsAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const size = 50
	table := NewClients(size)
	var model []netip.Addr
	for i := range 20000 {
		addr := v4(rng.IntN(2*size) + 1)
		pos := slices.Index(model, addr)
		c := table.Visit(addr, at(i), 0)
		if known := c.Connects() > 1; known != (pos >= 0) {
			t.Fatalf("visit %d of %s: known %t, want %t", i, addr, known, pos >= 0)
		}
		if pos >= 0 {
			model = slices.Delete(model, pos, pos+1)
		} else if len(model) == size {
			model = model[1:]
		}
		model = append(model, addr)
		if table.Len() != len(model) {
			t.Fatalf("visit %d: %d clients, want %d", i, table.Len(), len(model))
		}
	}
}

func TestGrowNeverShrinks(t *testing.T) {
	table := NewClients(0)
	for _, tt := range []struct{ to, want int }{{0, 1}, {5, 5}, {3, 5}, {-1, 5}, {6, 6}} {
		if got := table.Grow(tt.to); got != tt.want || table.Max() != tt.want {
			t.Errorf("Grow(%d): got %d, Max %d, want %d", tt.to, got, table.Max(), tt.want)
		}
	}
}

func TestClientAddresses(t *testing.T) {
	table := NewClients(10)
	for _, tt := range []struct{ addr, want string }{
		{"192.0.2.1", "192.0.2.1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"2001:db8::1", "2001:db8::1"},
		{"fe80::1%eth0", "fe80::1"},
	} {
		if got := table.Visit(netip.MustParseAddr(tt.addr), at(0), 0).Addr().String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.addr, got, tt.want)
		}
	}
	unix := table.Visit(netip.Addr{}, at(0), 0)
	if unix.Addr().IsValid() {
		t.Errorf("Unix peer: got %s, want the zero Addr", unix.Addr())
	}
	if table.Visit(netip.Addr{}, at(0), 0) != unix {
		t.Error("Unix peers are more than one client")
	}
}

func TestRecentLooksAtTheAge(t *testing.T) {
	const n = 3 * chunkLen
	table := NewClients(n)
	for i := range n {
		table.Visit(v4(i+1), at(i), 0)
	}
	got := table.Recent(at(n-1), (chunkLen+10)*time.Second)
	if len(got) != chunkLen+11 || got[0].Addr != v4(n-chunkLen-10) {
		t.Errorf("got %d clients from %v, want %d", len(got), got[:1], chunkLen+11)
	}
	if got := NewClients(1).Recent(at(0), time.Hour); got != nil {
		t.Errorf("empty table: got %v", got)
	}
}

func TestClientsConcurrently(t *testing.T) {
	table := NewClients(100)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 1000 {
				c := table.Visit(v4((g*1000+i)%150+1), time.Now(), time.Minute)
				c.SetLast(g)
				c.AddSent(1)
				if i%100 == 0 {
					table.Recent(time.Now(), time.Hour)
				}
			}
		})
	}
	wg.Wait()
	if table.Len() != 100 {
		t.Errorf("%d clients, want 100", table.Len())
	}
}

func TestVisitOfKnownClientDoesNotAllocate(t *testing.T) {
	table := NewClients(100)
	for i := range 100 {
		table.Visit(v4(i+1), at(0), time.Hour)
	}
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		i++
		table.Visit(v4(i%100+1), at(0), time.Hour)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkVisit(b *testing.B) {
	for _, n := range []int{1000, 1000000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := NewClients(n)
			for i := range n {
				table.Visit(v4(i+1), at(0), time.Hour)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				table.Visit(v4(rng.IntN(n)+1), at(1), time.Hour)
			}
		})
	}
}

func BenchmarkVisitNew(b *testing.B) {
	const n = 1000000
	table := NewClients(n)
	for i := range n {
		table.Visit(v4(i+1), at(0), 0)
	}
	i := n
	b.ReportAllocs()
	for b.Loop() {
		i++
		table.Visit(v4(i), at(1), 0)
	}
}

// TestUnsettle: a server that could not be connected to is not the client's, unless it is by now.
func TestUnsettle(t *testing.T) {
	c := NewClients(1).Visit(netip.MustParseAddr("192.0.2.1"), time.Now(), 0)
	c.SetLast(5)
	if c.Unsettle(3); c.Last() != 5 {
		t.Errorf("on server %d, want 5", c.Last())
	}
	if c.Unsettle(5); c.Last() != -1 {
		t.Errorf("on server %d, want none", c.Last())
	}
}
