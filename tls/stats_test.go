package tls

import (
	stdtls "crypto/tls"
	"testing"

	"edgepen/tls/policy"
)

// TestStats counts a few handshakes.
func TestStats(t *testing.T) {
	f := newFarm(t)
	term := fixed(profile(t, f.withCA(), Options{ClientAuth: "optional", Policy: policy.Options{Compat: true}}))
	newer := withCert(t, f.client(), f.root, nil)
	newer.ClientSessionCache = stdtls.NewLRUClientSessionCache(1)
	older := f.client()
	older.MaxVersion, older.CurvePreferences = stdtls.VersionTLS12, []stdtls.CurveID{stdtls.CurveP256}
	older.CipherSuites = []uint16{stdtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
	oldest := f.client()
	oldest.MinVersion, oldest.MaxVersion = stdtls.VersionTLS10, stdtls.VersionTLS10
	for _, client := range []*stdtls.Config{newer, newer, newer, older, oldest} {
		o := try(t, term, client)
		if o.both() != nil {
			t.Fatal(o.both())
		}
		if client == older && o.info.Group != "P-256" || client == newer && o.info.Group != "X25519MLKEM768" {
			t.Errorf("group %q", o.info.Group)
		}
	}
	for _, want := range []Counter{
		{"handshake", "full", 3}, {"handshake", "resumed", 2}, {"handshake", "routed", 0},
		{"version", "TLS 1.3", 3}, {"version", "TLS 1.2", 1}, {"version", "TLS 1.0", 1},
		{"cipher", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 1},
		{"group", "X25519MLKEM768", 3}, {"group", "P-256", 1}, {"ech", "accepted", 0},
		{"client certificate", "shown", 3}, {"failure", ReasonTimeout, 0},
	} {
		if got := count(term, want.Group, want.Name); got != want.Count {
			t.Errorf("%s/%s: %d, want %d", want.Group, want.Name, got, want.Count)
		}
	}
}

// TestStatsNames holds that no two counters share a name, and that all reasons
// have one.
func TestStatsNames(t *testing.T) {
	term := fixed(nil)
	seen := make(map[string]bool)
	for _, c := range term.Stats() {
		if name := c.Group + "/" + c.Name; seen[name] || c.Name == "" {
			t.Errorf("%q twice", name)
		} else {
			seen[name] = true
		}
	}
	for _, reason := range reasons() {
		if !seen["failure/"+reason] {
			t.Errorf("%q is not counted", reason)
		}
	}
}

func TestCountingAllocations(t *testing.T) {
	c := newCounts()
	state := stdtls.ConnectionState{Version: stdtls.VersionTLS13, CipherSuite: stdtls.TLS_AES_128_GCM_SHA256, CurveID: stdtls.X25519}
	if n := testing.AllocsPerRun(100, func() {
		c.success(state)
		c.failure(ReasonTimeout)
		c.success(stdtls.ConnectionState{Version: 1, CipherSuite: 1, CurveID: 1})
		c.failure("nobody foresaw it")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
