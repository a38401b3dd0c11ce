package relay

import "errors"

// What a server may say by resetting its stream that a client understands as its own word (RFC 9113 section 7).
const (
	resetCancel          = 8
	resetEnhanceYourCalm = 11
)

// resetAlike has the client's stream reset with the code that the server has reset its own with, where both are streams of HTTP/2, and the code is about
// the request. To gRPC these are answers: a call whose time is over, or of which there are too many.
func (x *exchange) resetAlike(cause error) bool {
	var reset interface{ ResetCode() uint32 }
	client, ok := x.client.sock.Conn.(interface{ ResetAs(code uint32) })
	if !ok || !errors.As(cause, &reset) {
		return false
	}
	switch code := reset.ResetCode(); code {
	case resetCancel, resetEnhanceYourCalm:
		client.ResetAs(code)
		return true
	}
	return false
}
