package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// headSignature begins a PROXY header of version 2. Such headers are read here by the letter of the specification, and not by what pen writes and reads
// them with: what is wrong there would be found right.
const headSignature = "\r\n\r\n\x00\r\nQUIT\n"

// introducedListener is for servers that demand a PROXY header of version 2.
type introducedListener struct{ net.Listener }

func (l introducedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &introducedConn{Conn: c}, nil
}

// introducedConn takes the header off what is read.
type introducedConn struct {
	net.Conn
	once sync.Once
	text string // the header, as describeHead writes it
	err  error
}

func (c *introducedConn) Read(p []byte) (int, error) {
	c.once.Do(func() {
		head := make([]byte, 16)
		if _, c.err = io.ReadFull(c.Conn, head); c.err != nil {
			return
		}
		rest := make([]byte, binary.BigEndian.Uint16(head[14:]))
		if _, c.err = io.ReadFull(c.Conn, rest); c.err == nil {
			c.text, _, c.err = describeHead(append(head, rest...))
		}
	})
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(p)
}

// introductionOf is the header that a connection began with.
func introductionOf(c net.Conn) string {
	if i, ok := c.(*introducedConn); ok {
		return i.text
	}
	return "no header\n"
}

// describeHead writes the header that b begins with in hexadecimal: a line of command, transport and addresses, and one of each field with its type, length and
// value, those within another one indented. What follows the header is the payload.
func describeHead(b []byte) (text string, payload []byte, err error) {
	addresses := map[byte]int{0: 0, 1: 12, 2: 36, 3: 216}
	if len(b) < 16 || !strings.HasPrefix(string(b), headSignature) || len(b) < 16+int(binary.BigEndian.Uint16(b[14:])) {
		return "", nil, fmt.Errorf("no PROXY header of version 2: %q", b)
	}
	end := 16 + int(binary.BigEndian.Uint16(b[14:]))
	fields := 16 + addresses[b[13]>>4]
	if fields > end {
		return "", nil, fmt.Errorf("a PROXY header without room for its addresses: %q", b)
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%x %x\n", b[12:14], b[16:fields])
	err = describeFields(&s, "", b[fields:end])
	return s.String(), b[end:], err
}

// tlsField is the type of the field that has others within, behind a byte about the client and four about its certificate.
const tlsField = 0x20

func describeFields(s *strings.Builder, indent string, b []byte) error {
	for len(b) > 0 {
		if len(b) < 3 || len(b) < 3+int(binary.BigEndian.Uint16(b[1:])) {
			return fmt.Errorf("a field is cut: %q", b)
		}
		value := b[3 : 3+int(binary.BigEndian.Uint16(b[1:]))]
		if b[0] == tlsField && len(value) >= 5 {
			fmt.Fprintf(s, "%s%x %x %x %x\n", indent, b[:1], b[1:3], value[:1], value[1:5])
			if err := describeFields(s, indent+"  ", value[5:]); err != nil {
				return err
			}
		} else {
			fmt.Fprintf(s, "%s%x %x %x\n", indent, b[:1], b[1:3], value)
		}
		b = b[3+len(value):]
	}
	return nil
}
