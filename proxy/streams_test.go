package proxy

import (
	"bufio"
	"bytes"
	stdtls "crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"edgepen/proxy/backend"
	"edgepen/proxy/streams"
)

// TestARefusedWebSocketBringsNoRequests: what a client says on a stream whose upgrade was refused is no request that follows on that connection.
func TestARefusedWebSocketBringsNoRequests(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.RequestURI)
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(srv.Close)
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{spec(t, srv.Listener.Addr().String())}
		c.HTTP = true
		c.Certificates.SelfSigned = "localhost"
	})
	fr := webSocket(t, p)
	fr.WriteData(1, false, []byte("GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")) //nolint:errcheck // seen below
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := f.(*http2.RSTStreamFrame); ok {
			break
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 1 || asked[0] != "/chat" {
		t.Errorf("the server was asked %q", asked)
	}
}

// webSocket asks for one on the first stream of a connection.
func webSocket(t *testing.T, p *Proxy) *http2.Framer {
	t.Helper()
	conn := stdtls.Client(dial(t, address(p, 0)), &stdtls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	io.WriteString(conn, http2.ClientPreface) //nolint:errcheck // what is read says so
	fr := http2.NewFramer(conn, conn)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"}, {":path", "/chat"}, {":authority", "localhost"}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) //nolint:errcheck // into memory
	}
	fr.WriteSettings()                                                                                    //nolint:errcheck // as above
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}) //nolint:errcheck // as above
	return fr
}

// TestIdleTimeoutOfTunnelsOnStreams: idle_timeout holds for WebSockets that are open already, on streams as well.
func TestIdleTimeoutOfTunnelsOnStreams(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, ln, func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		accept := streams.AcceptOf(req.Header.Get("Sec-WebSocket-Key"))
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+accept+"\r\n\r\n") //nolint:errcheck // the client sees it
		io.Copy(io.Discard, c)                                                                                                                         //nolint:errcheck // until it ends
	})
	p, _ := start(t, func(c *Config) {
		c.Servers = []backend.Spec{spec(t, ln.Addr().String())}
		c.HTTP = true
		c.Certificates.SelfSigned = "localhost"
	})
	fr := webSocket(t, p)
	opened := false
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f.(type) {
		case *http2.HeadersFrame:
			opened = true
			update(t, p, func(c *Config) { c.IdleTimeout = 100 * time.Millisecond })
		case *http2.RSTStreamFrame:
			if !opened {
				t.Error("it was never open")
			}
			return
		}
	}
}
