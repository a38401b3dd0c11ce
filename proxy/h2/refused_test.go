package h2

import (
	"context"
	"net"
	"net/http"
	"testing"
)

// TestRefusedIsTold: what never becomes a request of HTTP/1.1 is told of, with what its client sees.
func TestRefusedIsTold(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	go Serve(t.Context(), conn, Config{Streams: 1, HeadMax: 8 << 10,
		Exchange: func(context.Context, net.Conn) { t.Error("it became a request") },
		Refused: func(r *http.Request, status, page int, why error) {
			if r.Method != "CONNECT" || status != 400 || page != len(errConnect.Error())+1 {
				t.Errorf("%s: %d, %d bytes", r.Method, status, page)
			}
			told <- why
		}})
	f := newFrames(t, client)
	f.headers(1, true, map[string]string{":method": "CONNECT", ":path": "", ":scheme": ""})
	if err := <-told; err != errConnect {
		t.Error(err)
	}
}
