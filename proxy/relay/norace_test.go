//go:build !race

package relay

// tlsAllocs is what crypto/tls allocates for an exchange, both sides together: a small reader for each read of its own.
const tlsAllocs = 3
