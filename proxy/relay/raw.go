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
	spliceChunk     = 1 << 20
	spliceChunkIdle = 256 << 10
)

// Meter is told of every byte that was passed on.
type Meter interface {
	Up(n int64)   // from the client to the server
	Down(n int64) // from the server to the client
}

// RawConfig is what a raw relay goes by.
type RawConfig struct {
	Idle  time.Duration // end it once nothing has moved for so long; 0: never
	Meter Meter

	// SeenUp and SeenDown are shown what came from the client and from the server before it is passed on; nil: nobody looks,
	// and bulk may pass within the kernel.
	SeenUp, SeenDown func([]byte)
	// Hasty is asked, when the client's side (up false) or the server's (up true) has ended, whether to close both now instead
	// of letting the other go on; nil: never.
	Hasty func(up bool) bool
}

// Raw is a RawRelay that is run at once, with nothing but an idle time-out.
func Raw(client, server *Stream, idle time.Duration, m Meter) {
	NewRaw(client, server, RawConfig{Idle: idle, Meter: m}).Run()
}

// RawRelay relays bytes both ways until both sides have closed, one has failed, or nothing has moved for the idle time-out. Each
// side's end of data is passed on to the other, which may go on sending.
type RawRelay struct {
	client, server *Stream
	c              RawConfig
	ended          sync.Once
	moved          atomic.Int64 // when bytes last moved either way, in Unix nanoseconds; kept only while there is an idle time-out
	idle           atomic.Int64 // the idle time-out now, in nanoseconds

	watch struct {
		sync.Mutex
		timer *time.Timer // nil: not armed
		over  bool
	}
}

// NewRaw prepares a relay. Nothing happens before Run.
func NewRaw(client, server *Stream, c RawConfig) *RawRelay {
	return &RawRelay{client: client, server: server, c: c}
}

// Run relays. Both streams are closed when it returns.
func (r *RawRelay) Run() {
	r.SetIdle(r.c.Idle)
	upDone := make(chan struct{})
	go func() {
		defer close(upDone)
		r.pump(r.server, r.client, false, r.c.SeenUp, r.c.Meter.Up)
	}()
	r.pump(r.client, r.server, true, r.c.SeenDown, r.c.Meter.Down)
	<-upDone
	r.end()
	r.watch.Lock()
	defer r.watch.Unlock()
	r.watch.over = true
	r.stopWatch()
}

func (r *RawRelay) end() {
	r.ended.Do(func() {
		r.client.Close()
		r.server.Close()
	})
}

// fail ends both with an error: what was cut off on one side must not look complete on the other.
func (r *RawRelay) fail() {
	r.ended.Do(func() {
		r.client.reset()
		r.server.reset()
	})
}

// SetIdle changes the idle time-out, also while the relay runs; it counts from now.
func (r *RawRelay) SetIdle(d time.Duration) {
	r.watch.Lock()
	defer r.watch.Unlock()
	r.stopWatch()
	r.idle.Store(int64(d))
	if d > 0 && !r.watch.over {
		r.touch()
		r.watch.timer = time.AfterFunc(d, r.look)
	}
}

// stopWatch is called with the watch locked.
func (r *RawRelay) stopWatch() {
	if r.watch.timer != nil {
		r.watch.timer.Stop()
		r.watch.timer = nil
	}
}

// look ends the relay if nothing has moved for long enough, and otherwise looks again when that may be.
func (r *RawRelay) look() {
	r.watch.Lock()
	defer r.watch.Unlock()
	if r.watch.timer == nil {
		return // it was stopped while it fired
	}
	if left := time.Duration(r.idle.Load()) - time.Since(time.Unix(0, r.moved.Load())); left > 0 {
		r.watch.timer.Reset(left)
		return
	}
	r.end()
}

func (r *RawRelay) touch() {
	if r.idle.Load() > 0 {
		r.moved.Store(time.Now().UnixNano())
	}
}

// pump passes on what src sends until it ends; a failure on either side ends both.
func (r *RawRelay) pump(dst, src *Stream, up bool, seen func([]byte), count func(int64)) {
	full := 0
	for {
		n, err := r.pass(dst, src, full >= spliceAfter, seen)
		if n > 0 {
			count(n)
			r.touch()
		}
		switch {
		case err == io.EOF:
			if r.c.Hasty != nil && r.c.Hasty(up) {
				r.end()
			} else {
				dst.closeWrite()
			}
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
func (r *RawRelay) pass(dst, src *Stream, bulk bool, seen func([]byte)) (int64, error) {
	if bulk && seen == nil {
		if n, err, ok := r.splice(dst, src); ok {
			return n, err
		}
	}
	b, from, to, err := src.next()
	if err != nil {
		return 0, err
	}
	if seen != nil {
		seen(b[from:to])
	}
	err = dst.write(b[from:to])
	putBuffer(b)
	return int64(to - from), err
}

// splice moves a chunk within the kernel, if both ends are plain TCP with nothing read ahead; err is io.EOF where src ended.
// With an idle time-out it returns early from a source that has become slow, so that what has moved is seen in time.
func (r *RawRelay) splice(dst, src *Stream) (n int64, err error, ok bool) { //nolint:staticcheck // ok is about the other two
	to, ok1 := dst.sock.Conn.(*net.TCPConn)
	from, ok2 := src.sock.Conn.(*net.TCPConn)
	if !ok1 || !ok2 || dst.tls != nil || src.tls != nil || src.sock.ahead != nil {
		return 0, nil, false
	}
	limit := int64(spliceChunk)
	if idle := time.Duration(r.idle.Load()); idle > 0 {
		limit = spliceChunkIdle
		src.sock.expectRead(time.Now(), idle/2)
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
