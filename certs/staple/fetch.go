package staple

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	patience     = 10 * time.Second // for one responder's answer
	maxResponse  = 1 << 20          // bytes of it
	maxRedirects = 3
)

// responders are the addresses that can be asked: http and https (RFC 6960
// appendix A), not ldap.
func responders(locations []string) []string {
	var usable []string
	for _, location := range locations {
		scheme, rest, ok := strings.Cut(location, "://")
		if scheme = strings.ToLower(scheme); ok && rest != "" && (scheme == "http" || scheme == "https") {
			usable = append(usable, location)
		}
	}
	return usable
}

// newClient makes a client of our own: no proxy from the environment, no
// connection kept, no compression that could blow up.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: patience}).DialContext,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true,
			DisableCompression:     true,
		},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			return nil
		},
	}
}

// poster sends requests to responders.
type poster struct{ client *http.Client }

// post sends one request (RFC 6960 appendix A.1). Errors do not repeat the
// URL.
func (p poster) post(ctx context.Context, location string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, location, bytes.NewReader(request))
	if err != nil {
		return nil, inner(err)
	}
	r.Header.Set("Content-Type", "application/ocsp-request")
	r.Header.Set("Accept", "application/ocsp-response")
	r.Header.Set("User-Agent", "edgepen")
	response, err := p.client.Do(r)
	if err != nil {
		return nil, inner(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s, expected 200", response.Status)
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, maxResponse+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxResponse {
		return nil, fmt.Errorf("the response has more than %d bytes", maxResponse)
	}
	return content, nil
}

// inner is what a *url.Error is about.
func inner(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}
