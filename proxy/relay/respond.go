package relay

import (
	"time"

	"edgepen/httpx"
)

// Brief is how one request is answered without a server.
type Brief struct {
	HeadLimit int           // bytes of the head
	Timeout   time.Duration // until it is complete; 0: no limit
	Silent    bool          // what is no request gets nothing, rather than a page that says so
	Pages     httpx.Pages
	Witness   Witness // is told of the request, if it is answered; nil: nobody is
}

// Respond reads the head of one request, answers it with what respond makes of it, and ends the connection.
func Respond(client *Stream, c Brief, respond func(r *httpx.Request, head []byte) []byte) {
	x := exchange{client: client, silent: c.Silent, HTTPConfig: &HTTPConfig{
		HeadLimit: c.HeadLimit, HeadTimeout: c.Timeout, Idle: c.Timeout, Pages: c.Pages, Disconnected: func() {}, Refused: func(int, error) {}, Witness: c.Witness,
	}}
	defer x.release()
	if !x.readRequest() {
		if !c.Silent {
			x.endAccount()
		}
		client.Close()
		return
	}
	page := respond(&x.req, x.in.b[:x.in.head])
	if len(page) == 0 {
		client.Farewell(nil)
		return
	}
	x.give(statusOf(page), page)
}

// statusOf is the status of a response of ours.
func statusOf(page []byte) int {
	n := 0
	for _, c := range page[len("HTTP/1.1 "):][:3] {
		n = 10*n + int(c-'0')
	}
	return n
}
