package h2

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// TestAnEndWithoutRoom: the end of a body needs no window, and a client may have taken back more than there was (RFC 9113 section 6.9.2).
func TestAnEndWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		more := make(chan bool)
		f := timed(t, t.Context(), Config{Streams: 10, HeadMax: 8 << 10, Exchange: func(client *Stream) {
			io.WriteString(client, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsome \r\n") //nolint:errcheck // the client sees it
			<-more
			io.WriteString(client, "0\r\n\r\n") //nolint:errcheck // as above
		}})
		words := f.hello()
		f.headers(1, true, nil)
		after(t, words, "DATA some ")
		f.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}) //nolint:errcheck // seen below
		after(t, words, "SETTINGS")
		more <- true
		after(t, words, "DATA ")
	})
}

// TestALargeHeadIsNotWaitedFor: who sends one and takes no answer holds up neither us nor its other requests.
func TestALargeHeadIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := timed(t, t.Context(), Config{Streams: 10, HeadMax: 8 << 10, HeadTimeout: 5 * time.Second, Idle: time.Minute, Exchange: ok})
		words := f.hello()
		f.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}) //nolint:errcheck // seen below
		many := map[string]string{}
		for i := range 12 {
			many[fmt.Sprint("x", i)] = strings.Repeat("a", 1000)
		}
		f.headers(1, true, many)
		after(t, words, "HEADERS :status=431")
		f.conn.SetWriteDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // the write fails
		f.fr.WritePing(false, [8]byte{1})                    //nolint:errcheck // seen below
		if took := after(t, words, "PING"); took > time.Second {
			t.Errorf("a PING was answered after %v", took)
		}
		after(t, words, "RST_STREAM") // and is not waited for without end
	})
}

// TestAFieldThatIsTooLarge alone is as one of many: an answer, and the connection goes on.
func TestAFieldThatIsTooLarge(t *testing.T) {
	f := newFrames(t, serving(t, say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")))
	f.headers(1, true, map[string]string{"cookie": strings.Repeat("\\", 12<<10)})
	if got := f.until(1); got != "HEADERS" {
		t.Errorf("got %q", got)
	}
	f.headers(3, true, nil)
	if got := f.until(3); got != "HEADERS" {
		t.Errorf("the next got %q", got)
	}
}

// TestABodyIsForgottenAsItIsRead: a client that is always faster than what reads its body makes us hold little more than its window.
func TestABodyIsForgottenAsItIsRead(t *testing.T) {
	const length = 16 << 20
	held := make(chan int, 1)
	f := newFrames(t, servingStreams(t, 1, func(_ context.Context, _ string, c net.Conn) {
		client, most := c.(*Stream), 0
		some := func(n int) func() bool { // there is so much, or the rest
			return func() bool { return len(client.body)-client.at >= n || client.bodyEnded }
		}
		for p := make([]byte, 4<<10); ; {
			client.mu().Lock()
			for !some(64 << 10)() {
				client.some.Wait()
			}
			most = max(most, cap(client.body))
			client.mu().Unlock()
			if _, err := client.Read(p); err != nil {
				break
			}
		}
		held <- most
	}))
	room := make(chan int, 1000)
	go func() {
		for {
			frame, err := f.fr.ReadFrame()
			if err != nil {
				return
			}
			if more, ok := frame.(*http2.WindowUpdateFrame); ok && more.StreamID == 1 {
				room <- int(more.Increment)
			}
		}
	}()
	f.headers(1, false, map[string]string{":method": "POST", "content-length": fmt.Sprint(length)})
	for left, window := length, streamWindow; left > 0; left -= frameMax {
		for window < frameMax {
			window += <-room
		}
		window -= frameMax
		f.fr.WriteData(1, left == frameMax, make([]byte, frameMax)) //nolint:errcheck // seen below
	}
	if most := <-held; most > 4*streamWindow {
		t.Errorf("%d kB were held", most>>10)
	}
}

// TestAnswersThatNobodyReads need no memory without end, also where they have no body, and so no window.
func TestAnswersThatNobodyReads(t *testing.T) {
	field := strings.Repeat("x", 5000) // which is too large to be written once for all
	answered := make(chan bool, 100)
	f := newFrames(t, servingStreams(t, 100, func(_ context.Context, _ string, c net.Conn) {
		io.WriteString(c, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /"+field+"\r\n\r\n") //nolint:errcheck // nobody sees it
		answered <- true
	}))
	before := heap()
	for id, waits := uint32(1), false; id < 2*10000 && !waits; id += 2 {
		if f.headers(id, true, nil); id < 2*100 {
			continue
		}
		select { // so that there are never too many
		case <-answered:
		case <-time.After(time.Second):
			waits = true
		}
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("%d MB were needed", grown>>20)
	}
}

// TestLeavingLater: a connection that has been there for a while ends as soon as a new one does.
func TestLeavingLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		f := timed(t, ctx, Config{Streams: 10, HeadMax: 8 << 10, Idle: time.Minute, Exchange: ok})
		words := f.hello()
		after(t, words, "SETTINGS")
		time.Sleep(30 * time.Second)
		leave()
		after(t, words, "GOAWAY NO_ERROR")
		begun := time.Now()
		f.fr.WritePing(true, partingPing) //nolint:errcheck // seen below
		for range words {
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it ended after %v", took)
		}
	})
}

// TestWhatGoAwayPromises: a request whose fields have not all come when it is said is not among those that are answered.
func TestWhatGoAwayPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		f := timed(t, ctx, Config{Streams: 10, HeadMax: 8 << 10, Idle: time.Minute, HeadTimeout: time.Minute, Exchange: ok})
		io.WriteString(f.conn, http2.ClientPreface) //nolint:errcheck // seen below
		last := make(chan uint32, 10)
		go func() {
			defer close(last)
			for {
				frame, err := f.fr.ReadFrame()
				if err != nil {
					return
				}
				if away, ok := frame.(*http2.GoAwayFrame); ok {
					last <- away.LastStreamID
				}
			}
		}()
		f.fr.WriteSettings()                                                                 //nolint:errcheck // seen below
		f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}) //nolint:errcheck // seen below
		leave()
		if n := <-last; n != 1<<31-1 {
			t.Fatalf("%d was said first", n)
		}
		if n := <-last; n != 0 {
			t.Errorf("stream %d is to be answered, and was not", n)
		}
	})
}

// TestPaddingBeyondAHead: what its fields are is not known then, and so not what later ones mean.
func TestPaddingBeyondAHead(t *testing.T) {
	f := newFrames(t, serving(t, say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")))
	f.fr.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersPadded|http2.FlagHeadersEndHeaders, 1, []byte{200, 0x82}) //nolint:errcheck // seen below
	if got := f.until(1); got != "GOAWAY PROTOCOL_ERROR" {
		t.Errorf("got %q", got)
	}
}

// TestPingsAreNoRequests: a client that sends nothing else is idle.
func TestPingsAreNoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := timed(t, t.Context(), Config{Streams: 10, HeadMax: 8 << 10, Idle: time.Minute, Exchange: ok})
		words := f.hello()
		begun := time.Now()
		ended := make(chan bool)
		go func() {
			defer close(ended)
			for f.fr.WritePing(false, [8]byte{1}) == nil && time.Since(begun) < 10*time.Minute {
				time.Sleep(5 * time.Second)
			}
		}()
		after(t, words, "GOAWAY NO_ERROR")
		if took := time.Since(begun); took < 50*time.Second || took > 2*time.Minute {
			t.Errorf("after %v", took)
		}
		f.conn.Close()
		<-ended
	})
}

// TestASlowUpload takes longer than a connection may be idle, and is not: however its frames come to us in pieces.
func TestASlowUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const parts = 100
		f := timed(t, t.Context(), Config{Streams: 10, HeadMax: 8 << 10, Idle: time.Minute, Exchange: ok})
		words := f.hello()
		f.headers(1, false, map[string]string{":method": "POST"})
		var all bytes.Buffer
		part := http2.NewFramer(&all, nil)
		for i := range parts {
			part.WriteData(1, i == parts-1, make([]byte, frameMax)) //nolint:errcheck // into memory
		}
		for all.Len() > 0 {
			if _, err := f.conn.Write(all.Next(1000)); err != nil {
				t.Fatalf("%v with %d bytes to come", err, all.Len())
			}
			time.Sleep(100 * time.Millisecond)
		}
		after(t, words, "HEADERS :status=200")
	})
}

// TestManyEarlyAnswers: what is still on its way of bodies that nobody wants any more harms nobody, on however many streams.
func TestManyEarlyAnswers(t *testing.T) {
	const streams = 200
	f := newFrames(t, servingStreams(t, streams, func(_ context.Context, _ string, c net.Conn) {
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n") //nolint:errcheck // the client sees it
	}))
	for round := range uint32(3) {
		for i := range uint32(streams) {
			f.headers(2*(round*streams+i)+1, false, map[string]string{":method": "POST"})
		}
		for cut := 0; cut < streams; {
			frame, err := f.fr.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := frame.(*http2.RSTStreamFrame); ok {
				cut++
			}
		}
		for i := range uint32(streams) {
			f.fr.WriteData(2*(round*streams+i)+1, false, []byte("late")) //nolint:errcheck // seen below
		}
	}
	f.fr.WritePing(false, [8]byte{1}) //nolint:errcheck // seen below
	for {
		frame, err := f.fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			t.Fatalf("what came late was answered with %v", frame)
		case *http2.PingFrame:
			return
		}
	}
}

// TestDribbledData: a client that lets us send byte by byte costs more than it is worth (CVE-2019-9511).
func TestDribbledData(t *testing.T) {
	f := newFrames(t, serving(t, say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 100000))))
	f.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}) //nolint:errcheck // seen below
	f.headers(1, true, nil)
	for n := range 50000 {
		frame, err := f.fr.ReadFrame()
		if err != nil {
			t.Fatalf("%v after %d", err, n)
		}
		switch frame := frame.(type) {
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("%v after %d", frame, n)
			}
			return
		case *http2.HeadersFrame, *http2.DataFrame:
			f.fr.WriteWindowUpdate(1, 1) //nolint:errcheck // the next read fails
		}
	}
	t.Error("it went on for ever")
}

// TestSmallMessages: a stream of them, each of whose frames is given back, is as good as any other.
func TestSmallMessages(t *testing.T) {
	const messages = 20000
	f := newFrames(t, serving(t, func(_ context.Context, _ string, c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") //nolint:errcheck // the client sees it
		for range messages {
			io.WriteString(c, "5\r\nhello\r\n") //nolint:errcheck // as above
		}
		io.WriteString(c, "0\r\n\r\n") //nolint:errcheck // as above
	}))
	f.headers(1, true, nil)
	for {
		frame, err := f.fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.GoAwayFrame:
			t.Fatal(frame)
		case *http2.DataFrame:
			if frame.StreamEnded() {
				return
			}
			f.fr.WriteWindowUpdate(0, frame.Length) //nolint:errcheck // the next read fails
			f.fr.WriteWindowUpdate(1, frame.Length) //nolint:errcheck // as above
		}
	}
}

// TestManySettings: a frame of them costs as much as so many frames would.
func TestManySettings(t *testing.T) {
	f := newFrames(t, serving(t, func(ctx context.Context, _ string, _ net.Conn) { <-ctx.Done() }))
	var all []http2.Setting
	for n := range 2700 {
		all = append(all, http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(n)})
	}
	go func() {
		for range 50 {
			f.fr.WriteSettings(all...) //nolint:errcheck // seen below
		}
		f.headers(1, false, nil)
		f.fr.WriteWindowUpdate(1, 0) //nolint:errcheck // as above
	}()
	if got := f.until(1); got != "GOAWAY ENHANCE_YOUR_CALM" {
		t.Errorf("got %q", got)
	}
}
