package proxy

import (
	"bytes"
	stdtls "crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"edgepen/proxy/backend"
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
	conn := stdtls.Client(dial(t, address(p, 0)), &stdtls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	io.WriteString(conn, http2.ClientPreface) //nolint:errcheck // seen below
	fr := http2.NewFramer(conn, conn)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"}, {":path", "/chat"}, {":authority", "localhost"}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) //nolint:errcheck // into memory
	}
	fr.WriteSettings()                                                                                    //nolint:errcheck // seen below
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}) //nolint:errcheck // seen below
	fr.WriteData(1, false, []byte("GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"))                   //nolint:errcheck // seen below
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
