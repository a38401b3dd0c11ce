package relay

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"edgepen/httpx"
)

// witness writes down what it is told.
type witness struct {
	deaf bool
	said chan string
}

func (w *witness) Begins() bool { return !w.deaf }

func (w *witness) Asked(r *httpx.Request, head []byte) {
	w.said <- "asked " + string(r.Target(head)) + " " + string(r.Field(head, "user-agent"))
}

func (w *witness) Malformed(b []byte) { w.said <- fmt.Sprintf("malformed %.20q", b) }

func (w *witness) Ends(o Outcome) {
	if o.Status != 0 && (o.Upstream > 0) != (o.Status == 200 || o.Status == 101) {
		w.said <- fmt.Sprintf("upstream %v with status %d", o.Upstream, o.Status)
	}
	w.said <- fmt.Sprintf("%d in %d out %d head %d server %t retries %d: %v", o.Status, o.In, o.Out, o.OutHead, o.Server, o.Retries, o.Why)
}

// heard checks what the witness is told next.
func heard(t *testing.T, w *witness, want ...string) {
	t.Helper()
	for _, want := range want {
		if got := <-w.said; !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func newWitnessed(t *testing.T) (*front, *witness) {
	f, w := newFront(t, "tcp"), &witness{said: make(chan string, 100)}
	f.config.Witness = w
	return f.serve(), w
}

func TestWitness(t *testing.T) {
	const request = "GET /1 HTTP/1.1\r\nHost: h\r\nUSER-Agent: a\r\n\r\n"
	t.Run("one after the other", func(t *testing.T) {
		f, w := newWitnessed(t)
		write(t, f.client, request)
		server := f.server()
		head(t, server)
		write(t, server, "HTTP/1.1 103 Early Hints\r\n\r\n"+ok("body"))
		expect(t, f.client, "HTTP/1.1 103 Early Hints\r\n\r\n"+ok("body"))
		both := len("HTTP/1.1 103 Early Hints\r\n\r\n") + len(ok("body")) - 4
		heard(t, w, "asked /1 a", fmt.Sprintf("200 in %d out %d head %d server true retries 0: <nil>", len(request), both+4, both))

		body := chunks(strings.Repeat("x", 5*bufferSize), 1000)
		post := "POST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		go write(t, f.client, post+body)
		head(t, server)
		expect(t, server, body)
		write(t, server, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nrest")
		server.Close()
		heard(t, w, "asked /2 ", fmt.Sprintf("200 in %d out 42 head 38 server true retries 0: <nil>", len(post)+len(body)))
	})
	t.Run("refused", func(t *testing.T) {
		f, w := newWitnessed(t)
		write(t, f.client, "nonsense \x00\r\n\r\n")
		f.status("400")
		heard(t, w, `malformed "nonsense \x00\r\n\r\n"`, "400 in 14 out ")
	})
	t.Run("too slow", func(t *testing.T) {
		f, w := newFront(t, "tcp"), &witness{said: make(chan string, 100)}
		f.config.Witness, f.config.HeadTimeout = w, time.Second
		f.serve()
		write(t, f.client, "GET")
		heard(t, w, `malformed "GET"`, "408 in 3 out ")
	})
	t.Run("left", func(t *testing.T) {
		f, w := newWitnessed(t)
		write(t, f.client, "GET")
		f.client.Close()
		heard(t, w, `malformed "GET"`, "0 in 3 out 0 head 0 server false retries 0: the client left within the head")
	})
	t.Run("gone before the answer", func(t *testing.T) {
		for _, answer := range []string{ok("body"), "HTTP/1.1 103 Early Hints\r\n\r\n", ""} {
			f, w := newWitnessed(t)
			write(t, f.client, request)
			server := f.server()
			head(t, server)
			reset(f.client) // on loopback it is there when this returns
			write(t, server, answer)
			server.Close()
			heard(t, w, "asked /1 a", fmt.Sprintf("0 in %d out 0 head 0 server true retries 0: ", len(request)))
		}
	})
	t.Run("gone within the answer", func(t *testing.T) {
		f, w := newWitnessed(t)
		write(t, f.client, request)
		server := f.server()
		head(t, server)
		first := "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
		write(t, server, first)
		head(t, f.client)
		reset(f.client)
		write(t, server, "0123456789")
		heard(t, w, "asked /1 a", fmt.Sprintf("200 in %d out %d head %d server true retries 0: the client did not take all", len(request), len(first), len(first)))
	})
	t.Run("cut off", func(t *testing.T) {
		f, w := newWitnessed(t)
		write(t, f.client, request)
		server := f.server()
		head(t, server)
		write(t, server, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		server.Close()
		heard(t, w, "asked /1 a", fmt.Sprintf("200 in %d out 43 head 39 server true retries 0: the response is not whole", len(request)))
	})
	t.Run("no answer, and again", func(t *testing.T) {
		f, w := newWitnessed(t)
		write(t, f.client, request)
		server := f.server()
		head(t, server)
		write(t, server, ok("body"))
		heard(t, w, "asked /1 a", "200 ")
		write(t, f.client, request)
		head(t, server)
		server.Close()
		server = f.server()
		head(t, server)
		server.Close()
		heard(t, w, "asked /1 a", "502 ")
		f.status("200")
	})
	t.Run("upgraded", func(t *testing.T) {
		f, w := newWitnessed(t)
		write(t, f.client, "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		server := f.server()
		head(t, server)
		write(t, server, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		head(t, f.client)
		heard(t, w, "asked /ws ")
		f.client.Close()
		server.Close()
		heard(t, w, "101 ")
	})
	t.Run("nobody listens", func(t *testing.T) {
		f, w := newFront(t, "tcp"), &witness{deaf: true, said: make(chan string, 100)}
		f.config.Witness = w
		f.serve()
		write(t, f.client, request+"nonsense\r\n\r\n")
		server := f.server()
		head(t, server)
		write(t, server, ok(""))
		head(t, f.client)
		f.status("400")
		if len(w.said) > 0 {
			t.Errorf("heard %q all the same", <-w.said)
		}
	})
}
