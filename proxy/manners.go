package proxy

import (
	"fmt"
	"time"

	"edgepen/httpx"
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
