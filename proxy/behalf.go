package proxy

import (
	"net/netip"
	"time"

	"edgepen/httpx"
	"edgepen/proxy/limit"
)

// enterLimits counts the connection for the client's prefixes. A trusted proxy's is counted for the clients that it turns out to speak for.
func (c *connection) enterLimits() (v limit.Verdict) {
	if !c.proxies {
		c.ticket, v = c.p.limits.Enter(c.addr, time.Now())
	}
	return v
}

func (c *connection) leaveLimits() { c.ticket.Leave() }

// speaksFor finds out which client a trusted proxy's request comes from. From here on that client is the one that is tracked, hashed, counted
// in the limits, logged, and told to servers as to its place; access lists go on about the peer. A run of requests of one client counts as a
// connection of it. move: the server of the client before need not be this one's. An error answers the request.
func (c *connection) speaksFor(r *httpx.Request, head []byte, forward *httpx.Forward) (move bool, err error) {
	client := r.ClientOf(head, c.snap.trusts)
	if !client.IsValid() {
		client = c.addr
	}
	if client == c.behalf {
		return false, nil
	}
	if v := c.exchangeTicket(client); v.Reason != limit.OK {
		c.p.refused(c.snap, client, deniedByLimit(v), TooManyAsked)
		c.requestDenied(client, deniedByLimit(v))
		return false, &httpx.Error{Status: 429, Reason: "too many requests"}
	}
	c.behalf, c.shown = client, client.String()
	c.standFor(client)
	c.known = c.p.clients.Visit(client, time.Now(), c.snap.Tracking)
	forward.Place = c.place(client)
	return c.server != nil && c.p.now.Load().set.DependsOnClient(c.known.Last(), c.server), nil
}

// exchangeTicket ends the place of the client before in the limits, and takes one for the next.
func (c *connection) exchangeTicket(client netip.Addr) (v limit.Verdict) {
	c.ticket.Leave()
	c.ticket, v = c.p.limits.Enter(client, time.Now())
	if v.Reason != limit.OK {
		c.behalf = netip.Addr{} // nobody's: the next request is looked at again
	}
	return v
}
