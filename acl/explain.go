package acl

import (
	"fmt"
	"net/netip"
	"strings"
)

// maxOpen is how many entries that cannot be decided Explain names.
const maxOpen = 20

// Explain says in a few lines what the list comes to for a client, and why: the
// entries that ask for what is not known, the entry that decides, or what holds
// where none does, and the stage at which the verdict falls. It goes through the
// list entry by entry, and counts nothing.
//
// Not known is, other than in [Compiled.Judge], what is not set: a Name "", a JA4
// that is nil or returns "", a Cert that is nil. A Name "none" is a client that
// names no host.
func (l *Compiled) Explain(c *Client) string {
	if l == nil || len(l.list) == 0 {
		return "the list has no entries: everybody is permitted\n"
	}
	e := explanation{Compiled: l, client: c}
	e.ask()
	e.conclude()
	return e.text.String()
}

// explanation is one on its way.
type explanation struct {
	*Compiled
	client  *Client
	text    strings.Builder
	open    int // how many entries before the one that decides could not be asked
	decided int // the entry that decides, none if none does
	why     string
	stage   Stage // where the verdict falls
}

// ask goes through the entries as far as the first that matches.
func (e *explanation) ask() {
	e.decided = none
	for i, entry := range e.list {
		e.stage = max(e.stage, entry.Stage())
		answer, why := e.answer(entry)
		switch {
		case answer == yes:
			e.decided, e.why = i, why
			return
		case answer == perhaps && e.open < maxOpen:
			e.say("entry %d, %q, is open: %s", i+1, entry, why)
		}
		if answer == perhaps {
			e.open++
		}
	}
}

func (e *explanation) say(format string, args ...any) {
	fmt.Fprintf(&e.text, format+"\n", args...)
}

// conclude says what follows.
func (e *explanation) conclude() {
	if e.open > maxOpen {
		e.say("and %d more entries are open", e.open-maxOpen)
	}
	permit := e.fallback
	switch {
	case e.decided != none:
		e.say("entry %d, %q, matches: %s", e.decided+1, e.list[e.decided], e.why)
		permit = e.permit[e.decided] && !e.peer.refuses(e.client, e.decided)
	case e.client.Addr.IsValid() || e.unixFallback == e.fallback:
		e.say("no entry matches: the opposite of the last one, %q, holds", e.list[len(e.list)-1])
	default:
		permit = e.unixFallback
		e.say("no entry matches, and none can be about a client on a Unix socket: it passes")
	}
	verdict := "denied"
	if permit {
		verdict = "permitted"
	}
	if e.open > 0 {
		verdict += ", unless an open entry matches"
	}
	e.say("%s; decided at the stage: %s", verdict, e.stage)
}

// answer is whether an entry matches.
type answer int

const (
	no answer = iota
	yes
	perhaps // it cannot be said
)

// whether is yes or no.
func whether(matches bool) answer {
	if matches {
		return yes
	}
	return no
}

// answer asks one entry. why is for yes and perhaps.
func (e *explanation) answer(entry Entry) (a answer, why string) {
	c := e.client
	switch {
	case entry.All:
		return yes, "so does every client"
	case entry.Peer != "":
		return e.peerAnswer(entry)
	case entry.SNI != "" || entry.JA4 != "":
		return e.helloAnswer(entry)
	case entry.Cert != "":
		return e.certAnswer(entry)
	case !c.Addr.IsValid():
		return no, ""
	}
	addr := c.Addr.Unmap().WithZone("")
	switch {
	case entry.Country != "" || entry.Continent != "" || entry.ASN != 0:
		return e.placeAnswer(entry, addr)
	case entry.File != "":
		return e.fileAnswer(entry, addr)
	}
	if addr.BitLen() != entry.Addr.BitLen() || and(addr, entry.Mask) != entry.Addr {
		return no, ""
	}
	if !contiguous(entry.Mask) {
		return yes, fmt.Sprintf("%s under the mask %s is %s", addr, entry.Mask, entry.Addr)
	}
	return yes, fmt.Sprintf("%s is in %s", addr, netip.PrefixFrom(entry.Addr, maskLen(entry.Mask)))
}

func (e *explanation) fileAnswer(entry Entry, addr netip.Addr) (answer, string) {
	p, line, ok := e.files[entry.File].find(addr)
	return whether(ok), fmt.Sprintf("%s is in %s, line %d of %s", addr, p, line, entry.File)
}

func (e *explanation) placeAnswer(entry Entry, addr netip.Addr) (answer, string) {
	g := e.place.geography
	by := ""
	if names := g.Describe(); names != "" {
		by = " by " + names
	}
	switch {
	case entry.Country != "":
		code, ok := g.Country(addr)
		if !ok {
			return whether(entry.Country == UnknownCountry), fmt.Sprintf("the country of %s is unknown%s", addr, by)
		}
		return whether(code == entry.Country), fmt.Sprintf("%s is in country %s%s", addr, code, by)
	case entry.Continent != "":
		code, ok := g.Continent(addr)
		return whether(ok && code == entry.Continent), fmt.Sprintf("%s is on continent %s%s", addr, code, by)
	}
	number, ok := g.ASN(addr)
	return whether(ok && number == entry.ASN), fmt.Sprintf("%s is in AS%d%s", addr, number, by)
}

func (e *explanation) peerAnswer(entry Entry) (answer, string) {
	c := e.client
	if !c.Unix {
		if c.Addr.IsValid() {
			return no, ""
		}
		return yes, fmt.Sprintf("the peer's %s is not known, so the client is refused", entry.Peer)
	}
	id := c.UID
	if entry.Peer == PeerGID {
		id = c.GID
	}
	return whether(id == entry.ID), fmt.Sprintf("that is the peer's %s", entry.Peer)
}

func (e *explanation) helloAnswer(entry Entry) (answer, string) {
	rules := helloRules{first: none, firstJA4: none}
	rules.add(entry, 0)
	known := *e.client
	if entry.JA4 != "" {
		if known.JA4 == nil || known.JA4() == "" {
			return perhaps, "the fingerprint of the ClientHello is not known"
		}
		return whether(rules.earlier(&known, none) == 0), "that is the fingerprint"
	}
	switch known.Name {
	case "":
		return perhaps, "the name in the ClientHello is not known"
	case noName:
		known.Name = ""
		return whether(rules.earlier(&known, none) == 0), "the client names no host"
	}
	return whether(rules.earlier(&known, none) == 0), fmt.Sprintf("the client names %q", known.Name)
}

func (e *explanation) certAnswer(entry Entry) (answer, string) {
	if e.client.Cert == nil {
		return perhaps, "the client's certificate is not known"
	}
	rules := newCertRules()
	if err := rules.add(entry, 0); err != nil {
		return no, ""
	}
	return whether(rules.earlier(e.client.Cert, none) == 0), "the certificate that the client has shown"
}
