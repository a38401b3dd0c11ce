package proxy

import (
	"net"
	"net/netip"
	"strconv"

	"edgepen/acl"
	"edgepen/httpx"
	"edgepen/proxy/backend"
	"edgepen/proxy/limit"
	"edgepen/proxy/relay"
)

// Reason is why a client is denied.
type Reason int

const (
	DeniedByList  Reason = iota // an entry about addresses or names, or the end of a list
	DeniedByPlace               // a country, continent or network entry
	DeniedByRate                // a limit
	DeniedByJA4                 // a fingerprint entry
	DeniedByCert                // an entry about client certificates
	reasons                     // how many there are
)

// ReasonWords are the words for reasons, by their number.
var ReasonWords = []string{DeniedByList: "acl", DeniedByPlace: "country", DeniedByRate: "rate", DeniedByJA4: "ja4", DeniedByCert: "certificate"}

// Action is what happens to a denied client.
type Action int

const (
	AsOriginal Action = iota // the abuse server, if there is one; otherwise the connection is closed
	CloseIt
	ResetIt
	HoldIt       // it is kept waiting, with nothing but its socket (tarpit)
	Abused       // the abuse server
	Forbidden    // 403
	TooManyAsked // 429
)

// ActionWords are the words for actions, by their number.
var ActionWords = []string{AsOriginal: "default", CloseIt: "close", ResetIt: "reset", HoldIt: "tarpit", Abused: "abuse", Forbidden: "403", TooManyAsked: "429"}

// Denials is what happens to denied clients, by reason.
type Denials [reasons]Action

// denial is the verdict against a client.
type denial struct {
	reason Reason
	why    string // for logs
	list   int    // -1: no list's
	entry  int    // its number from 1; 0: the list's end
}

// action is what happens to clients denied for a reason, as far as it can be done.
func (s *snapshot) action(r Reason) Action {
	a := s.Denied[r]
	switch {
	case a == AsOriginal && s.set.Abuse != nil, a == Abused && s.set.Abuse != nil:
		return Abused
	case a == AsOriginal, a == Abused:
		return CloseIt
	case (a == Forbidden || a == TooManyAsked) && !s.HTTP:
		return CloseIt
	}
	return a
}

// goesOn reports whether a denied client is heard all the same, to be answered or to meet the abuse server.
func (a Action) goesOn() bool { return a == Abused || a == Forbidden || a == TooManyAsked }

// out reports whether the client is denied and nobody is to hear it.
func (c *connection) out() bool { return c.denied && !c.snap.action(c.denial.reason).goesOn() }

// reasonOf is the reason that goes with the entry that denied a client.
func (s *snapshot) reasonOf(list, entry int) Reason {
	if entry < 0 {
		return DeniedByList
	}
	switch e := s.ACLs[list][entry]; {
	case e.Country != "", e.Continent != "", e.ASN != 0:
		return DeniedByPlace
	case e.JA4 != "":
		return DeniedByJA4
	case e.Cert != "":
		return DeniedByCert
	}
	return DeniedByList
}

// deniedByList notes that client_acl denies the client.
func (c *connection) deniedByList(v acl.Verdict) {
	c.denied = true
	c.denial = c.snap.denialBy(c.snap.ClientACL, v)
}

// denialBy is the verdict of a list against a client.
func (s *snapshot) denialBy(list int, v acl.Verdict) denial {
	d := denial{reason: s.reasonOf(list, v.Entry), why: "no entry permits it", list: list}
	if v.Entry >= 0 {
		d.why, d.entry = s.ACLs[list][v.Entry].String(), v.Entry+1
	}
	return d
}

// deniedByLimit notes that a limit denies the client.
func (c *connection) deniedByLimit(v limit.Verdict) {
	c.decided, c.denied = true, true
	c.denial = deniedByLimit(v)
}

func deniedByLimit(v limit.Verdict) denial {
	return denial{reason: DeniedByRate, why: v.Reason.String() + " from " + v.Prefix().String(), list: -1}
}

// note records and counts that the client is denied, once.
func (c *connection) note() {
	if c.noted {
		return
	}
	c.noted = true
	c.p.refused(c.snap, c.addr, c.denial, c.snap.action(c.denial.reason))
}

// refused records and counts a client that is denied.
func (p *Proxy) refused(s *snapshot, client netip.Addr, d denial, a Action) {
	p.denials[d.reason].Add(1)
	args := []any{"client", ShowAddr(client), "reason", ReasonWords[d.reason], "why", d.why, "action", ActionWords[a]}
	if d.list >= 0 {
		args = append(args, "acl", d.list, "entry", d.entry)
	}
	if code, ok := s.geo.Country(client); ok {
		args = append(args, "country", code)
	}
	p.log.Info("client refused", args...)
}

// turnAway ends the connection of a denied client.
func (c *connection) turnAway() {
	c.note()
	switch c.snap.action(c.denial.reason) {
	case ResetIt:
		if t, ok := c.client.Conn.(*net.TCPConn); ok {
			t.SetLinger(0) //nolint:errcheck // it fails on a closed connection only
		}
	case HoldIt: // QUIC's clients have nothing that could be kept
		c.held = c.quic == nil && c.p.tarpit.hold(c.client)
	}
}

// answered answers a denied client with a page, where that is what it is to get; otherwise it goes on to the abuse server.
func (c *connection) answered(stream *relay.Stream) bool {
	c.note()
	status := map[Action]int{Forbidden: 403, TooManyAsked: 429}[c.snap.action(c.denial.reason)]
	if status == 0 {
		return false
	}
	c.eachStream(stream, true, func(_ onGone, client *relay.Stream) {
		brief := c.snap.brief()
		brief.Witness = c.branch()
		relay.Respond(client, brief, func(r *httpx.Request, _ []byte) []byte { return c.snap.answer(status, "", r.IsHead) })
	})
	return true
}

// close ends the client's connection, unless the tarpit has it.
func (c *connection) close() {
	if !c.held {
		c.client.Close()
	}
}

// applyList ends the connections that an access list would refuse now, and of those that carry several requests at once the requests.
func (p *Proxy) applyList(list int) (ended int) {
	snap := p.now.Load()
	p.slots.each(func(c *connection) {
		who := c.admitted.Load()
		if who == nil {
			return // it is about to be asked
		}
		reaches := func(one *connection) bool {
			end := one.serverEnd.Load()
			return end != nil && end.server.Index >= 0 && snap.listOf(end.server) == list
		}
		switch v := snap.lists[list].Judge(who, acl.Certificate); {
		case v.Permit:
		case list == snap.ClientACL, reaches(c):
			ended++
			c.abort()
		default:
			ended += c.branches.leave(reaches)
		}
	})
	for _, l := range p.listeners {
		if l.flows != nil {
			ended += l.flows.End(func(client netip.AddrPort, srv *backend.Server) bool {
				asked := list == snap.ClientACL || srv.Index >= 0 && snap.listOf(srv) == list
				return asked && !snap.lists[list].Judge(&acl.Client{Addr: client.Addr()}, acl.Certificate).Permit
			})
		}
	}
	return ended
}

// listOf is the access list that a server has by now.
func (s *snapshot) listOf(srv *backend.Server) int {
	if i := srv.Index; i < len(s.set.Servers) && s.set.Servers[i].State == srv.State { // otherwise it is a route's
		return s.set.Servers[i].ACL
	}
	return srv.ACL
}

// place is what servers are told of where a client is.
func (c *connection) place(client netip.Addr) string {
	want := c.snap.PlaceFields
	if want == (Places{}) {
		return ""
	}
	p := c.snap.geo.Lookup(client)
	asn := ""
	if p.ASN != 0 {
		asn = strconv.FormatUint(uint64(p.ASN), 10)
	}
	return httpx.PlaceFields(p.Country, p.Continent, asn, want.Country, want.Continent, want.ASN)
}
