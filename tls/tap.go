package tls

import (
	"errors"
	"net"
)

// tapLimit bounds what is remembered of a client before its ClientHello has
// been read: crypto/tls takes 64 KiB at most, unless it comes in tiny records.
const tapLimit = 64 << 10

var errLongHello = errors.New("the ClientHello takes more than 64 KiB")

// tap lies below TLS during a handshake. Where the connection may yet go on
// elsewhere, as it is, it remembers what has been read, and can hold back what
// TLS would answer. It also keeps the end of what was read last.
type tap struct {
	net.Conn
	read     []byte
	remember bool // read is wanted
	silent   bool // nothing may be sent any more
	done     bool // nothing needs to be kept any more

	tail [alertSize]byte
	last int // how much of tail, from its end, is the last Read's
}

// Read implements net.Conn.
func (t *tap) Read(p []byte) (int, error) {
	if t.done {
		return t.Conn.Read(p)
	}
	if t.remember {
		if len(t.read) == tapLimit {
			return 0, errLongHello
		}
		p = p[:min(len(p), tapLimit-len(t.read))]
	}
	n, err := t.Conn.Read(p)
	if t.remember {
		t.read = append(t.read, p[:n]...)
	}
	if n > 0 {
		t.last = copy(t.tail[len(t.tail)-min(n, len(t.tail)):], p[max(0, n-len(t.tail)):n])
	}
	return n, err
}

// Write implements net.Conn.
func (t *tap) Write(p []byte) (int, error) {
	if t.silent {
		return len(p), nil
	}
	return t.Conn.Write(p)
}

// forget ends remembering. t is nil where the handshake is over.
func (t *tap) forget() {
	if t != nil {
		t.remember, t.read = false, nil
	}
}

// alertSize is the length of a record with an alert in the clear.
const alertSize = 7

// plainAlert is the code of the fatal alert that the last read ended in, if it
// was sent in the clear. That is how OpenSSL sends the alert by which a client
// refuses the server's certificate under TLS 1.3, when crypto/tls expects
// everything to be encrypted, and takes it for a record that was tampered with.
func (t *tap) plainAlert() (code uint8, ok bool) {
	const alert, major, fatal = 21, 3, 2
	r := &t.tail
	ok = t.last == alertSize && r[0] == alert && r[1] == major && r[3] == 0 && r[4] == 2 && r[5] == fatal
	return r[6], ok
}
