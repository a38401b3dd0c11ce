package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"edgepen/proxy/backend"
)

// h2server counts its connections; it speaks HTTP/2, and HTTP/1.1 to who asks for that.
type h2server struct {
	*http.Server
	addr         string
	came, closed atomic.Int64
}

func newH2Server(t *testing.T, handle http.HandlerFunc) *h2server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &h2server{addr: ln.Addr().String()}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP1(true)
	s.Server = &http.Server{Handler: handle, Protocols: protocols, ConnState: func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.came.Add(1)
		case http.StateClosed:
			s.closed.Add(1)
		}
	}}
	go s.Serve(ln) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { s.Server.Close() })
	return s
}

// get asks the proxy over a connection of its own.
func get(t *testing.T, p *Proxy) (status int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get("http://" + address(p, 0) + "/")
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(all)
}

// together calls f so often at once.
func together(n int, f func()) {
	var all sync.WaitGroup
	for range n {
		all.Go(f)
	}
	all.Wait()
}

func version(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }

func TestRequestsShareATrunk(t *testing.T) {
	const n = 50
	var arrived sync.WaitGroup
	arrived.Add(n)
	s := newH2Server(t, func(w http.ResponseWriter, r *http.Request) {
		arrived.Done()
		arrived.Wait() // for the last one
		version(w, r)
	})
	p, _ := start(t, func(c *Config) {
		c.HTTP, c.BackendHTTP2, c.Servers = true, true, []backend.Spec{spec(t, s.addr)}
	})
	together(n, func() {
		if status, body := get(t, p); status != 200 || body != "HTTP/2.0" {
			t.Errorf("%d %q", status, body)
		}
	})
	if got := s.came.Load(); got != 1 {
		t.Errorf("%d connections", got)
	}
	until(t, "the places to be given back", func() bool { return p.now.Load().set.Servers[0].Conns() == 0 })
}

func TestTrunksEndWithTheirConfiguration(t *testing.T) {
	s := newH2Server(t, version)
	p, _ := start(t, func(c *Config) {
		c.HTTP, c.BackendHTTP2, c.Servers = true, true, []backend.Spec{spec(t, s.addr)}
	})
	get(t, p)
	p.trunks.tend(p.now.Load())
	if s.closed.Load() != 0 {
		t.Error("a trunk was closed that is good")
	}
	update(t, p, func(c *Config) { c.BackendHTTP2 = false })
	if _, body := get(t, p); body != "HTTP/1.1" {
		t.Errorf("a request by %q", body)
	}
	p.trunks.tend(p.now.Load())
	until(t, "the trunk to end", func() bool { return s.closed.Load() >= 1 })
}

func TestTrunksThatAreNotShared(t *testing.T) {
	s := newH2Server(t, version)
	p, _ := start(t, func(c *Config) {
		c.HTTP, c.BackendHTTP2, c.Reuse, c.Servers = true, true, false, []backend.Spec{spec(t, s.addr)}
	})
	for range 3 {
		if _, body := get(t, p); body != "HTTP/2.0" {
			t.Errorf("a request by %q", body)
		}
	}
	if got := s.came.Load(); got != 3 {
		t.Errorf("%d connections", got)
	}
	until(t, "them to end", func() bool { return s.closed.Load() == 3 })
}

// TestATrunkThatDiesIsReplaced, and while its server is gone everybody hears of it at once.
func TestATrunkThatDiesIsReplaced(t *testing.T) {
	s, other := newH2Server(t, version), newH2Server(t, version)
	p, _ := start(t, func(c *Config) {
		c.HTTP, c.BackendHTTP2, c.Blacklist = true, true, 0
		c.Servers = []backend.Spec{spec(t, s.addr), spec(t, other.addr)}
	})
	get(t, p)
	s.Server.Close()
	until(t, "the end to be seen", func() bool {
		status, _ := get(t, p)
		return status == 200
	})
	together(20, func() {
		if status, body := get(t, p); status != 200 || body != "HTTP/2.0" {
			t.Errorf("%d %q", status, body)
		}
	})
	other.Server.Close()
	until(t, "the end of the other one to be seen", func() bool {
		status, _ := get(t, p)
		return status == 502
	})
	together(20, func() {
		if status, _ := get(t, p); status != 502 {
			t.Errorf("%d from servers that are gone", status)
		}
	})
}
