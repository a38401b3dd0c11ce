package tls

import (
	"errors"
	"net"
)

// tapLimit bounds what is remembered of a client before its ClientHello has
// been read: crypto/tls takes 64 KiB at most, unless it comes in tiny records.
const tapLimit = 64 << 10

var errLongHello = errors.New("the ClientHello takes more than 64 KiB")

// tap lies below TLS where the connection may yet go on elsewhere, as it is:
// it remembers what has been read, and can hold back what TLS would answer.
type tap struct {
	net.Conn
	read   []byte
	done   bool // nothing needs to be remembered any more
	silent bool // nothing may be sent any more
}

// Read implements net.Conn.
func (t *tap) Read(p []byte) (int, error) {
	if t.done {
		return t.Conn.Read(p)
	}
	if len(t.read) == tapLimit {
		return 0, errLongHello
	}
	n, err := t.Conn.Read(p[:min(len(p), tapLimit-len(t.read))])
	t.read = append(t.read, p[:n]...)
	return n, err
}

// Write implements net.Conn.
func (t *tap) Write(p []byte) (int, error) {
	if t.silent {
		return len(p), nil
	}
	return t.Conn.Write(p)
}

// forget ends remembering. t may be nil.
func (t *tap) forget() {
	if t != nil {
		t.done, t.read = true, nil
	}
}
