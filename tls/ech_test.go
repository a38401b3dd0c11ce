package tls

import (
	stdtls "crypto/tls"
	"errors"
	"testing"

	"edgepen/certs"
	"edgepen/certs/certtest"
	"edgepen/certs/ech"
)

// withECH is a source with the keys.
func withECH(t testing.TB, source certs.Source, keys ...ech.Key) certs.Source {
	t.Helper()
	source.ECHKeys = certtest.Write(t, "ech.pem", string(ech.Format(keys)))
	return source
}

func echKey(t testing.TB, id uint8, retry bool) ech.Key {
	t.Helper()
	key, err := ech.Generate("public.test", id)
	if err != nil {
		t.Fatal(err)
	}
	key.Retry = retry
	return key
}

// TestECH lets a client encrypt its name, before and after the keys rotate,
// with one Terminator all the time: what is accepted and what is to be retried
// with both follow the Profile.
func TestECH(t *testing.T) {
	f := newFarm(t)
	first, second := echKey(t, 1, true), echKey(t, 2, true)
	former := first
	former.Retry = false
	source := certs.Source{Certs: []string{f.issue(t, certtest.NewKey(t), "public.test"), f.issue(t, certtest.NewKey(t), "secret.test")}}
	both := profile(t, withECH(t, source, second, former), Options{})
	only2 := profile(t, withECH(t, source, second), Options{})
	none := profile(t, source, Options{})
	current := profile(t, withECH(t, source, first), Options{})
	term := NewTerminator(func() *Profile { return current })
	list := ech.ConfigList([]ech.Key{first})
	visit := func(list []byte) (outcome, Hello) {
		client := f.clientOf("secret.test")
		client.EncryptedClientHelloConfigList, client.MinVersion = list, stdtls.VersionTLS13
		var heard Hello
		o := tryChecked(t, term, client, Checks{
			Hello: func(h *Hello) error { heard = *h; h.JA4(); return nil },
			Route: func(h *Hello) bool { return h.Encrypted },
		})
		return o, heard
	}
	accepted := func(when string, list []byte) {
		t.Helper()
		o, heard := visit(list)
		if o.both() != nil || !o.info.ECH || o.info.ServerName != "secret.test" || !o.state.ECHAccepted || o.shown() != "secret.test" {
			t.Fatalf("%s: %+v (%v)", when, o.info, o.both())
		}
		if !heard.Encrypted || heard.ServerName != "secret.test" {
			t.Errorf("%s: heard %+v", when, heard)
		}
	}
	accepted("the first key", list)
	current = both
	accepted("a former key", list)
	current = only2

	o, heard := visit(list)
	rejected, ok := errors.AsType[*stdtls.ECHRejectionError](o.client)
	if !ok || heard.Encrypted || heard.ServerName != "public.test" {
		t.Fatalf("a key that is gone: client %v, heard %+v", o.client, heard)
	}
	if string(rejected.RetryConfigList) != string(ech.ConfigList([]ech.Key{second})) {
		t.Errorf("to be retried with %x", rejected.RetryConfigList)
	}
	if o.server != nil || o.info.ECH { // the client says so only after the handshake
		t.Errorf("server: %+v, %v", o.info, o.server)
	}
	accepted("retried", rejected.RetryConfigList)
	if got := count(term, "ech", "accepted"); got != 3 {
		t.Errorf("%d counted", got)
	}

	current = none
	if o, _ := visit(list); o.client == nil {
		t.Error("accepted without keys")
	}
	if o := try(t, term, f.clientOf("secret.test")); o.both() != nil || o.info.ECH {
		t.Errorf("without ECH: %v", o.both())
	}
}

// TestECHPublicName warns where nobody vouches for the public name.
func TestECHPublicName(t *testing.T) {
	f := newFarm(t)
	for name, want := range map[string]int{"secret.test": 1, "public.test": 0} {
		source := certs.Source{Certs: []string{f.issue(t, certtest.NewKey(t), name)}}
		got := profile(t, withECH(t, source, echKey(t, 1, true)), Options{}).Warnings()
		if len(got) != want || want == 1 && got[0] != "no certificate for public.test, the public name of an ECH key: clients whose ECH configuration is out of date cannot connect" {
			t.Errorf("%s: warnings %q", name, got)
		}
	}
}

// TestECHWithJA4 holds that the fingerprint is the one that everybody on the
// way sees, and the Profile is asked for once.
func TestECHWithJA4(t *testing.T) {
	f := newFarm(t)
	key := echKey(t, 1, true)
	source := certs.Source{Certs: []string{f.issue(t, certtest.NewKey(t), "public.test", "secret.test")}}
	p, calls := profile(t, withECH(t, source, key), Options{}), 0
	term := NewTerminator(func() *Profile { calls++; return p })
	prints := make(map[string]int)
	for _, name := range []string{"secret.test", "public.test"} {
		client := f.clientOf(name)
		client.EncryptedClientHelloConfigList, client.MinVersion = ech.ConfigList([]ech.Key{key}), stdtls.VersionTLS13
		calls = 0
		o := tryChecked(t, term, client, Checks{Hello: func(h *Hello) error {
			prints[h.JA4()]++
			if h.wire.ServerName != "public.test" || !h.Encrypted {
				t.Errorf("fingerprint of the ClientHello for %s", h.wire.ServerName)
			}
			return nil
		}})
		if o.both() != nil || calls != 1 {
			t.Errorf("%s: current was called %d times (%v)", name, calls, o.both())
		}
	}
	if len(prints) != 1 {
		t.Errorf("fingerprints %v", prints)
	}
}
