package h2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"edgepen/httpx"
)

// TestFloodsOfControlFrames: who sends what has to be answered, or changes nothing, is told to calm down and hung up on. Who does not read the answers is
// hung up on or waits; neither may need memory without end (CVE-2019-9512, CVE-2019-9515, CVE-2019-9514, CVE-2019-9518).
func TestFloodsOfControlFrames(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(f *frames, n uint32) error
	}{
		{"PING", func(f *frames, _ uint32) error { return f.fr.WritePing(false, [8]byte{1}) }},
		{"SETTINGS", func(f *frames, _ uint32) error {
			return f.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
		}},
		{"streams that are refused", func(f *frames, n uint32) error {
			f.headers(2*n+1, false, nil)
			return f.fr.WriteWindowUpdate(0, 1)
		}},
		{"streams with an error", func(f *frames, n uint32) error {
			f.headers(2*n+1, false, nil)
			return f.fr.WriteWindowUpdate(2*n+1, 0)
		}},
		{"empty DATA", func(f *frames, n uint32) error {
			if n == 0 {
				f.headers(1, false, map[string]string{":method": "POST"})
			}
			return f.fr.WriteData(1, false, nil)
		}},
		{"PING that answers nobody", func(f *frames, _ uint32) error { return f.fr.WritePing(true, [8]byte{1}) }},
		{"SETTINGS that answer nobody", func(f *frames, _ uint32) error { return f.fr.WriteSettingsAck() }},
		{"GOAWAY", func(f *frames, _ uint32) error { return f.fr.WriteGoAway(0, http2.ErrCodeNo, nil) }},
		{"RST_STREAM of what is over", func(f *frames, n uint32) error {
			if n == 0 {
				f.headers(1, true, nil)
			}
			return f.fr.WriteRSTStream(1, http2.ErrCodeCancel)
		}},
		{"frames that nobody knows", func(f *frames, _ uint32) error { return f.fr.WriteRawFrame(0xf0, 0, 0, nil) }},
		{"PRIORITY", func(f *frames, n uint32) error {
			return f.fr.WritePriority(2*n+1, http2.PriorityParam{StreamDep: 2*n + 3, Weight: 1})
		}},
	} {
		t.Run(c.name+", the answers read", func(t *testing.T) {
			f := newFrames(t, serving(t, func(ctx context.Context, _ string, _ net.Conn) { <-ctx.Done() }))
			said := make(chan string, 1)
			go func() { said <- f.until(0) }()
			f.flood(c.send)
			if got := <-said; got != "GOAWAY ENHANCE_YOUR_CALM" {
				t.Errorf("the client got %q", got)
			}
		})
		t.Run(c.name+", no answer read", func(t *testing.T) {
			f := newFrames(t, serving(t, func(ctx context.Context, _ string, _ net.Conn) { <-ctx.Done() }))
			before := heap()
			err := f.flood(c.send)
			if grown := heap() - before; grown > 16<<20 {
				t.Errorf("%d MB were needed, and it ended with %v", grown>>20, err)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Log("the client has to wait")
			}
		})
	}
}

// flood sends more than anybody puts up with, until that fails.
func (f *frames) flood(send func(f *frames, n uint32) error) (err error) {
	for n := uint32(0); n < 40000 && err == nil; n++ {
		if n%1000 == 0 {
			f.conn.SetWriteDeadline(time.Now().Add(2 * time.Second)) //nolint:errcheck // the write fails
		}
		err = send(f, n)
	}
	return err
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestManyAtOnce: as many requests as are allowed are under way together, and each gets its own answer.
func TestManyAtOnce(t *testing.T) {
	const streams = 100
	var all sync.WaitGroup
	all.Add(streams)
	conn := servingStreams(t, streams, func(_ context.Context, head string, c net.Conn) {
		all.Done()
		all.Wait() // for the last one to come
		name := strings.Fields(head)[1]
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n"+name+"\r\n0\r\n\r\n") //nolint:errcheck // the client sees it
	})
	tr := transport(conn)
	tr.MaxConnsPerHost = 1
	var answered sync.WaitGroup
	for i := range streams {
		answered.Go(func() {
			name := "/" + string([]byte{'a' + byte(i/26), 'a' + byte(i%26), '.'})
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://example.com"+name, nil)
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err != nil || string(body) != name {
				t.Errorf("%s got %q, %v", name, body, err)
			}
		})
	}
	answered.Wait()
}

// TestNothingIsLeftBehind: however connections end, and with whatever on them, all that served them ends as well.
func TestNothingIsLeftBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("all", func(t *testing.T) {
		for name, end := range map[string]func(f *frames){
			"the client closes":            func(f *frames) { f.conn.Close() },
			"the client resets":            func(f *frames) { f.conn.(*net.TCPConn).SetLinger(0); f.conn.Close() },          //nolint:errcheck // it ends anyway
			"the client says GOAWAY":       func(f *frames) { f.fr.WriteGoAway(0, http2.ErrCodeNo, nil); f.conn.Close() },   //nolint:errcheck // as above
			"the client breaks the rules":  func(f *frames) { f.fr.WriteData(0, true, []byte("x")); f.until(0) },            //nolint:errcheck // as above
			"the client gives requests up": func(f *frames) { f.fr.WriteRSTStream(1, http2.ErrCodeCancel); f.conn.Close() }, //nolint:errcheck // as above
		} {
			f := newFrames(t, serving(t, func(ctx context.Context, _ string, c net.Conn) {
				go io.Copy(io.Discard, c)                                                  //nolint:errcheck // the end of the stream ends it
				io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") //nolint:errcheck // the client sees it
				<-ctx.Done()
			}))
			f.headers(1, false, map[string]string{":method": "POST"})
			f.headers(3, false, map[string]string{":method": "POST"})
			f.until(1)
			t.Log(name)
			end(f)
		}
	})
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 64<<10)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// TestLengthsThatLie: a body of another length than is announced must not become the next request where requests are text (CVE-2021-21295,
// CVE-2021-21409, CVE-2021-36740). The connection of one exchange carries its request and nothing behind it.
func TestLengthsThatLie(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, c := range []struct {
		name, length, body string
		end                bool // with HEADERS
	}{
		{"none, and a body", "0", smuggled, false},
		{"less than comes", "5", "12345" + smuggled, false},
		{"more than comes", "500", smuggled, false},
		{"some, and no body", "35", "", true},
		{"none that is a number", "5, 5", "12345" + smuggled, false},
		{"a sign", "+5", "12345" + smuggled, false},
		{"too many digits", "18446744073709551616", smuggled, false},
		{"two", "5\x00", "12345" + smuggled, false},
	} {
		seen := make(chan string, 1)
		conn := serving(t, func(_ context.Context, head string, client net.Conn) {
			all, _ := io.ReadAll(client)                                           // what breaks off is short, and that is seen
			io.WriteString(client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") //nolint:errcheck // the client sees it
			seen <- head + string(all)
		})
		f := newFrames(t, conn)
		f.headers(1, c.end, map[string]string{":method": "POST", "content-length": c.length})
		if !c.end {
			f.fr.WriteData(1, true, []byte(c.body)) //nolint:errcheck // the next read fails
		}
		f.until(1)
		conn.Close()
		select {
		case text := <-seen:
			var r httpx.Request
			n, err := r.Parse([]byte(text), 64<<10)
			if err != nil || n == 0 {
				continue // which nobody forwards
			}
			taken, _, err := r.Body.Feed([]byte(text[n:]))
			if rest := text[n+taken:]; err == nil && r.Body.Done() && rest != "" {
				t.Errorf("%s: behind the request there is %q", c.name, rest)
			}
		case <-time.After(100 * time.Millisecond): // it was refused, and no exchange will say so
		}
	}
}

// TestHeaderBombs: fields that are small on the wire and large in memory (CVE-2016-6581), or very many, are refused before they are held.
func TestHeaderBombs(t *testing.T) {
	for name, last := range map[string]hpack.HeaderField{
		"large":  {Name: "bomb", Value: strings.Repeat("x", 3500)},
		"empty":  {Name: "bomb"},
		"crumbs": {Name: "cookie", Value: "a"},
	} {
		var block bytes.Buffer
		enc := hpack.NewEncoder(&block)
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "example.com"}} {
			enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) //nolint:errcheck // into memory
		}
		for range 12000 { // each but the first is a byte that stands for that
			enc.WriteField(last) //nolint:errcheck // as above
		}
		if block.Len() > 16<<10 {
			t.Fatalf("%s: %d bytes are no bomb", name, block.Len())
		}
		f := newFrames(t, serving(t, func(context.Context, string, net.Conn) { t.Errorf("%s: it reached a server", name) }))
		before := heap()
		for id := uint32(1); id < 40; id += 2 {
			f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}) //nolint:errcheck // seen below
		}
		if got := f.until(1); strings.Contains(got, "timeout") {
			t.Errorf("%s: nothing was said: %s", name, got)
		}
		if grown := heap() - before; grown > 8<<20 {
			t.Errorf("%s: %d MB were needed", name, grown>>20)
		}
	}
}

// TestGoAway: a connection that is to end says so, lets what is under way end, takes no more, and is over then.
func TestGoAway(t *testing.T) {
	more := make(chan bool)
	conn, stop := servingUntil(t, 10, func(_ context.Context, _ string, c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") //nolint:errcheck // the client sees it
		<-more
		io.WriteString(c, "4\r\nlast\r\n0\r\n\r\n") //nolint:errcheck // as above
	})
	f := newFrames(t, conn)
	f.headers(1, true, nil)
	if got := f.until(1); got != "HEADERS" {
		t.Fatal(got)
	}
	stop()
	if got := f.until(0); got != "GOAWAY NO_ERROR" {
		t.Fatalf("got %q", got)
	}
	close(more)
	said := ""
	for {
		frame, err := f.fr.ReadFrame()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v after %q", err, said)
		}
		if data, ok := frame.(*http2.DataFrame); ok {
			said += string(data.Data())
		}
	}
	if said != "last" {
		t.Errorf("what was under way brought %q", said)
	}
}
