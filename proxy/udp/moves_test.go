package udp

import (
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"edgepen/proxy/backend"
)

func TestAFullServerHasRoomForWhoIsNew(t *testing.T) {
	one, two := server(1), server(2)
	one.Max, two.Max = 2, 2
	w := newWorld(Config{FlowsMax: 100}, one, two)
	for n := range 4 {
		w.client(n, fmt.Sprint("d", n))
	}
	w.client(4, "too early")
	w.pass(settled)
	for range 2 {
		w.client(4, "d4")
		w.client(1, "again")
		w.client(2, "still here") // the one that makes room is never one that was heard of just now
		w.pass(settled / 2)
	}
	w.want(t, "1:d0", "2:d1", "1:d2", "2:d3", "1:d4", "2:again", "1:still here", "1:d4", "2:again", "1:still here")
	if one.Conns() != 2 || two.Conns() != 2 || w.flow(0) != nil {
		t.Errorf("%d and %d flows on servers for two; the one without a datagram for longest is there: %v", one.Conns(), two.Conns(), w.flow(0) != nil)
	}
}

// TestAFlowIsEndedOnlyWhereThatMakesRoom: a server may have more than its max, by hard or since max was lowered.
func TestAFlowIsEndedOnlyWhereThatMakesRoom(t *testing.T) {
	one := server(1)
	one.Max = 3
	w := newWorld(Config{FlowsMax: 100}, one)
	for n := range 3 {
		w.client(n, "x")
	}
	one.Max = 1
	w.pass(settled)
	w.client(3, "x")
	if w.table.len() != 3 || w.policy.away != 1 {
		t.Errorf("%d flows, want those 3; %d turned away", w.table.len(), w.policy.away)
	}
}

// TestOfASuccessor: what a server that is gone does is not held against the one that has its place.
func TestOfASuccessor(t *testing.T) {
	c := Config{FlowsMax: 10, Unanswered: 2}
	former, other := server(1), server(2)
	w := newWorld(c, former, other)
	w.client(1, "a")
	w.client(1, "b") // both without an answer
	w.pass(heldFor - time.Second)
	successor := server(3)
	successor.State = former.State
	w.policy.servers, w.policy.removed, w.policy.next = []*backend.Server{successor, other}, []netip.AddrPort{at(1)}, 0
	w.server.cfg.Store(&c)
	w.tend()
	w.client(2, "c")
	before := w.flow(2).up
	w.client(2, "d")
	w.broken(w.flow(1), syscall.EHOSTUNREACH) // of the former, which takes the kernel seconds
	w.client(2, "e")
	w.want(t, "1:a", "1:b", "3:c", "3:d", "3:e")
	if len(w.policy.failed) > 0 || w.flow(2).up != before {
		t.Errorf("failed: %v; the flow has another socket: %v", w.policy.failed, w.flow(2).up != before)
	}
}

// TestPortsRunOut: that there is none for a new flow is no server's fault, and the oldest flow gives one back.
func TestPortsRunOut(t *testing.T) {
	w := newWorld(Config{FlowsMax: 100}, server(1), server(2))
	w.client(1, "a")
	w.noRoute[at(1)], w.noRoute[at(2)] = syscall.EAGAIN, syscall.EAGAIN
	w.client(2, "b")
	clear(w.noRoute)
	w.client(3, "c")
	w.want(t, "1:a", "1:c")
	if len(w.policy.failed) > 0 || len(w.reports) == 0 {
		t.Errorf("failed: %v, reports: %v", w.policy.failed, w.reports)
	}
}

func TestADatagramComesToNoServerTwice(t *testing.T) {
	w := newWorld(Config{FlowsMax: 10}, server(1), server(2), server(3))
	w.policy.shunned, w.policy.forgives = nil, false
	w.dead[at(1)], w.dead[at(2)] = syscall.ECONNREFUSED, syscall.ECONNREFUSED
	for _, d := range []string{"a", "b"} {
		w.client(1, d)
		w.policy.shunned, w.policy.next = nil, 0 // nobody is blacklisted
	}
	w.want(t, "3:a", "3:b")
	w.dead[at(3)] = syscall.ECONNREFUSED
	w.client(1, "lost")
	if n := len(w.policy.failed); n != 5 {
		t.Errorf("two datagrams made servers fail %d times: %v", n, w.policy.failed)
	}
	clear(w.dead)
	w.policy.shunned, w.policy.next = nil, 0
	w.client(1, "c")
	w.want(t, "1:c")
}

func TestFlowsLeaveAnAddressThatIsNoServersAnyMore(t *testing.T) {
	w := newWorld(Config{FlowsMax: 10}, server(1), server(2))
	w.client(1, "a")
	w.client(2, "b")
	w.policy.removed, w.policy.next = []netip.AddrPort{at(1)}, 1
	w.server.cfg.Store(&Config{FlowsMax: 10})
	w.tend()
	w.client(2, "c")
	w.client(1, "d")
	w.want(t, "1:a", "2:b", "2:c", "2:d") // and not a once more: nobody has refused it
	if len(w.policy.failed) != 0 || w.policy.servers[0].Conns() != 0 {
		t.Errorf("failed %v, %d flows on the first server", w.policy.failed, w.policy.servers[0].Conns())
	}
}

func TestAnOldDatagramIsNotSentAgain(t *testing.T) {
	w := newWorld(Config{FlowsMax: 10}, server(1), server(2))
	w.client(1, "a")
	w.client(2, "b")
	w.pass(heldFor - time.Second)
	w.broken(w.flow(1), syscall.ECONNREFUSED)
	w.want(t, "1:a", "2:b", "2:a")
	w.policy.shunned = nil
	w.pass(heldFor)
	w.broken(w.flow(1), syscall.ECONNREFUSED)
	w.client(2, "c")
	w.client(3, "d")
	w.want(t, "1:c", "1:d")
	if length(&w.keeping) != 2 {
		t.Errorf("%d datagrams are kept, want those of this moment", length(&w.keeping))
	}
}

func TestWhatConnectSaysIsAboutTheServerUnlessItIsAboutUs(t *testing.T) {
	w := newWorld(Config{FlowsMax: 10}, server(1), server(2))
	w.noRoute[at(1)] = syscall.EADDRNOTAVAIL // an IPv6 address where there is no IPv6
	w.client(1, "a")
	w.want(t, "2:a")
	w.noRoute[at(2)] = preparation{syscall.EADDRNOTAVAIL} // an address of ours that we have not
	w.client(2, "b")
	w.want(t)
	if len(w.policy.failed) != 1 || len(w.reports) != 1 {
		t.Errorf("failed %v, reports %v", w.policy.failed, w.reports)
	}
}
