package backend

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	testNow = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	client1 = netip.MustParseAddr("127.0.0.1")
)

// farm is a Set under test whose servers are called a, b, c …, the emergency
// server E and the abuse server B.
type farm struct {
	*Set
	denied denials
}

// denials are the access lists that deny everybody.
type denials map[int]bool

func (d denials) Permit(list int) bool { return !d[list] }

// Candidates asks the farm's lists about every client.
func (f farm) Candidates(r Request) iter.Seq[*Server] {
	r.Lists = f.denied
	return f.Set.Candidates(r)
}

func newFarm(mode Mode, specs ...Spec) farm {
	f := farm{denied: denials{}}
	c := SetConfig{Mode: mode}
	for i, spec := range specs {
		c.Servers = append(c.Servers, &Server{Index: i, Spec: spec, State: new(State)})
	}
	f.Set = NewSet(c)
	return f
}

// plain is n servers with a port and nothing else.
func plain(n int) []Spec { return slices.Repeat([]Spec{{Port: 80}}, n) }

func (f farm) withEmergency(spec Spec) farm {
	f.Emergency = &Server{Index: -1, Spec: spec, State: new(State)}
	return f
}

func (f farm) withAbuse(spec Spec) farm {
	f.Abuse = &Server{Index: -1, Spec: spec, State: new(State)}
	return f
}

func (f farm) shun(indices ...int) farm {
	for _, i := range indices {
		f.Servers[i].Shun(testNow.Add(time.Minute))
	}
	return f
}

// down takes servers down as health checks do.
func (f farm) down(indices ...int) farm {
	for _, i := range indices {
		f.Servers[i].SetDown(true)
	}
	return f
}

func (f farm) name(srv *Server) string {
	switch srv {
	case f.Emergency:
		return "E"
	case f.Abuse:
		return "B"
	}
	return string(rune('a' + srv.Index))
}

func (f farm) names(seq iter.Seq[*Server]) string {
	var b strings.Builder
	for srv := range seq {
		b.WriteString(f.name(srv))
	}
	return b.String()
}

// connect does what a proxy does for one client, whose connection stays: "-" if
// no server takes it.
func (f farm) connect(r Request) string {
	for srv := range f.Candidates(r) {
		if srv.Acquire(srv.Index == r.Last && r.Last >= 0) {
			return f.name(srv)
		}
	}
	return "-"
}

// fresh is a request of a client that was on no server before.
func fresh() Request { return Request{Client: client1, Port: 20001, Last: -1, Now: testNow} }

func (f farm) connects(n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(f.connect(fresh()))
	}
	return b.String()
}

// Each want is the answers to connections of one client, made one after the
// other and kept open, as pen 0.34.1 gave them; but for what comes after a
// refusal, where pen loses count of a server's connections.
func TestConnectionsInOrder(t *testing.T) {
	rr := Mode{RoundRobin: true}
	weight := Mode{RoundRobin: true, Weight: true}
	prio := Mode{RoundRobin: true, Prio: true}
	stubborn := Mode{RoundRobin: true, Stubborn: true}
	acl3 := Spec{Port: 80, ACL: 3}
	some := Spec{Port: 80}
	full1 := Spec{Port: 80, Max: 1}
	weights := func(ws ...int) (specs []Spec) {
		for _, w := range ws {
			specs = append(specs, Spec{Port: 80, Weight: w})
		}
		return specs
	}
	prios := func(ps ...int) (specs []Spec) {
		for _, p := range ps {
			specs = append(specs, Spec{Port: 80, Prio: p})
		}
		return specs
	}
	denying3 := newFarm(rr, some, acl3, some, some)
	denying3.denied[3] = true
	tests := []struct {
		name string
		farm farm
		want string
	}{
		{"round robin begins with server 1", newFarm(rr, plain(3)...), "bcabcabc"},
		{"round robin of one", newFarm(rr, plain(1)...), "aaaa"},
		{"no servers", newFarm(rr), "--"},
		{"no servers but the emergency server", newFarm(rr).withEmergency(some), "EE"},
		{"emergency server has no slot", newFarm(rr, plain(2)...).withEmergency(some).withAbuse(some), "baba"},
		{"round robin passes over the blacklisted", newFarm(rr, plain(4)...).shun(1), "cdacdacda"},
		{"denied by a server's list: failover, the position stays", denying3, "ccdaccdaccda"},
		{"full: failover, the position stays", newFarm(rr, some, full1, some, some), "bcdaccdaccda"},
		{"no port: failover, the position stays", newFarm(rr, some, some, Spec{}, some), "bddabddabdda"},
		{"slots without an address", newFarm(rr, some, some, Spec{}, Spec{}, some), "beeeabeeeabe"},
		{"all blacklisted", newFarm(rr, plain(3)...).shun(0, 1, 2), "---"},
		{"all blacklisted: emergency", newFarm(rr, plain(3)...).withEmergency(some).shun(0, 1, 2), "EEE"},
		{"all full", newFarm(rr, full1, full1, Spec{Port: 80, Max: 2}), "bcac--"},
		{"all full: emergency", newFarm(rr, full1, full1, Spec{Port: 80, Max: 2}).withEmergency(some), "bcacEEEE"},
		{"emergency full", newFarm(rr, full1).withEmergency(full1), "aE-"},
		{"emergency without a port", newFarm(rr, full1).withEmergency(Spec{}), "a-"},
		{"stubborn, full, no emergency", newFarm(stubborn, full1, full1, Spec{Port: 80, Max: 2}).withEmergency(some), "bca-c----"},
		{"stubborn passes over the blacklisted", newFarm(stubborn, plain(3)...).shun(1), "cacaca"},
		{"stubborn, all blacklisted, no emergency", newFarm(stubborn, plain(2)...).withEmergency(some).shun(0, 1), "--"},
		{"prio: lowest", newFarm(prio, prios(5, 2, 2, 1)...), "ddd"},
		{"prio: next, first of equals", newFarm(prio, prios(5, 2, 2, 1)...).shun(3), "bbb"},
		{"prio: second of equals", newFarm(prio, prios(5, 2, 2, 1)...).shun(3, 1), "ccc"},
		{"prio: all blacklisted", newFarm(prio, prios(5, 2)...).shun(0, 1), "--"},
		{"prio: negative", newFarm(prio, prios(0, -4)...), "bb"},
		{"prio: full fails over in order of slots", newFarm(prio, prios(5, 2)[0], Spec{Port: 80, Max: 1, Prio: 1}, Spec{Port: 80, Prio: 7}, Spec{Port: 80, Prio: 2}), "bccc"},
		{"prio: a slot without an address has the lowest", newFarm(prio, Spec{Port: 80, Prio: 3}, Spec{Port: 80, Prio: 4}, Spec{}, Spec{}, some), "eeee"},
		{"prio before weight", newFarm(Mode{RoundRobin: true, Prio: true, Weight: true}, Spec{Port: 80, Weight: 1, Prio: 7}, Spec{Port: 80, Weight: 2, Prio: 3}, Spec{Port: 80, Weight: 3, Prio: 3}), "bbbb"},
		{"weight", newFarm(weight, weights(1, 2, 3)...), "abccbcabccbcabccbcabccbc"},
		{"weight: cut to integers", newFarm(weight, weights(1000, 999, 998)...), "aaaabbbbccccaaaabbbb"},
		{"weight 0 is not chosen", newFarm(weight, weights(0, 2, 0)...), "bbbbbb"},
		{"weight: none has any", newFarm(weight, weights(0, 0, 0)...), "---"},
		{"weight: none has any: emergency", newFarm(weight, weights(0, 0, 0)...).withEmergency(some), "EEE"},
		{"weight: none available: no failover to weight 0", newFarm(weight, weights(100, 0, 0)...).withEmergency(some).shun(0), "EEE"},
		{"weight: full fails over to weight 0", newFarm(weight, Spec{Port: 80, Max: 1, Weight: 100}, some, Spec{Port: 80, Max: 1, Weight: 1}), "acbbb"},
		{"weight: full fails over", newFarm(weight, Spec{Port: 80, Max: 1, Weight: 100}, weights(1)[0], weights(1)[0]), "abcbbbbb"},
		{"round robin passes over who is down", newFarm(rr, plain(4)...).down(1), "cdacdacda"},
		{"down and blacklisted", newFarm(rr, plain(4)...).down(1).shun(1, 2), "dadada"},
		{"all down", newFarm(rr, plain(3)...).down(0, 1, 2), "---"},
		{"all down or blacklisted: emergency", newFarm(rr, plain(3)...).withEmergency(some).down(0, 1).shun(2), "EEE"},
		{"stubborn passes over who is down", newFarm(stubborn, plain(3)...).down(1), "cacaca"},
		{"prio: next of who is up", newFarm(prio, prios(5, 2, 2, 1)...).down(3, 1), "ccc"},
		{"prio: all down", newFarm(prio, prios(5, 2)...).down(0, 1), "--"},
		{"weight: of who is up", newFarm(weight, weights(1, 2, 3)...).down(2), "abbabb"},
		{"full: who is down does not take its place", newFarm(rr, full1, full1, some).down(2), "ba--"},
		{"weight before hash", newFarm(Mode{RoundRobin: true, Weight: true, Hash: true}, weights(0, 0)...), "--"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.farm.connects(len(tt.want)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestHash(t *testing.T) {
	tests := []struct {
		mode   Mode
		n      int
		client string
		port   uint16
		want   string // as pen 0.34.1 chose
	}{
		{Mode{Hash: true}, 3, "127.0.0.2", 1, "a"},
		{Mode{Hash: true}, 3, "127.0.1.2", 1, "b"},
		{Mode{Hash: true}, 3, "127.0.0.3", 1, "b"},
		{Mode{Hash: true}, 3, "127.0.1.3", 1, "c"},
		{Mode{Hash: true}, 3, "127.0.0.128", 1, "a"},
		{Mode{Hash: true}, 3, "127.0.0.254", 1, "a"},
		{Mode{Hash: true}, 4, "127.0.0.2", 1, "d"},
		{Mode{Hash: true, RoundRobin: true}, 3, "127.0.0.1", 20001, "c"},
		{Mode{Hash: true, RoundRobin: true}, 3, "127.0.0.1", 20002, "a"},
		{Mode{Hash: true, RoundRobin: true}, 3, "127.0.0.1", 20003, "b"},
		{Mode{Hash: true, RoundRobin: true}, 3, "::1", 20001, "b"},
		{Mode{Hash: true, RoundRobin: true}, 3, "::1", 20002, "b"},
		{Mode{Hash: true, RoundRobin: true}, 3, "", 0, "a"},
	}
	for _, tt := range tests {
		r := fresh()
		r.Client, _ = netip.ParseAddr(tt.client)
		r.Port = tt.port
		if got := newFarm(tt.mode, plain(tt.n)...).connect(r); got != tt.want {
			t.Errorf("%+v, %d servers, client %q port %d: got %s, want %s", tt.mode, tt.n, tt.client, tt.port, got, tt.want)
		}
	}
}

func TestCandidates(t *testing.T) {
	some := Spec{Port: 80}
	tests := []struct {
		name   string
		farm   farm
		denied bool
		last   int
		want   string
	}{
		{"tracked", newFarm(Mode{}, plain(4)...), false, 2, "cdab"},
		{"tracked, with an emergency server", newFarm(Mode{}, plain(3)...).withEmergency(some), false, 2, "cabE"},
		{"tracked comes before every mode", newFarm(Mode{Hash: true, Weight: true, Prio: true}, plain(3)...), false, 1, "bca"},
		{"no tracking under round robin", newFarm(Mode{RoundRobin: true}, plain(4)...), false, 3, "bcda"},
		{"tracked, blacklisted: failover, no new choice", newFarm(Mode{Prio: true}, Spec{Port: 80, Prio: 1}, Spec{Port: 80, Prio: 9}, Spec{Port: 80, Prio: 5}).shun(0), false, 0, "bc"},
		{"tracked, blacklisted, stubborn", newFarm(Mode{Stubborn: true}, plain(3)...).withEmergency(some).shun(1), false, 1, ""},
		{"last server beyond the table", newFarm(Mode{}, plain(2)...), false, 7, "ba"},
		{"hash does not look at the blacklist", newFarm(Mode{Hash: true}, plain(4)...).shun(3), false, -1, "abc"},
		{"hash, stubborn, blacklisted", newFarm(Mode{Hash: true, Stubborn: true}, plain(4)...).shun(3), false, -1, ""},
		{"denied: closed", newFarm(Mode{}, plain(3)...).withEmergency(some), true, 2, ""},
		{"denied: abuse server alone", newFarm(Mode{}, plain(3)...).withEmergency(some).withAbuse(some), true, 2, "B"},
		{"denied, stubborn", newFarm(Mode{Stubborn: true}, plain(3)...).withAbuse(some), true, 2, "B"},
		{"denied, abuse server without a port", newFarm(Mode{}, plain(3)...).withAbuse(Spec{}), true, 2, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := fresh()
			r.Denied, r.Last = tt.denied, tt.last
			if got := tt.farm.names(tt.farm.Candidates(r)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// Observed: a connect that times out blacklists the emergency server as well,
// and its list is list 0.
func TestEmergencyServerIsSubjectToBlacklistAndACL(t *testing.T) {
	f := newFarm(Mode{}).withEmergency(Spec{Port: 80})
	f.Emergency.Shun(testNow.Add(time.Second))
	if got := f.connect(fresh()); got != "-" {
		t.Errorf("blacklisted: got %s, want -", got)
	}
	f.Emergency.Unshun()
	f.denied[0] = true
	if got := f.connect(fresh()); got != "-" {
		t.Errorf("denied by list 0: got %s, want -", got)
	}
}

func TestAbuseServerIsNotAskedItsList(t *testing.T) {
	f := newFarm(Mode{}).withAbuse(Spec{Port: 80})
	f.denied[0] = true
	r := fresh()
	r.Denied = true
	if got := f.connect(r); got != "B" {
		t.Errorf("got %s, want B", got)
	}
	f.Abuse.Shun(testNow.Add(time.Second))
	if got := f.connect(r); got != "-" {
		t.Errorf("blacklisted: got %s, want -", got)
	}
}

// A server that is blacklisted while the iteration is under way is not yielded.
func TestBlacklistIsReadAsTheIterationGoes(t *testing.T) {
	f := newFarm(Mode{}, plain(3)...)
	var got []string
	for srv := range f.Candidates(fresh()) {
		got = append(got, f.name(srv))
		f.shun(2)
	}
	if want := []string{"b", "a"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRotorOutlivesSets(t *testing.T) {
	f := newFarm(Mode{RoundRobin: true}, plain(2)...)
	got := f.connects(3)
	bigger := newFarm(Mode{RoundRobin: true}, plain(3)...)
	bigger.Rotor = f.Rotor
	got += bigger.connects(7)
	if want := "babcabcabc"; got != want { // as pen 0.34.1 when a server is added
		t.Errorf("got %s, want %s", got, want)
	}
	smaller := newFarm(Mode{RoundRobin: true}, plain(2)...)
	smaller.Rotor = f.Rotor // at 2, beyond the table
	if got, want := smaller.connects(2), "ba"; got != want {
		t.Errorf("smaller: got %s, want %s", got, want)
	}
}

func TestRoundRobinAmongConcurrentCallersIsFair(t *testing.T) {
	const callers, calls = 8, 500
	f := newFarm(Mode{RoundRobin: true}, plain(2)...)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				f.connect(fresh())
			}
		})
	}
	wg.Wait()
	if a, b := f.Servers[0].Conns(), f.Servers[1].Conns(); a != b || a+b != callers*calls {
		t.Errorf("got %d and %d connections, want %d each", a, b, callers*calls/2)
	}
}

func TestAcquire(t *testing.T) {
	tests := []struct {
		max, hard, conns int
		wasLast, want    bool
	}{
		{0, 0, 1 << 20, false, true},
		{1, 0, 0, false, true},
		{1, 0, 1, false, false},
		{1, 3, 1, false, false},
		{1, 3, 1, true, true},
		{1, 3, 3, true, false},
		{2, 1, 1, true, true}, // observed: a hard limit below max changes nothing
		{2, 1, 2, true, false},
	}
	for _, tt := range tests {
		srv := &Server{Spec: Spec{Max: tt.max, Hard: tt.hard}, State: new(State)}
		srv.conns.Store(int64(tt.conns))
		if got := srv.Acquire(tt.wasLast); got != tt.want {
			t.Errorf("max %d hard %d conns %d wasLast %t: got %t, want %t", tt.max, tt.hard, tt.conns, tt.wasLast, got, tt.want)
		} else if got {
			srv.Release()
		}
		if srv.Conns() != tt.conns {
			t.Errorf("max %d hard %d: %d connections after, want %d", tt.max, tt.hard, srv.Conns(), tt.conns)
		}
	}
}

func TestAcquireNeverExceedsMax(t *testing.T) {
	srv := &Server{Spec: Spec{Max: 3}, State: new(State)}
	var most atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if !srv.Acquire(false) {
					continue
				}
				if n := int64(srv.Conns()); n > most.Load() {
					most.Store(n)
				}
				srv.Release()
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 || srv.Conns() != 0 {
		t.Errorf("at most %d connections, %d left; want at most 3, none left", most.Load(), srv.Conns())
	}
}

func TestShun(t *testing.T) {
	var s State
	if s.Shunned(testNow) {
		t.Error("shunned from the start")
	}
	s.Shun(testNow.Add(time.Second))
	if !s.Shunned(testNow) || s.Shunned(testNow.Add(time.Second)) {
		t.Error("want shunned until, not at, the given time")
	}
	s.Unshun()
	if s.Shunned(testNow) {
		t.Error("shunned after Unshun")
	}
}

func TestCandidatesDoesNotAllocate(t *testing.T) {
	for _, mode := range allModes() {
		f := newFarm(mode, plain(3)...).withEmergency(Spec{Port: 80})
		if n := testing.AllocsPerRun(100, func() {
			for srv := range f.Candidates(fresh()) {
				_ = srv
			}
		}); n != 0 {
			t.Errorf("%+v: %v allocations", mode, n)
		}
	}
}

func allModes() []Mode {
	return []Mode{{}, {RoundRobin: true}, {Hash: true}, {Weight: true}, {Prio: true}}
}

func BenchmarkCandidates(b *testing.B) {
	names := []string{"tracked", "roundrobin", "hash", "weight", "prio"}
	for i, mode := range allModes() {
		for _, n := range []int{2, 1000} {
			specs := slices.Repeat([]Spec{{Port: 80, Weight: 10}}, n)
			f := newFarm(mode, specs...)
			r := fresh()
			if names[i] == "tracked" {
				r.Last = n - 1
			}
			b.Run(fmt.Sprintf("%s/%d", names[i], n), func(b *testing.B) {
				for b.Loop() {
					for srv := range f.Candidates(r) {
						srv.Acquire(false)
						srv.Release()
						break
					}
				}
			})
		}
	}
}

func TestDependsOnClient(t *testing.T) {
	for _, c := range []struct {
		name             string
		roundRobin, hash bool
		last             int
		want             bool
	}{
		{"tracked, on the same server", false, false, 1, false},
		{"tracked, on another one", false, false, 0, true},
		{"new", false, false, -1, true},
		{"round robin", true, false, 0, false},
		{"round robin by hash", true, true, 1, true},
	} {
		s := &Set{SetConfig: SetConfig{Mode: Mode{RoundRobin: c.roundRobin, Hash: c.hash}}}
		if got := s.DependsOnClient(c.last, &Server{Index: 1}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
