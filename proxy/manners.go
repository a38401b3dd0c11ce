package proxy

import (
	"fmt"
	"time"

	"edgepen/httpx"
	"edgepen/proxy/h2"
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
	if secure && c.HSTS.MaxAge > 0 {
		const name = "Strict-Transport-Security"
		p.Remove = append(p.Remove[:len(p.Remove):len(p.Remove)], name)
		p.Append = name + ": " + c.HSTS.header() + "\r\n"
	}
	if len(p.Remove) == 0 && p.Via == "" {
		return nil
	}
	return p
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
	config.Request, config.Upload, config.Download, config.Pages = s.RequestTimeout, s.BodyPace, s.ResponsePace, s.pages
	f.Forwarded, f.RealIP, f.Via, f.IDName = s.Forwarded, s.RealIP, s.Via, s.RequestID
	if c.protocol == h2.Protocol {
		f.Version = "2"
	}
	if s.Forwarded {
		if at := localAddr(c.client); at.IsValid() {
			f.By = at.Addr().String()
		}
	}
	c.forward = f
}
