package tls

import (
	"bytes"
	stdtls "crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"edgepen/certs"
	"edgepen/certs/certtest"
	"edgepen/certs/ticket"
)

// TestKeyring rotates keys for some weeks, and after a long silence.
func TestKeyring(t *testing.T) {
	var m ringmaster
	begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var all []ticket.Key // newest first
	for hour := range 24 * 20 {
		now := begun.Add(time.Duration(hour) * time.Hour)
		ring := m.current(now)
		if len(all) == 0 || ring.keys[0] != all[0] {
			all = slices.Insert(all, 0, ring.keys[0])
		}
		if want := hour/24 + 1; len(all) != want {
			t.Fatalf("after %d hours: %d keys so far, want %d", hour, len(all), want)
		}
		if want := all[:min(len(all), ticketsKept)]; !slices.Equal(ring.keys, want) {
			t.Fatalf("after %d hours: keys %x, want %x", hour, ring.keys, want)
		}
	}
	last := m.current(begun.Add(20 * 24 * time.Hour))
	later := m.current(begun.Add(25 * 24 * time.Hour))
	if len(later.keys) != 3 || !slices.Equal(later.keys[1:], last.keys[:2]) {
		t.Errorf("after 5 days of silence %d keys, want a new one and 2", len(later.keys))
	}
	if ring := m.current(begun.Add(100 * 24 * time.Hour)); len(ring.keys) != 1 || ring.keys[0] == last.keys[0] {
		t.Errorf("after 75 days of silence %d keys", len(ring.keys))
	}
}

// TestKeyringAtOnce holds that all who ask at once get the same keys.
func TestKeyringAtOnce(t *testing.T) {
	var m ringmaster
	now, rings := time.Now(), make([]*keyring, 20)
	var all sync.WaitGroup
	for i := range rings {
		all.Go(func() { rings[i] = m.current(now) })
	}
	all.Wait()
	for _, ring := range rings {
		if ring != rings[0] {
			t.Fatal("two sets of keys")
		}
	}
}

// TestSessionLife resumes sessions as time goes by: keys rotate, and a session
// is resumed for 7 days.
func TestSessionLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term := fixed(profile(t, certs.Source{SelfSigned: "localhost"}, Options{}))
		visit := func(cache stdtls.ClientSessionCache) bool {
			near, far := net.Pipe()
			defer far.Close()
			client := stdtls.Client(far, &stdtls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: cache})
			go func() {
				if conn, err := term.Handshake(near, time.Time{}, Checks{}); err == nil {
					conn.Write([]byte("x"))
				}
				near.Close()
			}()
			if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			return client.ConnectionState().DidResume
		}
		cache := stdtls.NewLRUClientSessionCache(1)
		if visit(cache) {
			t.Fatal("nothing to resume")
		}
		for day := range 6 { // each visit is given a new ticket
			<-time.After(24 * time.Hour)
			if !visit(cache) {
				t.Errorf("not resumed on day %d", day+1)
			}
			if len(term.tickets.ring.Load().keys) != day+2 {
				t.Errorf("day %d: %d keys", day+1, len(term.tickets.ring.Load().keys))
			}
		}
		<-time.After(8 * 24 * time.Hour)
		if visit(cache) {
			t.Error("resumed after 8 days")
		}
	})
}

// TestReloads resumes 200 sessions over 50 changes of the Profile.
func TestReloads(t *testing.T) {
	f := newFarm(t)
	for _, mode := range []string{"", "required"} {
		current := profile(t, f.withCA(), Options{ClientAuth: mode})
		term := NewTerminator(func() *Profile { return current })
		clients := make([]*stdtls.Config, 4)
		for i := range clients {
			clients[i] = withCert(t, f.client(), f.root, nil)
			clients[i].ClientSessionCache = stdtls.NewLRUClientSessionCache(1)
			if i%2 == 1 {
				clients[i].MaxVersion = stdtls.VersionTLS12
			}
			try(t, term, clients[i])
		}
		resumed := 0
		for i := range 50 {
			source := f.withCA()
			if i%2 == 0 {
				source.Certs = append(source.Certs, f.issue(t, certtest.NewKey(t), "other.test"))
			}
			current = profile(t, source, Options{ClientAuth: mode, StrictSNI: i%3 == 0})
			term.Use(current)
			for _, client := range clients {
				o := try(t, term, client)
				if o.both() != nil {
					t.Fatal(o.both())
				}
				if o.info.Resumed {
					resumed++
				}
			}
		}
		if resumed < 198 {
			t.Errorf("%q: %d of 200 resumed", mode, resumed)
		}
	}
}

// TestTicketFile holds that two Terminators with the same file resume each
// other's sessions, also where client certificates are asked for, and that
// without the file each has its own keys again.
func TestTicketFile(t *testing.T) {
	f := newFarm(t)
	file := certtest.Write(t, "ticket.key", string(bytes.Repeat([]byte("0123456789abcde\xff"), 3)))
	for _, mode := range []string{"", "required"} {
		profiles := make(map[bool]*Profile)
		for _, shared := range []bool{false, true} {
			source := f.withCA()
			if shared {
				source.TicketKeys = file
			}
			profiles[shared] = profile(t, source, Options{ClientAuth: mode})
		}
		current := profiles[true]
		one, two := NewTerminator(func() *Profile { return current }), NewTerminator(func() *Profile { return current })
		client := withCert(t, f.client(), f.root, nil)
		client.ClientSessionCache = stdtls.NewLRUClientSessionCache(1)
		for _, step := range []struct {
			term            *Terminator
			shared, resumed bool
		}{
			{one, true, false}, {two, true, true}, {one, true, true},
			{one, false, false}, {one, false, true}, {two, false, false},
			{two, true, false}, {one, true, true},
		} {
			current = profiles[step.shared]
			step.term.Use(current)
			if o := try(t, step.term, client); o.both() != nil || o.info.Resumed != step.resumed {
				t.Fatalf("%q: %+v: resumed %v (%v)", mode, step, o.info.Resumed, o.both())
			}
		}
	}
}

// TestAskedAnew holds that a client is asked for its certificate where it has
// a session that was begun without being asked, or for other CAs.
func TestAskedAnew(t *testing.T) {
	f := newFarm(t)
	other := f.source()
	other.CAFile = certtest.Write(t, "both.pem", certtest.PEM(f.root.Cert, certtest.NewRoot(t, "another").Cert))
	off, optional := profile(t, f.withCA(), Options{}), profile(t, f.withCA(), Options{ClientAuth: "optional"})
	required, more := profile(t, f.withCA(), Options{ClientAuth: "required"}), profile(t, other, Options{ClientAuth: "optional"})
	for _, test := range []struct {
		name          string
		before, after *Profile
		late          bool // the client has its certificate for the second visit only
		resumed       bool
	}{
		{"off, optional", off, optional, true, false},
		{"off, required", off, required, true, false},
		{"optional without a certificate, more CAs", optional, more, true, false},
		{"optional, the same", optional, optional, false, true},
		{"optional, required", optional, required, false, true},
		{"required, optional", required, optional, false, true},
	} {
		for _, version := range []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13} {
			current := test.before
			term := NewTerminator(func() *Profile { return current })
			cert := withCert(t, f.client(), f.root, nil).GetClientCertificate
			client := f.client()
			client.MaxVersion, client.ClientSessionCache = version, stdtls.NewLRUClientSessionCache(1)
			if !test.late {
				client.GetClientCertificate = cert
			}
			if o := try(t, term, client); o.both() != nil {
				t.Fatal(o.both())
			}
			current, client.GetClientCertificate = test.after, cert
			o := try(t, term, client)
			if o.both() != nil || o.info.Resumed != test.resumed || !o.info.ClientVerified {
				t.Errorf("%s, %s: resumed %v, verified %v (%v)", test.name, stdtls.VersionName(version), o.info.Resumed, o.info.ClientVerified, o.both())
			}
		}
	}
}

// TestDerivedKeys holds that the keys depend on the CAs, and on nothing that
// differs between machines.
func TestDerivedKeys(t *testing.T) {
	ring := &keyring{keys: []ticket.Key{{1}, {2}}}
	pool := func(names ...string) *variant {
		p := x509.NewCertPool()
		for _, name := range names {
			p.AddCert(certtest.NewRoot(t, name).Cert)
		}
		return &variant{config: &stdtls.Config{ClientAuth: stdtls.VerifyClientCertIfGiven, ClientCAs: p}}
	}
	one := pool("a", "b").keys(ring)
	if !slices.Equal(one, pool("b", "a").keys(ring)) {
		t.Error("not the same keys for the same names")
	}
	if one[0] == one[1] || one[0] == ring.keys[0] || one[0] == pool("a").keys(ring)[0] {
		t.Error("keys do not differ")
	}
}
