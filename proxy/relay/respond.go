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
}

// Respond reads the head of one request, answers it with what respond makes of it, and ends the connection.
func Respond(client *Stream, c Brief, respond func(r *httpx.Request, head []byte) []byte) {
	x := exchange{client: client, silent: c.Silent, HTTPConfig: &HTTPConfig{
		HeadLimit: c.HeadLimit, HeadTimeout: c.Timeout, Idle: c.Timeout, Pages: c.Pages, Disconnected: func() {}, Refused: func(int, error) {},
	}}
	defer x.release()
	if !x.readRequest() {
		client.Close()
		return
	}
	client.Farewell(respond(&x.req, x.in.b[:x.in.head]))
}
