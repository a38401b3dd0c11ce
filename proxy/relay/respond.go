package relay

import (
	"time"

	"edgepen/httpx"
)

// Respond reads the head of one request, answers it with what respond makes of it, and ends the connection. What is no request gets the
// error page that says so, or nothing where pages is false. limit bounds the head in bytes, timeout the time until it is complete (0: no
// limit). w is told of the request, if it is answered.
func Respond(client *Stream, limit int, timeout time.Duration, pages bool, w Witness, respond func(r *httpx.Request, head []byte) []byte) {
	x := exchange{client: client, silent: !pages, HTTPConfig: &HTTPConfig{
		HeadLimit: limit, HeadTimeout: timeout, Idle: timeout, Disconnected: func() {}, Refused: func(int, error) {}, Witness: w,
	}}
	defer x.release()
	if !x.readRequest() {
		if pages {
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
	x.answer(statusOf(page), page)
}

// statusOf is the status of a response of ours.
func statusOf(page []byte) int {
	n := 0
	for _, c := range page[len("HTTP/1.1 "):][:3] {
		n = 10*n + int(c-'0')
	}
	return n
}
