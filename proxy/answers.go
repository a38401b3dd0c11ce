package proxy

import (
	"strconv"

	"edgepen/httpx"
	"edgepen/proxy/relay"
)

// answer is one of our own, with the administrator's page where there is one.
func (s *snapshot) answer(status int, detail string, head bool) []byte {
	return (&httpx.Answer{Status: status, Detail: detail, Page: s.pages[status], Head: head}).Append(nil)
}

// brief is how a connection is answered that gets one answer of our own.
func (s *snapshot) brief() relay.Brief {
	return relay.Brief{HeadLimit: s.HeadMax, Timeout: s.HeadTimeout, Pages: s.pages}
}

// redirect answers an ACME authority that validates a name (http-01), and sends everybody else to HTTPS.
func (c *connection) redirect() {
	validated := false
	brief := c.snap.brief()
	brief.Silent, brief.Witness = c.denied, c
	relay.Respond(relay.NewStream(c.client, nil), brief, func(r *httpx.Request, head []byte) []byte {
		if answer, ok := c.p.acme.answer(string(r.Host(head)), string(r.Path(head))); ok {
			validated = true
			return httpx.AppendText(nil, answer, r.IsHead)
		}
		if c.denied {
			return nil
		}
		return c.sendToHTTPS(r, head, strconv.Itoa(int(c.snap.tlsPort())))
	})
	if c.denied && !validated {
		c.note()
	}
}

// plainHTTP answers a client that speaks HTTP where TLS is spoken.
func (c *connection) plainHTTP() {
	stream := relay.NewStream(c.client, nil)
	switch {
	case c.denied:
		c.note()
	case c.snap.PlainHTTP == PlainRedirected:
		brief := c.snap.brief()
		brief.Timeout, brief.Witness = shorter(c.snap.HeadTimeout, c.snap.HandshakeTimeout), c
		relay.Respond(stream, brief, func(r *httpx.Request, head []byte) []byte { return c.sendToHTTPS(r, head, "") })
	default:
		page := c.snap.answer(400, "this port speaks HTTPS: use https:// in the address", false)
		c.journal.answered(400, stream.Farewell(page))
	}
}

// sendToHTTPS answers a request that came without TLS; "" stands for the port that it names. One of which a proxy says that it came to itself
// over TLS would be sent where it was, and come back without end. Nor is it served: what is asked of clients with TLS has not been asked.
func (c *connection) sendToHTTPS(r *httpx.Request, head []byte, port string) []byte {
	if c.said.TLS || c.snap.trusts(c.addr) && r.SaidSecure(head, c.snap.TrustedField, c.snap.trusts) {
		c.p.log.Info("request not sent to HTTPS", "client", c.shown, "listener", c.listener.Address,
			"why", "the proxy before us says that it came over TLS: it has to connect to a listener for TLS, or to one for plain HTTP (--listen ADDR,plain)")
		return c.snap.answer(421, "this address only sends plain HTTP to HTTPS, and the request came over HTTPS already", r.IsHead)
	}
	if answer := r.AppendSecure(nil, head, port); answer != nil {
		return answer
	}
	return c.snap.answer(400, "this is served over HTTPS only, and the request names no host to go to", r.IsHead)
}
