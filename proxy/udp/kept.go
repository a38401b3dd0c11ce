package udp

import "time"

const (
	// heldMax is how many bytes of first datagrams are kept in all.
	heldMax = 1 << 20
	// heldFor is how long the fate of a datagram may be unknown: a host that does not
	// answer ARP is reported after three seconds. What is older has arrived, or is
	// old news.
	heldFor = 5 * time.Second
)

// hold keeps a datagram until there is a sign that the server got it.
func (b *balancer) hold(f *flow, datagram []byte) {
	for oldest := b.keeping.oldest; oldest != nil && b.now-oldest.heldAt >= heldFor; oldest = b.keeping.oldest {
		b.release(oldest)
	}
	if b.held+len(datagram) > heldMax {
		return
	}
	b.held += len(datagram)
	f.held = append(make([]byte, 0, max(len(datagram), 1)), datagram...)
	f.heldAt = b.now
	b.keeping.add(f)
}

// release gives up what hold kept.
func (b *balancer) release(f *flow) {
	if f.held == nil {
		return
	}
	b.held -= len(f.held)
	f.held = nil
	b.keeping.remove(f)
}

// atHand takes what hold kept, for another server; nil for nothing.
func (b *balancer) atHand(f *flow) []byte {
	held, age := f.held, b.now-f.heldAt
	b.release(f)
	if age >= heldFor {
		return nil
	}
	return held
}

// again sends what was kept for an earlier server, nil for nothing.
func (b *balancer) again(f *flow, held []byte) {
	if held != nil {
		b.send(f, [][]byte{held})
	}
}
