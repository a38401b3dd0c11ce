package udp

// table finds a flow by its client's address, and the flow that has been
// without a datagram for longest. All its methods take the same time at any size.
type table struct {
	flows map[string]*flow
	// ends closes the ring of flows in the order of their last datagram:
	// ends.older is the newest one, ends.newer the oldest.
	ends flow
}

func newTable() *table {
	t := &table{flows: make(map[string]*flow)}
	t.ends.newer, t.ends.older = &t.ends, &t.ends
	return t
}

func (t *table) len() int { return len(t.flows) }

// get finds the flow of a key, nil if there is none. The order stays as it is.
func (t *table) get(key []byte) *flow { return t.flows[string(key)] }

// add puts in a flow whose key is not there yet, as the newest.
func (t *table) add(f *flow) {
	t.flows[f.key] = f
	t.link(f)
}

// touch makes a flow of the table the newest.
func (t *table) touch(f *flow) {
	if t.ends.older == f {
		return
	}
	t.unlink(f)
	t.link(f)
}

// remove takes a flow of the table out.
func (t *table) remove(f *flow) {
	delete(t.flows, f.key)
	t.unlink(f)
	f.newer, f.older = nil, nil
}

// oldest is the flow that was neither added nor touched for longest; nil if there is none.
func (t *table) oldest() *flow {
	if t.ends.newer == &t.ends {
		return nil
	}
	return t.ends.newer
}

func (t *table) link(f *flow) {
	f.older, f.newer = t.ends.older, &t.ends
	f.older.newer, t.ends.older = f, f
}

func (t *table) unlink(f *flow) {
	f.older.newer, f.newer.older = f.newer, f.older
}
