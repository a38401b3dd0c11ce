package udp

// table finds a flow by its client's address, and the flow that has been
// without a datagram for longest. All its methods take the same time at any size.
type table struct {
	flows map[string]*flow
	order queue // of their last datagram
}

func newTable() *table {
	return &table{flows: make(map[string]*flow), order: queue{links: ofAll}}
}

func (t *table) len() int { return len(t.flows) }

// get finds the flow of a key, nil if there is none. The order stays as it is.
func (t *table) get(key []byte) *flow { return t.flows[string(key)] }

// add puts in a flow whose key is not there yet, as the newest.
func (t *table) add(f *flow) {
	t.flows[f.key] = f
	t.order.add(f)
}

// remove takes a flow of the table out.
func (t *table) remove(f *flow) {
	delete(t.flows, f.key)
	t.order.remove(f)
}

// The kinds of queues. A flow is in at most one of each.
const (
	ofAll         = iota
	ofServer      // of those that hold a slot of a server
	ofHolding     // of those that hold a datagram
	kindsOfQueues = iota
)

// neighbours is a flow's place in a queue; nil where it is the first or the last.
type neighbours struct{ newer, older *flow }

// queue is flows from the oldest to the newest. All its methods take the same time at any length.
type queue struct {
	links          int // the kind of queue
	oldest, newest *flow
}

// add puts in a flow that is not there yet, as the newest.
func (q *queue) add(f *flow) {
	f.places[q.links] = neighbours{older: q.newest}
	if q.newest == nil {
		q.oldest = f
	} else {
		q.newest.places[q.links].newer = f
	}
	q.newest = f
}

// remove takes out a flow that is there.
func (q *queue) remove(f *flow) {
	at := f.places[q.links]
	if at.older == nil {
		q.oldest = at.newer
	} else {
		at.older.places[q.links].newer = at.newer
	}
	if at.newer == nil {
		q.newest = at.older
	} else {
		at.newer.places[q.links].older = at.older
	}
	f.places[q.links] = neighbours{}
}

// touch makes a flow that is there the newest.
func (q *queue) touch(f *flow) {
	if q.newest != f {
		q.remove(f)
		q.add(f)
	}
}
