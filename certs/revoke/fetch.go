package revoke

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

const (
	maxFetched   = 32 << 20 // bytes of one list
	maxRedirects = 3
)

// fetchable reports whether a distribution point is asked: http and https
// (RFC 5280 section 4.2.1.13), not ldap.
func fetchable(location string) bool {
	return hasScheme(location, "http://") || hasScheme(location, "https://")
}

func hasScheme(location, scheme string) bool {
	return len(location) > len(scheme) && strings.EqualFold(location[:len(scheme)], scheme)
}

// fetcher gets lists over HTTP.
type fetcher struct {
	client *http.Client
	limit  int64 // bytes
}

// newFetcher makes a client of our own: no proxy from the environment, no
// connection kept, no compression that could blow up.
func newFetcher() *fetcher {
	return &fetcher{limit: maxFetched, client: &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: patience}).DialContext,
			TLSHandshakeTimeout:    patience,
			ResponseHeaderTimeout:  2 * patience,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true,
			DisableCompression:     true,
		},
		CheckRedirect: redirect,
	}}
}

// redirect follows at most three, and none to another scheme but https.
func redirect(next *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	former := via[len(via)-1].URL.Scheme
	if next.URL.Scheme != "https" && next.URL.Scheme != former {
		return fmt.Errorf("redirect from %s to %s", former, next.URL.Scheme)
	}
	return nil
}

// get fetches one list. Errors do not repeat the URL.
func (f *fetcher) get(ctx context.Context, location string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return nil, inner(err)
	}
	request.Header.Set("User-Agent", "edgepen")
	response, err := f.client.Do(request)
	if err != nil {
		return nil, inner(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s, expected 200", response.Status)
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, f.limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > f.limit {
		return nil, fmt.Errorf("the list has more than %d bytes", f.limit)
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
