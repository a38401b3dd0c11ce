package tls

import (
	stdtls "crypto/tls"
	"maps"
	"slices"
	"sync/atomic"
)

// Counter is one number of the statistics.
type Counter struct {
	// Group is what is counted: "handshake" (full, resumed, routed,
	// validation), "version", "cipher", "group", "ech" (accepted), "client
	// certificate" (shown), "failure" (the reasons of HandshakeError).
	Group string
	Name  string
	Count uint64 // since the Terminator was made
}

// counts are the counters of a Terminator. What is counted where is fixed, so
// that strangers cannot make it grow.
type counts struct {
	rows []*row // in the order of the statistics

	full, resumed, routed, validated, ech, clientCert *row

	versions map[uint16]*row
	ciphers  map[uint16]*row
	groups   map[stdtls.CurveID]*row
	failures map[string]*row
}

// row is a counter.
type row struct {
	group, name string
	atomic.Uint64
}

// count adds one. r may be nil: what nobody foresaw is not counted.
func (r *row) count() {
	if r != nil {
		r.Add(1)
	}
}

func newCounts() *counts {
	c := &counts{
		versions: make(map[uint16]*row), ciphers: make(map[uint16]*row),
		groups: make(map[stdtls.CurveID]*row), failures: make(map[string]*row),
	}
	c.full, c.resumed = c.add("handshake", "full"), c.add("handshake", "resumed")
	c.routed, c.validated = c.add("handshake", "routed"), c.add("handshake", "validation")
	for _, v := range []uint16{stdtls.VersionTLS13, stdtls.VersionTLS12, stdtls.VersionTLS11, stdtls.VersionTLS10} {
		c.versions[v] = c.add("version", stdtls.VersionName(v))
	}
	for _, suite := range append(stdtls.CipherSuites(), stdtls.InsecureCipherSuites()...) {
		c.ciphers[suite.ID] = c.add("cipher", suite.Name)
	}
	for _, id := range []stdtls.CurveID{
		stdtls.X25519MLKEM768, stdtls.SecP256r1MLKEM768, stdtls.SecP384r1MLKEM1024,
		stdtls.X25519, stdtls.CurveP256, stdtls.CurveP384, stdtls.CurveP521,
	} {
		c.groups[id] = c.add("group", groupName(id))
	}
	c.ech, c.clientCert = c.add("ech", "accepted"), c.add("client certificate", "shown")
	for _, reason := range reasons() {
		c.failures[reason] = c.add("failure", reason)
	}
	for _, reason := range append(slices.Sorted(maps.Values(alertReasons())), reasonAlert+"other") {
		c.failures[reason] = c.add("failure", reason)
	}
	return c
}

func (c *counts) add(group, name string) *row {
	r := &row{group: group, name: name}
	c.rows = append(c.rows, r)
	return r
}

// success counts a handshake that is done.
func (c *counts) success(state stdtls.ConnectionState) {
	if state.DidResume {
		c.resumed.count()
	} else {
		c.full.count()
	}
	c.versions[state.Version].count()
	c.ciphers[state.CipherSuite].count()
	c.groups[state.CurveID].count()
	if state.ECHAccepted {
		c.ech.count()
	}
	if len(state.PeerCertificates) > 0 {
		c.clientCert.count()
	}
}

// failure counts a handshake that failed.
func (c *counts) failure(reason string) { c.failures[reason].count() }

// CountPlainHTTP counts a client that spoke HTTP without TLS and was answered
// in kind, without Handshake.
func (t *Terminator) CountPlainHTTP() { t.counts.failure(ReasonPlainHTTP) }

// Stats returns all counters, those that are zero too, always in one order.
func (t *Terminator) Stats() []Counter {
	out := make([]Counter, len(t.counts.rows))
	for i, r := range t.counts.rows {
		out[i] = Counter{r.group, r.name, r.Load()}
	}
	return out
}
