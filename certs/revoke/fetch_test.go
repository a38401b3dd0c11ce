package revoke

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestFetcher talks to a real server.
func TestFetcher(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/list", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("list")) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 11)) })
	mux.HandleFunc("/packed", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("compression is asked for: %v", r.Header)
		}
	})
	mux.Handle("/1", http.RedirectHandler("/2", http.StatusFound))
	mux.Handle("/2", http.RedirectHandler("/3", http.StatusFound))
	mux.Handle("/3", http.RedirectHandler("/list", http.StatusFound))
	mux.Handle("/0", http.RedirectHandler("/1", http.StatusFound))
	mux.Handle("/file", http.RedirectHandler("file:///etc/passwd", http.StatusFound))
	server := httptest.NewServer(mux)
	defer server.Close()

	f := newFetcher()
	f.limit = 10
	if f.client.Transport.(*http.Transport).Proxy != nil {
		t.Error("the environment may name a proxy")
	}
	tests := []struct{ path, want, err string }{
		{"/list", "list", ""},
		{"/1", "list", ""},
		{"/0", "", "more than 3 redirects"},
		{"/file", "", "redirect from http to file"},
		{"/none", "", "the answer is 404 Not Found, expected 200"},
		{"/long", "", "the list has more than 10 bytes"},
		{"/packed", "", ""},
	}
	for _, tt := range tests {
		got, err := f.get(t.Context(), server.URL+tt.path)
		if string(got) != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %q, %v; want %q, %s", tt.path, got, err, tt.want, tt.err)
		}
	}
	if _, err := f.get(t.Context(), "http://[bad"); err == nil {
		t.Error("a bad URL is fetched")
	}
	server.Close()
	if _, err := f.get(t.Context(), server.URL); err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "Get ") {
		t.Errorf("%v", err)
	}
}

// TestRedirectFromHTTPS holds that https is not led to http.
func TestRedirectFromHTTPS(t *testing.T) {
	target := httptest.NewServer(http.NotFoundHandler())
	defer target.Close()
	server := httptest.NewTLSServer(http.RedirectHandler(target.URL, http.StatusFound))
	defer server.Close()
	f := newFetcher()
	f.client.Transport = server.Client().Transport
	if _, err := f.get(t.Context(), server.URL); err == nil || !strings.Contains(err.Error(), "redirect from https to http") {
		t.Errorf("%v", err)
	}
}
