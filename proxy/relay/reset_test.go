package relay

import (
	"errors"
	"fmt"
	"net"
	"testing"
)

type resettable struct {
	net.Conn
	code uint32
}

func (r *resettable) ResetAs(code uint32) { r.code = code }

type resetBy uint32

func (r resetBy) Error() string     { return "reset" }
func (r resetBy) ResetCode() uint32 { return uint32(r) }

// TestResetAlike: what a server says by a reset reaches clients that can be told so, if it is about the request.
func TestResetAlike(t *testing.T) {
	for _, c := range []struct {
		cause error
		code  uint32
	}{
		{resetBy(resetCancel), resetCancel},
		{fmt.Errorf("behind words: %w", resetBy(resetEnhanceYourCalm)), resetEnhanceYourCalm},
		{resetBy(2), 0},
		{errors.New("no reset"), 0},
	} {
		conn := new(resettable)
		x := exchange{client: NewPlainStream(conn)}
		if got := x.resetAlike(c.cause); got != (c.code != 0) || conn.code != c.code {
			t.Errorf("%v: %v, code %d", c.cause, got, conn.code)
		}
	}
	_, plain := side(t, "tcp")
	if x := (exchange{client: plain}); x.resetAlike(resetBy(resetCancel)) {
		t.Error("a client of HTTP/1.1 cannot be told")
	}
}
