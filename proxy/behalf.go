package proxy

import (
	"net/netip"
	"time"

	"edgepen/httpx"
	"edgepen/proxy/backend"
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
// in the limits, logged, and told to servers as to its place; access lists go on about the peer, unless they are to be about the client. A run of requests of one client counts as a
// connection of it. move: the server of the client before need not be this one's. An error answers the request.
func (c *connection) speaksFor(r *httpx.Request, head []byte, forward *httpx.Forward) (move bool, err error) {
	if forward.Said, err = r.Whence(head, c.snap.TrustedField, c.snap.trusts); err != nil {
		return false, err
	}
	client := forward.Said.Client
	if !client.IsValid() {
		client = c.addr
	}
	if c.snap.ClientFrom == FromHeader {
		if err := c.admitBehalf(client); err != nil {
			return false, err
		}
		move = c.server != nil && !c.mayReach(c.server)
	}
	if client == c.behalf {
		return move, nil
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
	return move || c.server != nil && c.p.now.Load().set.DependsOnClient(c.known.Last(), c.server), nil
}

// admitBehalf asks client_acl, as it is now, about the client of a trusted proxy's request. An error answers the request. From here on the servers'
// lists are asked about that client as well.
func (c *connection) admitBehalf(client netip.Addr) error {
	c.asker.now = c.p.now.Load()
	c.asker.who.Addr = client
	v, of := c.asker.judge(c.asker.now.ClientACL)
	if v.Permit {
		return nil
	}
	d, status := of.denialBy(c.asker.now.ClientACL, v), Forbidden
	if c.snap.action(d.reason) == TooManyAsked {
		status = TooManyAsked
	}
	c.p.refused(c.snap, client, d, status)
	c.requestDenied(client, d)
	if status == TooManyAsked {
		return &httpx.Error{Status: 429, Reason: "too many requests"}
	}
	return &httpx.Error{Status: 403, Reason: "you may not use this server"}
}

// mayReach asks the access list of a server.
func (c *connection) mayReach(srv *backend.Server) bool {
	return srv.Index < 0 || c.asker.Permit(c.asker.now.listOf(srv))
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
