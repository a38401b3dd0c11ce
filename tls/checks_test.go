package tls

import (
	"context"
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"edgepen/certs"
	"edgepen/certs/certtest"
)

var errTest = errors.New("not today")

// TestHelloCheck holds what the check is told, and that its error reaches the
// client as access_denied, once; and ErrBusy as internal_error.
func TestHelloCheck(t *testing.T) {
	f := newFarm(t)
	term := fixed(profile(t, f.source(), Options{ALPN: "h2"}))
	for _, version := range []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13} {
		client := f.clientOf("LocalHost")
		client.MaxVersion, client.NextProtos = version, []string{"h2", "x"}
		var heard Hello
		hear := func(h *Hello) error { heard = *h; return nil }
		if o := tryChecked(t, term, client, Checks{Hello: hear}); o.both() != nil {
			t.Fatal(o.both())
		}
		if heard.ServerName != "localhost" || strings.Join(heard.ALPN, ",") != "h2,x" || heard.Versions[0] != version || heard.Encrypted {
			t.Errorf("heard %+v", heard)
		}
		o := tryChecked(t, term, client, Checks{Hello: func(*Hello) error { return errTest }})
		failed, ok := errors.AsType[*HandshakeError](o.server)
		if !ok || !errors.Is(failed, errTest) || failed.Reason != ReasonDenied || failed.Hello.ServerName != "localhost" || len(failed.Hello.JA4()) != 36 {
			t.Errorf("error %+v", o.server)
		}
		if o.client == nil || !strings.Contains(o.client.Error(), "access denied") {
			t.Errorf("the client sees %v", o.client)
		}
	}
	busy := newScript(clientHello(t, term))
	_, err := term.Handshake(busy, time.Time{}, Checks{Hello: func(*Hello) error { return ErrBusy }})
	if failed, ok := errors.AsType[*HandshakeError](err); !ok || failed.Reason != ReasonBusy || busy.out.String() != "\x15\x03\x01\x00\x02\x02\x50" {
		t.Errorf("error %v, sent % x", err, busy.out.String())
	}
	denied := newScript(clientHello(t, term))
	if _, err := term.Handshake(denied, time.Time{}, Checks{NeedsValidation: true}); !errors.Is(err, ErrDenied) || err.Error() != `TLS handshake for "localhost": refused by access list` {
		t.Errorf("error %v", err)
	}
	if got := denied.out.String(); got != "\x15\x03\x01\x00\x02\x02\x31" {
		t.Errorf("sent % x, want the alert", got)
	}
}

// TestRoute holds that a connection that is routed has not been answered, and
// that all it has sent can be handed on: a second Terminator finishes it.
func TestRoute(t *testing.T) {
	f := newFarm(t)
	behind := fixed(profile(t, f.source(), Options{}))
	for name, front := range map[string]*Terminator{
		"no profile": fixed(nil), "strict": fixed(profile(t, certs.Source{SelfSigned: "other.test"}, Options{StrictSNI: true})),
	} {
		near, far := tcpPair(t)
		served := make(chan error, 1)
		go func() {
			client := stdtls.Client(far, f.client())
			client.SetDeadline(time.Now().Add(patience))
			_, err := io.ReadFull(client, make([]byte, 1))
			served <- err
		}()
		var asked string
		_, err := front.Handshake(near, time.Now().Add(patience), Checks{Route: func(h *Hello) bool { asked = h.ServerName; return true }})
		routed, ok := errors.AsType[*Routed](err)
		if !ok || routed.ServerName != "localhost" || asked != "localhost" || routed.Read[0] != 0x16 {
			t.Fatalf("%s: %v", name, err)
		}
		conn, err := behind.Handshake(&replayed{near, routed.Read}, time.Now().Add(patience), Checks{})
		if err != nil {
			t.Fatalf("%s: behind: %v", name, err)
		}
		conn.Write([]byte("x"))
		if err := <-served; err != nil {
			t.Errorf("%s: the client sees %v", name, err)
		}
		if got := count(front, "handshake", "routed"); got != 1 {
			t.Errorf("%s: %d counted", name, got)
		}
	}
}

// TestNotRouted holds that what is not routed is served as if nobody had asked.
func TestNotRouted(t *testing.T) {
	f := newFarm(t)
	term := fixed(profile(t, f.source(), Options{}))
	near, far := tcpPair(t)
	go func() {
		client := stdtls.Client(far, f.client())
		io.Copy(client, client)
	}()
	conn, err := term.Handshake(near, time.Now().Add(patience), Checks{Route: func(*Hello) bool { return false }})
	if err != nil {
		t.Fatal(err)
	}
	if conn.NetConn() != near {
		t.Error("NetConn is not the accepted connection")
	}
	sent := strings.Repeat("0123456789", 10_000)
	go io.WriteString(conn, sent)
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != sent {
		t.Errorf("the echo differs (%v)", err)
	}
	conn.Close()
}

// TestLongHello sends a ClientHello in records of a byte.
func TestLongHello(t *testing.T) {
	term := fixed(profile(t, certs.Source{SelfSigned: "localhost"}, Options{}))
	hello := "\x01\x00\xff\xff" + strings.Repeat("\x00", 0xffff)
	var sent strings.Builder
	for _, c := range []byte(hello) {
		sent.WriteString("\x16\x03\x01\x00\x01" + string([]byte{c}))
	}
	route := Checks{Route: func(*Hello) bool { t.Error("asked"); return true }}
	if _, err := term.Handshake(newScript(sent.String()), time.Time{}, route); !errors.Is(err, errLongHello) {
		t.Errorf("error %v", err)
	}
}

// replayed is a connection of which something has been read already.
type replayed struct {
	net.Conn
	read []byte
}

func (r *replayed) Read(p []byte) (int, error) {
	if len(r.read) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.read)
	r.read = r.read[n:]
	return n, nil
}

// TestValidation holds that an ACME validation is answered whatever the checks
// and the Profile say, and that nothing else passes with it.
func TestValidation(t *testing.T) {
	f := newFarm(t)
	answer := f.certificate(t, "a.test").TLS()
	m := Material{Set: load(t, f.withCA()), Validation: func(name string) *stdtls.Certificate {
		if name == "a.test" {
			return answer
		}
		return nil
	}}
	refuse := Checks{
		NeedsValidation: true,
		Hello:           func(*Hello) error { return errTest },
		Route:           func(*Hello) bool { return true },
		ClientCert:      func(context.Context, [][]*x509.Certificate) error { return errTest },
	}
	term := fixed(profileOf(t, m, Options{ClientAuth: "required", ALPN: "h2", StrictSNI: true}))
	for _, test := range []struct {
		name   string
		alpn   []string
		answer bool
	}{
		{"a.test", []string{"acme-tls/1"}, true},
		{"A.Test", []string{"acme-tls/1"}, true},
		{"b.test", []string{"acme-tls/1"}, false},
		{"", []string{"acme-tls/1"}, false},
		{"a.test", []string{"acme-tls/1", "h2"}, false},
		{"a.test", []string{"h2", "acme-tls/1"}, false},
		{"a.test", []string{"h2"}, false},
		{"a.test", nil, false},
	} {
		client := &stdtls.Config{InsecureSkipVerify: true, ServerName: test.name, NextProtos: test.alpn}
		near, far := tcpPair(t)
		seen := make(chan stdtls.ConnectionState, 1)
		go func() {
			c := stdtls.Client(far, client)
			c.SetDeadline(time.Now().Add(patience))
			if err := c.Handshake(); err == nil {
				if _, err := c.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("%+v: then the client sees %v", test, err)
				}
			}
			seen <- c.ConnectionState()
		}()
		_, err := term.Handshake(near, time.Now().Add(patience), refuse)
		near.Close()
		state := <-seen
		if test.answer {
			if err != ErrValidated || state.NegotiatedProtocol != "acme-tls/1" || len(state.PeerCertificates) == 0 || state.PeerCertificates[0].Subject.CommonName != "a.test" {
				t.Errorf("%+v: %v", test, err)
			}
		} else if !errors.Is(err, ErrDenied) {
			t.Errorf("%+v: %v, want ErrDenied", test, err)
		}
	}
	if got := count(term, "handshake", "validation"); got != 2 {
		t.Errorf("%d counted", got)
	}
	client := f.client() // no validation is pending, and nothing is checked
	client.NextProtos = []string{"acme-tls/1"}
	if o := try(t, fixed(profile(t, f.source(), Options{})), client); !errors.Is(o.server, errNotPending) || reasonOf(o.server) != ReasonALPN {
		t.Errorf("a validation that is not pending: %v", o.both())
	}
	client.NextProtos = []string{"acme-tls/1", "h2"} // an ordinary client with an odd protocol
	if o := try(t, fixed(profile(t, f.source(), Options{})), client); o.both() != nil || o.info.ALPN != "" {
		t.Errorf("protocol %q (%v)", o.info.ALPN, o.both())
	}
}

// TestClientCertCheck holds when it is asked, with what, and what its error
// does; a resumed session is asked about again.
func TestClientCertCheck(t *testing.T) {
	f := newFarm(t)
	for _, test := range []struct {
		mode   string
		cert   bool
		chains string // what it is told; "-": not asked
	}{
		{"required", true, "client<middle<root"},
		{"optional", true, "client<middle<root"},
		{"optional", false, ""},
		{"off", true, "-"},
	} {
		for _, version := range []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13} {
			term := fixed(profile(t, f.withCA(), Options{ClientAuth: test.mode}))
			client := f.client()
			client.MaxVersion, client.ClientSessionCache = version, stdtls.NewLRUClientSessionCache(1)
			if test.cert {
				withCert(t, client, f.middle, nil)
			}
			told, verdict := "-", error(nil)
			checks := Checks{ClientCert: func(ctx context.Context, chains [][]*x509.Certificate) error {
				if _, limited := ctx.Deadline(); !limited {
					t.Error("nothing limits how long it may take")
				}
				told = describe(chains)
				return verdict
			}}
			for _, resumed := range []bool{false, true} {
				told = "-"
				o := tryChecked(t, term, client, checks)
				if o.both() != nil || told != test.chains || o.info.Resumed != resumed || o.info.ClientVerified != (test.cert && test.mode != "off") {
					t.Errorf("%+v: told %q, %+v (%v)", test, told, o.info, o.both())
				}
				if o.info.ClientVerified && describe([][]*x509.Certificate{o.info.PeerChain}) != test.chains {
					t.Errorf("%+v: the chain is %s", test, describe([][]*x509.Certificate{o.info.PeerChain}))
				}
			}
			if test.chains == "-" {
				continue
			}
			verdict = errTest // tightened: the session that was good no longer is
			o := tryChecked(t, term, client, checks)
			want := map[bool]string{true: ReasonClientCertDenied, false: ReasonNoClientCert}[test.cert]
			if failed, ok := errors.AsType[*HandshakeError](o.server); !ok || !errors.Is(failed, errTest) || failed.Reason != want || o.client == nil {
				t.Errorf("%+v: server %v, client %v", test, o.server, o.client)
			}
			verdict = fmt.Errorf("%w (for a test)", ErrDenied)
			o = tryChecked(t, term, client, checks)
			if failed, ok := errors.AsType[*HandshakeError](o.server); !ok || failed.Reason != ReasonDenied {
				t.Errorf("%+v: server %v", test, o.server)
			}
		}
	}
}

// describe names the certificates of the first chain.
func describe(chains [][]*x509.Certificate) string {
	if len(chains) == 0 {
		return ""
	}
	var names []string
	for _, c := range chains[0] {
		names = append(names, c.Subject.CommonName)
	}
	return strings.Join(names, "<")
}

// TestOptionalStranger holds that a certificate that need not be shown must be
// good where it is.
func TestOptionalStranger(t *testing.T) {
	f := newFarm(t)
	term := fixed(profile(t, f.withCA(), Options{ClientAuth: "optional"}))
	o := try(t, term, withCert(t, f.client(), certtest.NewRoot(t, "stranger"), nil))
	if failed, ok := errors.AsType[*HandshakeError](o.server); !ok || failed.Reason != ReasonClientCertCA {
		t.Errorf("error %v", o.server)
	}
}

// count is one number of the statistics.
func count(term *Terminator, group, name string) uint64 {
	for _, c := range term.Stats() {
		if c.Group == group && c.Name == name {
			return c.Count
		}
	}
	panic(fmt.Sprintf("no counter %s/%s", group, name))
}
