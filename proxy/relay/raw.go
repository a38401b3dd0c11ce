package relay

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// spliceAfter is how many full reads in a row show that a transfer is bulk: setting up a pipe costs more than it
// gains for anything shorter.
const spliceAfter = 4

// spliceChunk is how many bytes the kernel moves between two looks at the counters. With an idle time-out the looks
// have to be closer together, since a slow transfer shows no progress between them.
const (
	spliceChunk     = 8 << 20
	spliceChunkIdle = 256 << 10
)

// Meter is told of every byte that was passed on.
type Meter interface {
	Up(n int64)   // from the client to the server
	Down(n int64) // from the server to the client
}

// Raw relays bytes both ways until both sides have closed, one has failed, or nothing has moved for idle (0: for ever).
// Each side's end of data is passed on to the other, which may go on sending. Both streams are closed when it returns.
func Raw(client, server *Stream, idle time.Duration, m Meter) {
	r := rawRelay{client: client, server: server, idle: idle}
	defer r.watch()()
	upDone := make(chan struct{})
	go func() {
		defer close(upDone)
		r.pump(server, client, m.Up)
	}()
	r.pump(client, server, m.Down)
	<-upDone
	r.end()
}

type rawRelay struct {
	client, server *Stream
	idle           time.Duration
	ended          sync.Once
	moved          atomic.Int64 // when bytes last moved either way, in Unix nanoseconds; kept only for idle
}

func (r *rawRelay) end() {
	r.ended.Do(func() {
		r.client.Close()
		r.server.Close()
	})
}

// fail ends both with an error: what was cut off on one side must not look complete on the other.
func (r *rawRelay) fail() {
	r.ended.Do(func() {
		r.client.reset()
		r.server.reset()
	})
}

// watch ends the relay once nothing has moved for idle, and returns what stops the watch.
func (r *rawRelay) watch() (stop func()) {
	if r.idle <= 0 {
		return func() {}
	}
	r.touch()
	var t *time.Timer
	ready := make(chan struct{})
	t = time.AfterFunc(r.idle, func() {
		<-ready // t is assigned
		if left := r.idle - time.Since(time.Unix(0, r.moved.Load())); left > 0 {
			t.Reset(left)
			return
		}
		r.end()
	})
	close(ready)
	return func() { t.Stop() }
}

func (r *rawRelay) touch() {
	if r.idle > 0 {
		r.moved.Store(time.Now().UnixNano())
	}
}

// pump passes on what src sends until it ends; a failure on either side ends both.
func (r *rawRelay) pump(dst, src *Stream, count func(int64)) {
	full := 0
	for {
		n, err := r.pass(dst, src, full >= spliceAfter)
		if n > 0 {
			count(n)
			r.touch()
		}
		switch {
		case err == io.EOF:
			dst.closeWrite()
			return
		case err != nil:
			r.fail()
			return
		case n >= bufferSize:
			full++
		default:
			full = 0
		}
	}
}

// pass moves what is there: one buffer, or, between two plain TCP sockets with bulk to move, a chunk within the kernel.
func (r *rawRelay) pass(dst, src *Stream, bulk bool) (int64, error) {
	if bulk {
		if n, err, ok := r.splice(dst, src); ok {
			return n, err
		}
	}
	b, from, to, err := src.next()
	if err != nil {
		return 0, err
	}
	err = dst.write(b[from:to])
	putBuffer(b)
	return int64(to - from), err
}

// splice moves a chunk within the kernel, if both ends are plain TCP with nothing read ahead; err is io.EOF where src ended.
// With an idle time-out it returns early from a source that has become slow, so that what has moved is seen in time.
func (r *rawRelay) splice(dst, src *Stream) (n int64, err error, ok bool) { //nolint:staticcheck // ok is about the other two
	to, ok1 := dst.sock.Conn.(*net.TCPConn)
	from, ok2 := src.sock.Conn.(*net.TCPConn)
	if !ok1 || !ok2 || dst.tls != nil || src.tls != nil || src.sock.ahead != nil {
		return 0, nil, false
	}
	limit := int64(spliceChunk)
	if r.idle > 0 {
		limit = spliceChunkIdle
		src.sock.expectRead(time.Now(), r.idle/2)
	}
	n, err = to.ReadFrom(&io.LimitedReader{R: from, N: limit})
	switch {
	case isTimeout(err): // of the source, before anything is taken from it
		src.sock.expectRead(time.Time{}, 0)
		err = nil
	case err == nil && n < limit:
		err = io.EOF
	}
	return n, err, true
}
