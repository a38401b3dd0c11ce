package proxy

import "context"

// Drain ends the listeners and waits until the connections have ended that there are, for drain_timeout or until ctx ends; without
// drain_timeout it does nothing. Those that wait between two requests are closed, others after the response that is under way; clients of HTTP/2 are
// told by GOAWAY. What is left is for Close.
func (p *Proxy) Drain(ctx context.Context) {
	p.mu.Lock()
	patience := p.config.DrainTimeout
	if patience == 0 {
		p.mu.Unlock()
		return
	}
	p.closed = true
	for _, l := range p.listeners {
		l.close()
	}
	p.listeners = nil
	p.mu.Unlock()
	p.log.Warn("waiting for connections to end", "connections", p.slots.count(), "for", patience)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p.leave()
	p.slots.each(func(c *connection) {
		if c.resting.Load() {
			c.abort()
		}
	})
	p.slots.drained(ctx)
}

// rest takes down whether the connection waits between two requests, and reports whether it is to end instead.
func (c *connection) rest(waiting bool) (end bool) {
	c.resting.Store(waiting)
	return c.leaving() // behind the Store: either Drain sees that we wait, or we see that it has begun
}

// leaving reports whether the proxy is about to end.
func (c *connection) leaving() bool { return c.p.staying.Err() != nil }
