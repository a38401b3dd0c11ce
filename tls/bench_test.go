package tls

import (
	stdtls "crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"edgepen/certs"
	"edgepen/certs/certtest"
)

// clientHello records the bytes that crypto/tls's client sends in a handshake.
func clientHello(t testing.TB, term *Terminator) string {
	t.Helper()
	return clientHelloOf(t, term, &stdtls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"http/1.1"}})
}

// clientHelloOf is clientHello of a client of one's own.
func clientHelloOf(t testing.TB, term *Terminator, config *stdtls.Config) string {
	t.Helper()
	near, far := net.Pipe()
	var sent strings.Builder
	done := make(chan error, 1)
	go func() {
		_, err := term.Handshake(near, time.Now().Add(patience), Checks{})
		near.Close()
		done <- err
	}()
	client := stdtls.Client(recorder{far, &sent}, config)
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
	term := fixed(profile(b, f.source(), Options{}))
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

// BenchmarkChoice is what finding the configuration and the certificate of a
// client costs, among 1000 names.
func BenchmarkChoice(b *testing.B) {
	f := newFarm(b)
	names := []string{"localhost"}
	for i := range 1000 {
		names = append(names, fmt.Sprintf("host%d.example", i))
	}
	many := f.source()
	many.Certs = append(many.Certs, f.issue(b, certtest.NewKey(b), names...))
	for _, bench := range []struct {
		name   string
		source certs.Source
	}{{"one", f.source()}, {"many", many}, {"two kinds", twoKinds(b, f)}} {
		b.Run(bench.name, func(b *testing.B) {
			term := fixed(profile(b, bench.source, Options{}))
			hello := aHello(b, term, f.client())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := term.base.GetConfigForClient(hello); err != nil {
					b.Fatal(err)
				}
				if _, err := pickCertificate(hello); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
