package main

import (
	"bufio"
	"bytes"
	"context"
	stdtls "crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// streamsAtOnce is how many requests a client of HTTP/2 has under way.
const streamsAtOnce = 10

// h2Client is one connection of HTTP/2.
type h2Client struct {
	conn    net.Conn
	out     bytes.Buffer // frames to be written
	frames  *http2.Framer
	encoder *hpack.Encoder
	decoder *hpack.Decoder
	block   bytes.Buffer
	status  string            // of the head that was read last
	bodies  map[uint32][]byte // what has come, by stream
	next    uint32
	read    int // bytes of data that the server does not know of yet
}

func newH2Client(conn net.Conn) (*h2Client, error) {
	if t, ok := conn.(*stdtls.Conn); ok && t.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS {
		return nil, errors.New("HTTP/2 was not agreed on")
	}
	c := &h2Client{conn: conn, bodies: map[uint32][]byte{}, next: 1}
	c.frames = http2.NewFramer(&c.out, bufio.NewReaderSize(conn, 16<<10))
	c.frames.SetReuseFrames()
	c.encoder = hpack.NewEncoder(&c.block)
	c.decoder = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == ":status" {
			c.status = f.Value
		}
	})
	c.out.WriteString(http2.ClientPreface)
	return c, c.frames.WriteSettings()
}

// ask has a request written with what is written next.
func (c *h2Client) ask(path string) error {
	c.block.Reset()
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "bench.test"}, {":path", path},
		{"user-agent", "compare/1.0 (load generator)"}, {"accept", "text/html,application/json;q=0.9"}, {"accept-language", "en-GB"}} {
		if err := c.encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	c.bodies[c.next] = c.bodies[c.next][:0]
	err := c.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: c.next, BlockFragment: c.block.Bytes(), EndStream: true, EndHeaders: true})
	c.next += 2
	return err
}

// flush writes what was asked.
func (c *h2Client) flush() error {
	_, err := c.out.WriteTo(c.conn)
	return err
}

// answer reads until a response is whole, and returns its body.
func (c *h2Client) answer() ([]byte, error) {
	for {
		f, err := c.frames.ReadFrame()
		if err != nil {
			return nil, err
		}
		if err := c.take(f); err != nil {
			return nil, err
		}
		if d, ok := f.(*http2.DataFrame); ok && d.StreamEnded() {
			body := c.bodies[d.StreamID]
			delete(c.bodies, d.StreamID)
			return body, nil
		}
	}
}

// take does what a frame says.
func (c *h2Client) take(f http2.Frame) error {
	switch f := f.(type) {
	case *http2.HeadersFrame:
		if _, err := c.decoder.Write(f.HeaderBlockFragment()); err != nil || !f.HeadersEnded() || f.StreamEnded() || c.status != "200" {
			return fmt.Errorf("a head with status %q, whole %v, %w", c.status, f.HeadersEnded(), err)
		}
	case *http2.DataFrame:
		c.bodies[f.StreamID] = append(c.bodies[f.StreamID], f.Data()...)
		if c.read += int(f.Length); c.read >= 32<<10 {
			c.read -= 32 << 10
			return c.frames.WriteWindowUpdate(0, 32<<10)
		}
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return c.frames.WriteSettingsAck()
		}
	case *http2.RSTStreamFrame:
		return fmt.Errorf("a stream was reset: %v", f.ErrCode)
	case *http2.GoAwayFrame:
		return fmt.Errorf("the server says GOAWAY: %v", f.ErrCode)
	}
	return nil
}

// multiplexed makes requests on one connection of HTTP/2, several at a time.
func multiplexed(ctx context.Context, cl *client, _ []byte, n *tally) error {
	conn, err := cl.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Time{})
	defer interruptible(ctx, conn)()
	c, err := newH2Client(conn)
	if err != nil {
		return err
	}
	for range streamsAtOnce {
		if err := c.ask(pathForwarded); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		if err := c.flush(); err != nil {
			return err
		}
		body, err := c.answer()
		if err != nil {
			return err
		}
		if !bytes.Equal(body, cl.page) {
			return fmt.Errorf("wrong body: %.60q", body)
		}
		n.units.Add(1)
		if err := c.ask(pathForwarded); err != nil {
			return err
		}
	}
	return nil
}

// verifyMultiplexed demands that the server sees the client's address, and the right body.
func verifyMultiplexed(conn net.Conn, w workload) error {
	c, err := newH2Client(conn)
	if err != nil {
		return err
	}
	for _, one := range []struct{ path, want string }{
		{pathEcho, conn.LocalAddr().(*net.TCPAddr).IP.String()}, {w.path, string(w.body())}, {pathEcho, conn.LocalAddr().(*net.TCPAddr).IP.String()}} {
		if err := c.ask(one.path); err != nil {
			return err
		}
		if err := c.flush(); err != nil {
			return err
		}
		got, err := c.answer()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if string(got) != one.want {
			return fmt.Errorf("%s: the server's answer was %.60q, expected %.60q", one.path, got, one.want)
		}
	}
	return nil
}
