package h2

import (
	"net"
	"strings"
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
	told := make(chan Refusal, 1)
	go Serve(t.Context(), conn, Config{Streams: 1, HeadMax: 1 << 10,
		Exchange: func(*Stream) { t.Error("it became a request") },
		Refused:  func(r *Refusal) { told <- *r }})
	f := newFrames(t, client)
	f.headers(1, true, map[string]string{":method": "CONNECT"})
	if r := <-told; r.Method != "CONNECT" || r.Status != 0 || r.Why != errMissing {
		t.Errorf("%+v", r)
	}
	f.headers(3, true, map[string]string{"x": strings.Repeat("y", 2000)})
	if r := <-told; r.Path != "/" || r.Authority != "example.com" || r.Status != 431 || r.Page == 0 || r.Why != errLarge {
		t.Errorf("%+v", r)
	}
}
