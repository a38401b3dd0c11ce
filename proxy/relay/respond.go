package relay

import (
	"time"

	"edgepen/httpx"
)

// Respond reads the head of one request, answers it with what respond makes of it, and ends the connection. What is no request gets the
// error page that says so, or nothing where pages is false. limit bounds the head in bytes, timeout the time until it is complete (0: no
// limit).
func Respond(client *Stream, limit int, timeout time.Duration, pages bool, respond func(r *httpx.Request, head []byte) []byte) {
	x := exchange{client: client, silent: !pages, HTTPConfig: &HTTPConfig{
		HeadLimit: limit, HeadTimeout: timeout, Idle: timeout, Disconnected: func() {}, Refused: func(int, error) {},
	}}
	defer x.release()
	if !x.readRequest() {
		client.Close()
		return
	}
	client.Farewell(respond(&x.req, x.in.b[:x.in.head]))
}
