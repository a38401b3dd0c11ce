package relay

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"edgepen/httpx"
)

// upload is a request's body on its way to the server while the response may already be coming back.
type upload struct {
	client, server *Stream
	in             *store
	body           *httpx.Body
	idle           time.Duration
	pace           pace
	by             time.Time // the zero time: whenever
	meter          Meter
	seen           func([]byte)

	complete atomic.Bool // the body's last byte has been read; set before that byte is passed on
	stopping atomic.Bool
	patient  atomic.Bool  // the response has begun: the client may be silent for as long as the server is not
	moved    atomic.Int64 // when the client was last heard, in Unix nanoseconds
	done     chan struct{}
	err      error     // valid after done
	taken    int64     // the same: bytes of the body
	ended    time.Time // the same
}

var (
	errStopped   = errors.New("the rest of the request is not wanted")
	errServerEnd = errors.New("the server does not take the rest of the request")
)

func (x *exchange) startUpload() {
	u := &upload{client: x.client, server: x.server, in: &x.in, body: &x.req.Body, idle: x.Idle, pace: pace{Pace: x.Upload}, by: x.by, meter: x.Meter, seen: x.SeenUp,
		done: make(chan struct{})}
	u.moved.Store(time.Now().UnixNano())
	x.upload = u
	go u.run()
}

func (u *upload) run() {
	defer close(u.done)
	for !u.body.Done() {
		if u.err = u.chunk(); u.err != nil {
			break
		}
	}
	u.ended = time.Now()
	if u.err != nil && u.err != errServerEnd && u.err != errStopped {
		u.server.Close() // a request that was cut off has to look so to the server as well; it ends the wait for an answer
	}
}

// chunk passes on what is there of the body, or reads more.
func (u *upload) chunk() error {
	taken, out := 0, 0
	var err error
	if u.in.pending() {
		if taken, out, err = u.body.Feed(u.in.b); err != nil {
			return err
		}
	}
	if taken == 0 {
		return u.more()
	}
	if u.body.Done() {
		u.complete.Store(true)
	}
	part := u.in.b[:out]
	u.taken += int64(taken)
	u.in.drop(taken) // also where the write fails: what is left in the store is where the next request begins
	now := time.Now()
	u.server.sock.expectWrite(now, within(now, u.by, u.idle))
	if u.seen != nil {
		u.seen(part)
	}
	if err := u.server.write(part); err != nil {
		return errServerEnd
	}
	u.meter.Up(int64(out))
	return nil
}

// more reads from the client; that it stops within a body is an error.
func (u *upload) more() error {
	now, held := time.Now(), len(u.in.b)
	u.expect(now)
	if u.stopping.Load() {
		return errStopped
	}
	var err error
	if u.in.pending() {
		err = u.in.more(u.client)
	} else {
		err = u.in.next(u.client)
	}
	switch {
	case err == nil:
		if u.pace.Rate > 0 && !u.patient.Load() {
			u.pace.waited(time.Since(now), len(u.in.b)-held)
		}
		return nil
	case u.stopping.Load():
		return errStopped
	case isTimeout(err):
		return &httpx.Error{Status: 408, Reason: "the request body took too long"}
	case err == io.EOF, isGone(err):
		return &httpx.Error{Status: 400, Reason: "the request body ended too early"}
	}
	return err
}

// expect sets how long the client may be silent.
func (u *upload) expect(now time.Time) {
	u.moved.Store(now.UnixNano())
	for {
		patient, wait := u.patient.Load(), u.pace.patience(1, u.idle)
		if patient {
			wait = 0
		}
		u.client.sock.expectRead(now, within(now, u.by, wait))
		if u.patient.Load() == patient { // otherwise whoever changed it may have set a deadline before ours
			return
		}
	}
}

// bePatient has the upload wait for its client for ever: now that there is a response, whoever forwards that looks at the time.
func (x *exchange) bePatient() {
	u := x.upload
	if u == nil {
		return
	}
	select {
	case <-u.done:
	default:
		u.patient.Store(true)
		u.client.sock.SetReadDeadline(x.by) //nolint:errcheck // it fails on a closed connection only
	}
}

// awaitUpload waits for the end of the upload, if there is one, which is in a hurry again.
func (x *exchange) awaitUpload() error {
	u := x.upload
	switch {
	case u == nil:
		return nil
	case !u.patient.Swap(false):
		return u.wait()
	}
	by := x.by
	if idle := within(time.Now(), x.by, u.idle); idle > 0 {
		by = time.Now().Add(idle)
	}
	u.client.sock.SetReadDeadline(by) //nolint:errcheck // as above
	err := u.wait()
	u.client.sock.readBy = time.Unix(1, 0) // so that the next wait sets its own
	return err
}

// endUpload ends the upload, if there is one, whatever it waits for, and returns why it ended early, if it did so by itself.
// The server's connection is of no use afterwards.
func (x *exchange) endUpload() error {
	u := x.upload
	if u == nil {
		return nil
	}
	u.stopping.Store(true)
	// In this order: an upload that sets its own deadline after this one sees that it is to stop.
	u.client.sock.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // it fails on a closed connection only
	u.server.Close()
	err := u.wait()
	u.client.sock.readBy = time.Unix(1, 0) // so that the next wait sets its own
	if err == errStopped || err == errServerEnd {
		return nil
	}
	return err
}

// over reports whether the upload has ended.
func (u *upload) over() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

// wait returns once the upload has ended, with the reason if it ended early.
func (u *upload) wait() error {
	<-u.done
	return u.err
}
