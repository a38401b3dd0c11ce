package relay

import (
	"time"

	"edgepen/httpx"
)

// HTTPConfig is what an HTTP relay goes by. A time of 0 means no limit.
type HTTPConfig struct {
	Forward     httpx.Forward
	HeadLimit   int           // bytes of the largest request or response head
	BodyMax     int64         // bytes of a request's body; 0: any number
	Requests    int           // after so many the client's connection ends; 0: never
	HeadTimeout time.Duration // for a whole request head, from its first byte on; for the first one, from now on
	Idle        time.Duration // between requests, and for each read and write within one
	Request     time.Duration // for a whole exchange, from the request's head to the response's end; not for a tunnel that it opens
	Upload      Pace          // of a client that sends a request's body
	Download    Pace          // of a client that takes a response
	// IdleNow is asked for Idle before each request; nil: it stays as it is.
	IdleNow func() time.Duration

	// Rest is told when the client's connection begins, or ceases, to wait between two requests, and reports whether it is to end instead.
	// Leaving reports whether the response that begins is to be the last. nil: it goes on.
	Rest    func(waiting bool) (end bool)
	Leaving func() bool
	// Policy changes the fields of responses; nil: they are forwarded as they are.
	Policy *httpx.ResponsePolicy
	// Pages are shown with our own answers.
	Pages httpx.Pages
	// Serves reports whether requests for a host, with its port if one is named, belong on this connection: others are answered with 421 (RFC
	// 9110 section 15.5.20). nil: all do.
	Serves func(host []byte) bool
	// Behalf is shown each good request before there is a server for it, as a proxy in front of us may speak for many clients. move: the
	// server's connection that is there, if any, is not for this one. An error, an *httpx.Error, is the answer to this request alone. nil:
	// nobody looks.
	Behalf func(r *httpx.Request, head []byte) (move bool, err error)
	// Connect chooses a server and connects to it; anew: a connection that was spared before is not good enough. The error is ErrNoServer
	// where none may be tried at present.
	Connect func(anew bool) (*Stream, error)
	// Over reports whether somebody outside has ended the exchange, for its client or for good: then it is not the server that has failed. nil: nobody can.
	Over func() bool
	// Disconnected is told that the server's connection has been closed, or spared.
	Disconnected func()
	// Spare is given the server's connection when nobody here needs it any more and it could take another request, of whichever client;
	// nil: it is closed.
	Spare func(server *Stream)
	// Refused is told of a request that was answered by us rather than by a server.
	Refused func(status int, why error)
	// Witness is told of each request; nil: nobody is.
	Witness Witness
	Meter   Meter // told from two goroutines while a body goes up and a response comes down

	// Asked is shown each request, from its first line on, once there is a server for it; nil: nobody looks.
	Asked func(request []byte)
	// SeenUp and SeenDown are shown what is sent to the server and to the client; nil: nobody looks.
	SeenUp, SeenDown func([]byte)
	// Tunnel carries bytes both ways after an upgrade and returns when that is over; nil: Raw without an idle time-out.
	Tunnel func(client, server *Stream)
}
