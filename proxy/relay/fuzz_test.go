package relay

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"edgepen/httpx"
	"edgepen/httpx/smugglingtest"
)

// FuzzHTTP sends what a stranger may send through a relay. The server reads it with net/http: it must never see a request
// that net/http refuses, nor the relay hang or fail to end.
func FuzzHTTP(f *testing.F) {
	for _, s := range []string{
		get, get + get, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" + get,
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n" + get,
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
		"PUT http://h/x?y HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
		"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "\r\n\r\n" + get, "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly",
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s), uint16(0))
		f.Add([]byte(s), uint16(len(s)/2))
	}
	for _, c := range smugglingtest.Load(f, "../..") {
		if len(c.Raw) < 4096 {
			f.Add(c.Raw, uint16(0))
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { ln.Close() })
	connect := func() (near, far net.Conn, err error) {
		if near, err = net.Dial("tcp", ln.Addr().String()); err == nil {
			far, err = ln.Accept()
		}
		return near, far, err
	}
	f.Fuzz(func(t *testing.T, stream []byte, cut uint16) {
		client, near, err := connect()
		if err != nil {
			t.Fatal(err)
		}
		deadline(t, client)
		var served []chan struct{}
		config := HTTPConfig{
			Forward: httpx.Forward{Client: "192.0.2.1", Proto: "https", Port: "443"}, HeadLimit: 16 << 10, HeadTimeout: patience,
			Idle: patience, Disconnected: func() {}, Refused: func(int, error) {}, Meter: &meter{},
			Connect: func(bool) (*Stream, error) {
				server, far, err := connect()
				if err != nil {
					return nil, err
				}
				done := make(chan struct{})
				served = append(served, done)
				go func() {
					defer close(done)
					serveStandard(t, server)
				}()
				s, err := NewSocket(far)
				return NewStream(s, nil), err
			},
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			HTTP(NewStream(socket(t, near), nil), &config)
		}()
		// In two parts, the second once the server may have had the first.
		at := min(int(cut), len(stream))
		client.Write(stream[:at])          //nolint:errcheck // it may be refused half way
		client.Write(stream[at:])          //nolint:errcheck // as above
		client.(*net.TCPConn).CloseWrite() //nolint:errcheck // as above
		if _, err := io.Copy(io.Discard, client); err != nil && isTimeout(err) {
			t.Error("the client is left waiting")
		}
		client.Close()
		closed(t, "the relay to end", ended)
		for _, done := range served {
			closed(t, "the server to end", done)
		}
	})
}

// serveStandard answers what net/http accepts and complains about the rest.
func serveStandard(t *testing.T, c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a broken relay hangs without it, and fails otherwise
	for r := bufio.NewReader(c); ; {
		if _, err := r.Peek(1); err != nil {
			return
		}
		req, err := http.ReadRequest(r)
		if err != nil {
			t.Errorf("the server got a request that net/http refuses: %v", err)
			return
		}
		if got := req.Header["X-Forwarded-For"]; len(got) != 1 || got[0] != "192.0.2.1" {
			t.Errorf("the server got X-Forwarded-For %q", got)
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return // cut off, as it was at the client
		}
		if _, err := io.WriteString(c, ok("")); err != nil {
			return
		}
	}
}
