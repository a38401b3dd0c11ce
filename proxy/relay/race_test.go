//go:build race

package relay

// tlsAllocs is what crypto/tls allocates for an exchange, both sides together: it has a pool too, and the race detector makes
// pools forget.
const tlsAllocs = 7
