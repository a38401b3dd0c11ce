package tls

import (
	stdtls "crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"edgepen/certs"
)

// clientHello records the bytes that crypto/tls's client sends in a handshake.
func clientHello(t testing.TB, term *Terminator) string {
	t.Helper()
	near, far := net.Pipe()
	var sent strings.Builder
	done := make(chan error, 1)
	go func() {
		_, err := term.Handshake(near, time.Now().Add(patience))
		near.Close()
		done <- err
	}()
	client := stdtls.Client(recorder{far, &sent}, &stdtls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"http/1.1"}})
	client.Handshake()
	client.Read(make([]byte, 1)) // the session ticket, so that the server can end
	far.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return sent.String()
}

// BenchmarkHandshake counts both sides' work over loopback, connecting included; the
// client trusts blindly, so that most of it is the server's.
func BenchmarkHandshake(b *testing.B) {
	f := newFarm(b)
	term := fixed(profile(b, certs.Source{Cert: f.cert}, Options{}))
	for _, bench := range []struct {
		name   string
		curve  stdtls.CurveID
		resume bool
	}{
		{"full/X25519", stdtls.X25519, false},
		{"full/X25519MLKEM768", stdtls.X25519MLKEM768, false},
		{"resumed/X25519", stdtls.X25519, true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			client := &stdtls.Config{InsecureSkipVerify: true, ServerName: "localhost", CurvePreferences: []stdtls.CurveID{bench.curve}}
			if bench.resume {
				client.ClientSessionCache = stdtls.NewLRUClientSessionCache(1)
				try(b, term, client)
			}
			b.ReportAllocs()
			for b.Loop() {
				if o := try(b, term, client); o.both() != nil || o.info.Resumed != bench.resume {
					b.Fatalf("resumed %v, %v", o.info.Resumed, o.both())
				}
			}
		})
	}
}
