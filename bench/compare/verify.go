package main

import (
	"context"
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// clientTLS is how clients of w speak TLS, nil for plain workloads. Sessions are not kept, so every handshake is a full one.
func clientTLS(w workload, trusted *x509.CertPool) *stdtls.Config {
	if !w.mode.encrypted() {
		return nil
	}
	protocol := "http/1.1"
	if w.mode == modeHTTP2 {
		protocol = "h2"
	}
	return &stdtls.Config{
		RootCAs:          trusted,
		ServerName:       serverName,
		NextProtos:       []string{protocol},
		MinVersion:       stdtls.VersionTLS13,
		CurvePreferences: w.groups,
	}
}

// verify checks on one connection that the contender does what w measures, and says what was negotiated.
func verify(ctx context.Context, cl *client, c contender, w workload) (negotiated string, err error) {
	if w.mode == modeUDP {
		return "", nil // it was seen when it was waited for
	}
	conn, err := cl.connect(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer interruptible(ctx, conn)()
	conn.SetDeadline(time.Now().Add(exchangeTime))
	if t, ok := conn.(*stdtls.Conn); ok {
		if negotiated, err = verifyHandshake(t.ConnectionState(), c.expectedGroup(w.groups)); err != nil {
			return negotiated, err
		}
	}
	if w.mode == modeHTTP2 {
		return negotiated, verifyMultiplexed(conn, w)
	}
	for range 2 { // the second request of a connection has been forgotten before
		if w.mode.forwards() {
			if err := verifyForwarded(conn); err != nil {
				return negotiated, err
			}
		}
		if err := verifyBody(conn, w); err != nil {
			return negotiated, err
		}
	}
	return negotiated, nil
}

// verifyHandshake demands the one TLS version, cipher suite and group that make contenders comparable.
func verifyHandshake(s stdtls.ConnectionState, group stdtls.CurveID) (negotiated string, err error) {
	negotiated = fmt.Sprintf("%s, %s, %s", stdtls.VersionName(s.Version), s.CurveID, stdtls.CipherSuiteName(s.CipherSuite))
	if s.HelloRetryRequest {
		negotiated += ", after a HelloRetryRequest"
	}
	switch {
	case s.Version != stdtls.VersionTLS13:
		err = errors.New("expected TLS 1.3")
	case s.CurveID != group:
		err = fmt.Errorf("expected the group %s", group)
	case s.CipherSuite != stdtls.TLS_AES_128_GCM_SHA256:
		err = errors.New("expected TLS_AES_128_GCM_SHA256")
	case s.DidResume:
		err = errors.New("expected a full handshake, not a resumed session")
	}
	if err != nil {
		err = fmt.Errorf("negotiated %s: %w", negotiated, err)
	}
	return negotiated, err
}

// verifyForwarded demands that the server sees the client's address and nothing else in X-Forwarded-For.
func verifyForwarded(conn net.Conn) error {
	want := conn.LocalAddr().(*net.TCPAddr).IP.String()
	got, err := get(conn, make([]byte, 4096), workload{path: pathEcho}.request())
	if err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("the server saw %q in X-Forwarded-For, expected %q", got, want)
	}
	return nil
}

// verifyBody demands the whole right answer to w's request.
func verifyBody(conn net.Conn, w workload) error {
	want := w.body()
	got, err := get(conn, make([]byte, 4096+len(want)), w.request())
	if err != nil {
		return err
	}
	if string(got) != string(want) {
		return fmt.Errorf("the body is not the server's: %.60q", got)
	}
	return nil
}
