//go:build !race

package proxy

import (
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"edgepen/httpx"
	"edgepen/proxy/relay"
)

// TestJournalAllocatesNothing: neither where requests are recorded, nor where they are not. (The race detector has pools forget.)
func TestJournalAllocatesNothing(t *testing.T) {
	p, _ := start(t, func(c *Config) { c.HTTP, c.AccessLogFormat = true, "json" })
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	head := []byte("GET /path?query HTTP/1.1\r\nHost: h\r\nUser-Agent: someone\r\nReferer: http://a.example/\r\n\r\n")
	var r httpx.Request
	if n, err := r.Parse(head, 1000); n == 0 || err != nil {
		t.Fatal(err)
	}
	c := &connection{p: p, listener: p.listeners[0], client: relay.NewPlainSocket(server), snap: p.now.Load(),
		addr: netip.MustParseAddr("192.0.2.1"), shown: "192.0.2.1", serverShown: "192.0.2.2", serverPort: 80}
	request := func() {
		if c.Begins() {
			c.Asked(&r, head)
			c.Ends(relay.Outcome{Status: 200, In: 1, Out: 2, OutHead: 1, Server: true, Upstream: time.Second})
		}
	}
	if n := testing.AllocsPerRun(1000, request); n != 0 || c.journal != nil {
		t.Errorf("%v allocations without an access log", n)
	}
	update(t, p, func(c *Config) { c.AccessLog = filepath.Join(t.TempDir(), "log") })
	if n := testing.AllocsPerRun(1000, request); n != 0 || c.journal == nil {
		t.Errorf("%v allocations", n)
	}
	if written, lost := p.access.Load().Counts(); lost > 0 {
		t.Errorf("%d written, %d lost", written, lost)
	}
}

// BenchmarkJournal is a request's share of the access log.
func BenchmarkJournal(b *testing.B) {
	for _, format := range []string{"off", "combined", "json"} {
		b.Run(format, func(b *testing.B) {
			p, _ := start(b, func(c *Config) {
				if c.HTTP = true; format != "off" {
					c.AccessLog, c.AccessLogFormat = "/dev/null", format
				}
			})
			if err := p.OpenOwn(); err != nil {
				b.Fatal(err)
			}
			_, server := net.Pipe()
			head := []byte("GET /path?query HTTP/1.1\r\nHost: h\r\nUser-Agent: someone\r\nReferer: http://a.example/\r\n\r\n")
			var r httpx.Request
			r.Parse(head, 1000) //nolint:errcheck // it is good
			c := &connection{p: p, listener: p.listeners[0], client: relay.NewPlainSocket(server), snap: p.now.Load(), shown: "192.0.2.1"}
			for b.Loop() {
				if c.Begins() {
					c.Asked(&r, head)
					c.Ends(relay.Outcome{Status: 200, In: 1, Out: 2, OutHead: 1})
				}
			}
		})
	}
}
