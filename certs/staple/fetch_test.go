package staple

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edgepen/certs/certtest"
)

// TestPost talks to a real server.
func TestPost(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/ocsp-request" {
			t.Errorf("%s %v", r.Method, r.Header)
		}
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, maxResponse+1)) })
	mux.Handle("/moved", http.RedirectHandler("/echo", http.StatusTemporaryRedirect))
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusTemporaryRedirect))
	server := httptest.NewServer(mux)
	defer server.Close()
	p := poster{newClient()}
	if p.client.Transport.(*http.Transport).Proxy != nil {
		t.Error("the environment may name a proxy")
	}
	tests := []struct{ path, want, err string }{
		{"/echo", "request", ""},
		{"/moved", "request", ""},
		{"/round", "", "more than 3 redirects"},
		{"/none", "", "the answer is 404 Not Found, expected 200"},
		{"/long", "", "the response has more than 1048576 bytes"},
	}
	for _, tt := range tests {
		got, err := p.post(t.Context(), server.URL+tt.path, []byte("request"))
		if string(got) != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %q, %v; want %q, %s", tt.path, got, err, tt.want, tt.err)
		}
	}
	if _, err := p.post(t.Context(), "http://[bad", nil); err == nil {
		t.Error("a bad URL is asked")
	}
}

func TestResponders(t *testing.T) {
	got := responders([]string{"ldap://a/", "HTTP://b", "https://c/x", "http://", "d"})
	if want := []string{"HTTP://b", "https://c/x"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestOpenSSLResponder fetches from openssl ocsp, and has the certificate
// revoked there.
func TestOpenSSLResponder(t *testing.T) {
	for _, revoked := range []bool{false, true} {
		t.Run(fmt.Sprint("revoked ", revoked), func(t *testing.T) {
			address := freeAddress(t)
			p := newPKI(t, "http://"+address+"/")
			startOpenSSL(t, p, address, revoked)
			fetchFrom(t, p, revoked)
		})
	}
}

// freeAddress is a loopback address that nobody listens at.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startOpenSSL starts openssl's responder until the test ends, and waits until
// it listens.
func startOpenSSL(t *testing.T, p *pki, address string, revoked bool) {
	t.Helper()
	dir := t.TempDir()
	index := "V\t400101000000Z\t\t05\tunknown\t/CN=host\n"
	if revoked {
		index = "R\t400101000000Z\t200101000000Z,keyCompromise\t05\tunknown\t/CN=host\n"
	}
	for name, content := range map[string]string{
		"ca.pem": certtest.PEM(p.ca.Cert), "r.pem": certtest.PEM(p.responder),
		"r.key": certtest.KeyPEM(t, p.responderKey), "index.txt": index,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, port, _ := net.SplitHostPort(address)
	responder := exec.Command("openssl", "ocsp", "-port", port, "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "r.pem", "-rkey", "r.key", "-nmin", "60")
	responder.Dir = dir
	output, err := responder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := responder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		responder.Process.Kill()
		responder.Wait()
	})
	// It serves one connection at a time, so a dial to see would be in the way.
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "ACCEPT") {
			return
		}
	}
	t.Fatal("openssl ocsp does not listen")
}

// fetchFrom has a keeper ask the responder that p's certificate names.
func fetchFrom(t *testing.T, p *pki, revoked bool) {
	t.Helper()
	log := &logBuffer{}
	k := NewKeeper(slog.New(slog.NewTextHandler(log, nil)))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := make(chan []byte, 1)
	ended := make(chan struct{})
	go func() { k.Run(ctx); close(ended) }()
	k.Keep([]Certificate{{Leaf: p.leaf, Issuer: p.ca.Cert, Set: func(der []byte) { got <- der }}}, true)
	if !revoked {
		select {
		case der := <-got:
			if next, err := Verify(der, p.leaf, p.ca.Cert, time.Now()); err != nil || time.Until(next) > time.Hour {
				t.Errorf("until %v, %v", next, err)
			}
			if status := k.Status(p.leaf); !strings.HasPrefix(status, "good until ") {
				t.Error(status)
			}
		case <-ctx.Done():
			t.Errorf("nothing was stapled: %s\n%s", k.Status(p.leaf), log)
		}
	} else {
		ticks := time.NewTicker(20 * time.Millisecond)
		defer ticks.Stop()
		for ctx.Err() == nil && !strings.Contains(k.Status(p.leaf), "was revoked on 2020-01-01 00:00:00 UTC") {
			<-ticks.C
		}
		if ctx.Err() != nil {
			t.Errorf("not found revoked: %s\n%s", k.Status(p.leaf), log)
		}
	}
	cancel()
	<-ended
}
