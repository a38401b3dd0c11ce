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
	done     chan struct{}
	err      error     // valid after done
	ended    time.Time // the same
}

var (
	errStopped   = errors.New("the rest of the request is not wanted")
	errServerEnd = errors.New("the server does not take the rest of the request")
)

func (x *exchange) startUpload() {
	u := &upload{client: x.client, server: x.server, in: &x.in, body: &x.req.Body, idle: x.Idle, pace: pace{Pace: x.Upload}, by: x.by, meter: x.Meter, seen: x.SeenUp,
		done: make(chan struct{})}
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
	u.client.sock.expectRead(now, within(now, u.by, u.pace.patience(1, u.idle)))
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
		if u.pace.Rate > 0 {
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

// wait returns once the upload has ended, with the reason if it ended early.
func (u *upload) wait() error {
	<-u.done
	return u.err
}
