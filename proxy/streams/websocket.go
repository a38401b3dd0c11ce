package streams

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
)

// RFC 8441 and RFC 9220 let a stream become what an upgrade of HTTP/1.1 makes of a connection; servers are asked for the latter. The key and what is answered to
// it (RFC 6455 section 4.1) are not in the former, and so are ours.

// acceptSuffix is what a server puts behind the key before it hashes it (RFC 6455 section 1.3).
const acceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// AppendUpgrade writes the fields of an upgrade to WebSocket and returns what has to be answered. Where it is refused, what the client says is not to be
// taken for the next request: the connection ends then.
func AppendUpgrade(dst []byte) (_ []byte, accept string) {
	var nonce [16]byte
	rand.Read(nonce[:]) //nolint:errcheck // it never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	dst = append(append(append(dst, "Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "...), key...), "\r\n"...)
	return dst, AcceptOf(key)
}

// AcceptOf is what a server answers to a key.
func AcceptOf(key string) string {
	sum := sha1.Sum([]byte(key + acceptSuffix))
	return base64.StdEncoding.EncodeToString(sum[:])
}
