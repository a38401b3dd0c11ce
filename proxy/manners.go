package proxy

import (
	"fmt"
	"time"

	"edgepen/httpx"
	"edgepen/proxy/h3"
	"edgepen/proxy/relay"
)

// header is the field's value.
func (h HSTS) header() string {
	value := fmt.Sprintf("max-age=%d", h.MaxAge/time.Second)
	if h.Subdomains {
		value += "; includeSubDomains"
	}
	if h.Preload {
		value += "; preload"
	}
	return value
}

// responsePolicy is what is changed in responses to clients with TLS or without; nil: nothing.
func (c *Config) responsePolicy(secure bool) *httpx.ResponsePolicy {
	p := &httpx.ResponsePolicy{Remove: c.RemoveFields, Via: c.Via}
	if c.RequestID != "" {
		p.Remove = append(p.Remove[:len(p.Remove):len(p.Remove)], c.RequestID)
	}
	if secure && c.HSTS.On {
		set(p, "Strict-Transport-Security", c.HSTS.header())
	}
	if len(p.Remove) == 0 && p.Via == "" {
		return nil
	}
	return p
}

// set has a field of ours take the place of the server's.
func set(p *httpx.ResponsePolicy, name, value string) {
	p.Remove = append(p.Remove[:len(p.Remove):len(p.Remove)], name)
	p.Append += name + ": " + value + "\r\n"
}

// altSvcAge is for how long clients remember that there is HTTP/3.
const altSvcAge = 24 * time.Hour

// announcingPolicies are responsePolicy with TLS for the listeners that offer HTTP/3 as well: clients learn of it from their first responses (RFC 7838).
func (c *Config) announcingPolicies() map[string]*httpx.ResponsePolicy {
	all := map[string]*httpx.ResponsePolicy{}
	for _, l := range c.Listeners {
		port := ListenPort(l.Address)
		if !c.offersHTTP3(l) || port == 0 {
			continue
		}
		p := c.responsePolicy(true)
		if p == nil {
			p = &httpx.ResponsePolicy{}
		}
		set(p, "Alt-Svc", fmt.Sprintf("%s=\":%d\"; ma=%d", h3.Protocol, port, altSvcAge/time.Second))
		all[l.Address] = p
	}
	return all
}

// responsePolicy is what is changed in responses to this client. HTTP/3 is announced to who has come over TCP and TLS by itself: behind a proxy
// nobody would reach it, and who is denied is told of nothing.
func (c *connection) responsePolicy(secure bool) *httpx.ResponsePolicy {
	if secure && c.quic == nil && !c.denied && !c.proxies && !c.said.Client.IsValid() {
		if p := c.snap.announcing[c.listener.Address]; p != nil {
			return p
		}
	}
	return c.snap.policies[secure]
}

// stalled is how long a client may take nothing at all of what there is for it; 0: for ever.
func (c *Config) stalled() time.Duration {
	if c.ResponsePace.Rate == 0 {
		return c.exchangeIdle()
	}
	return shorter(c.exchangeIdle(), c.ResponsePace.Grace)
}

// manners sets how requests and responses of a connection are treated beside where they come from and go to.
func (c *connection) manners(config *relay.HTTPConfig) {
	s, f := c.snap, &config.Forward
	config.Request, config.Download, config.Pages = s.RequestTimeout, s.ResponsePace, s.pages
	if !s.BackendHTTP2 { // where an upload costs a server a stream, not a connection, and may be one of gRPC's that is slow for hours
		config.Upload = s.BodyPace
	}
	f.Forwarded, f.RealIP, f.Via, f.IDName = s.Forwarded, s.RealIP, s.Via, s.RequestID
	switch {
	case c.quic != nil:
		f.Version = "3"
	case c.severalAtOnce():
		f.Version = "2"
	}
	if s.Forwarded {
		if at := localAddr(c.client); at.IsValid() {
			f.By = at.Addr().String()
		}
	}
	c.forward = f
}
