package h2

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"edgepen/httpx"
)

// timed is a connection within a bubble of time, and the client that chooses its frames itself.
func timed(t *testing.T, ctx context.Context, c Config) *frames {
	client, conn := net.Pipe()
	done := make(chan struct{})
	go func() { defer close(done); Serve(ctx, conn, c) }()
	f := &frames{t, client, http2.NewFramer(client, client)}
	f.fr.AllowIllegalWrites = true
	t.Cleanup(func() { client.Close(); <-done })
	return f
}

// hello begins as a client does, and reads on in a goroutine what is said, in words.
func (f *frames) hello() <-chan string {
	words := make(chan string, 1000)
	go func() {
		defer close(words)
		dec := hpack.NewDecoder(4096, nil)
		for {
			frame, err := f.fr.ReadFrame()
			if err != nil {
				return
			}
			words <- describe(dec, frame)
		}
	}()
	io.WriteString(f.conn, http2.ClientPreface) //nolint:errcheck // what is read says so
	f.fr.WriteSettings()                        //nolint:errcheck // as above
	return words
}

func describe(dec *hpack.Decoder, frame http2.Frame) string {
	switch frame := frame.(type) {
	case *http2.HeadersFrame:
		fields, _ := dec.DecodeFull(frame.HeaderBlockFragment())
		said := "HEADERS"
		if frame.StreamEnded() {
			said += " END_STREAM"
		}
		for _, one := range fields {
			said += " " + one.Name + "=" + one.Value
		}
		return said
	case *http2.DataFrame:
		return "DATA " + string(frame.Data())
	case *http2.GoAwayFrame:
		return fmt.Sprint("GOAWAY ", frame.ErrCode, " ", frame.LastStreamID)
	case *http2.RSTStreamFrame:
		return "RST_STREAM " + frame.ErrCode.String()
	}
	return frame.Header().Type.String()
}

// after reads words until one begins as wanted, and says how long that took.
func after(t *testing.T, words <-chan string, want string) time.Duration {
	t.Helper()
	begun := time.Now()
	var all []string
	for word := range words {
		if all = append(all, word); strings.HasPrefix(word, want) {
			return time.Since(begun)
		}
	}
	t.Fatalf("%s did not come: %q", want, all)
	return 0
}

// ok answers every request.
func ok(client *Stream) {
	io.ReadAll(client)                                                       //nolint:errcheck // what is there of it
	io.WriteString(client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi") //nolint:errcheck // the client sees it
}

func TestTimes(t *testing.T) {
	limits := Config{Streams: 10, HeadMax: 8 << 10, HeadTimeout: 5 * time.Second, Idle: time.Minute, Exchange: ok}
	for _, c := range []struct {
		name     string
		do       func(f *frames)
		want     string
		from, to time.Duration
	}{
		{"no request", func(*frames) {}, "GOAWAY NO_ERROR", 50 * time.Second, 2 * time.Minute},
		{"a head that does not end", func(f *frames) {
			f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}) //nolint:errcheck // seen below
		}, "GOAWAY ENHANCE_YOUR_CALM", 5 * time.Second, 10 * time.Second},
		{"a request and then none", func(f *frames) { f.headers(1, true, nil) }, "GOAWAY NO_ERROR", 50 * time.Second, 2 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := timed(t, t.Context(), limits)
				words := f.hello()
				c.do(f)
				if took := after(t, words, c.want); took < c.from || took > c.to {
					t.Errorf("after %v", took)
				}
			})
		})
	}
	t.Run("nothing at all", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := timed(t, t.Context(), limits)
			go io.Copy(io.Discard, f.conn) //nolint:errcheck // until it ends
			begun := time.Now()
			for time.Since(begun) < time.Minute {
				time.Sleep(time.Second)
				if _, err := f.conn.Write([]byte("P")); err != nil {
					break
				}
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("a preface letter by letter was read for %v", took)
			}
		})
	})
}

// TestLeaving: the client is told, what it sends before it has heard of it is answered, and the connection ends.
func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		f := timed(t, ctx, Config{Streams: 10, HeadMax: 8 << 10, Idle: time.Minute, Exchange: ok})
		words := f.hello()
		after(t, words, "SETTINGS")
		leave()
		after(t, words, "GOAWAY NO_ERROR")
		f.headers(1, true, nil) // on its way before the PING was answered
		after(t, words, "HEADERS :status=200")
		f.fr.WritePing(true, partingPing) //nolint:errcheck // seen below
		after(t, words, "GOAWAY NO_ERROR")
		for word := range words {
			if strings.HasPrefix(word, "GOAWAY") {
				t.Errorf("%s again", word)
			}
		}
	})
}

// TestSoManyRequests are taken of a connection: they are answered, what comes behind them is not looked at, and the client knows which is which.
func TestSoManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		more := make(chan bool)
		var asked atomic.Int32
		f := timed(t, t.Context(), Config{Streams: 10, HeadMax: 8 << 10, Idle: time.Minute, Requests: 3, Exchange: func(client *Stream) {
			if asked.Add(1) > 1 {
				<-more
			}
			ok(client)
		}})
		words := f.hello()
		f.headers(1, true, nil)
		after(t, words, "HEADERS :status=200")
		f.headers(3, true, map[string]string{"te": "gzip"}) // which is none
		after(t, words, "RST_STREAM PROTOCOL_ERROR")
		f.headers(5, true, nil)
		f.headers(7, false, map[string]string{":method": "POST"})
		after(t, words, "GOAWAY NO_ERROR 7")
		f.headers(9, true, nil)
		f.headers(11, false, map[string]string{":method": "POST"})
		f.fr.WriteData(11, true, []byte("late")) //nolint:errcheck // nobody wants it
		f.fr.WriteData(7, true, []byte("body"))  //nolint:errcheck // seen below
		time.Sleep(30 * time.Second)             // of the bubble's time: what is under way has all of it
		close(more)
		answers, begun := 0, time.Now()
		for word := range words {
			if strings.HasPrefix(word, "HEADERS :status=200") {
				answers++
			} else if !strings.HasPrefix(word, "DATA") && !strings.HasPrefix(word, "WINDOW_UPDATE") {
				t.Errorf("%s behind GOAWAY", word)
			}
		}
		if answers != 2 || asked.Load() != 3 {
			t.Errorf("%d answers behind GOAWAY, %d requests", answers, asked.Load())
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("the connection ended %v after its last answer", took)
		}
	})
}

// TestTheEndIsTheExchanges: a client that has seen the end of a response finds given back what its exchange has had.
func TestTheEndIsTheExchanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var returned atomic.Bool
		f := timed(t, t.Context(), Config{Streams: 10, HeadMax: 8 << 10, Exchange: func(client *Stream) {
			ok(client)
			time.Sleep(time.Second)
			returned.Store(true)
		}})
		words := f.hello()
		f.headers(1, true, nil)
		after(t, words, "DATA hi")
		if !returned.Load() {
			t.Error("the end came before the exchange had returned")
		}
	})
}

// TestAHeadThatIsAll ends its stream by itself: to gRPC anything else is an answer without a status.
func TestAHeadThatIsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := timed(t, t.Context(), Config{Streams: 10, HeadMax: 8 << 10, Exchange: func(client *Stream) {
			io.ReadAll(client)                                                                       //nolint:errcheck // what is there of it
			io.WriteString(client, "HTTP/1.1 200 OK\r\nGrpc-Status: 5\r\nContent-Length: 0\r\n\r\n") //nolint:errcheck // the client sees it
		}})
		words := f.hello()
		f.headers(1, true, nil)
		after(t, words, "HEADERS END_STREAM :status=200 grpc-status=5")
	})
}

// TestResetAs: an answer is cut off with the code that was asked for.
func TestResetAs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := timed(t, t.Context(), Config{Streams: 10, HeadMax: 8 << 10, Exchange: func(client *Stream) { client.ResetAs(uint32(http2.ErrCodeCancel)) }})
		words := f.hello()
		f.headers(1, true, nil)
		after(t, words, "RST_STREAM CANCEL")
	})
}

// TestBodiesAsLongAsTheySay: RFC 9113 section 8.1.1. However they come in pieces, none that is of another length is read as a whole.
func TestBodiesAsLongAsTheySay(t *testing.T) {
	for _, c := range []struct {
		length string
		body   []string
	}{
		{"4", []string{""}}, {"4", []string{"123"}}, {"4", []string{"12345"}}, {"4", []string{"1234", "5"}}, {"4", []string{"123", "45"}},
		{"0", []string{"1"}}, {"0", []string{"", "1"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			read := make(chan error, 1)
			whole := ""
			f := timed(t, t.Context(), Config{Streams: 10, HeadMax: 8 << 10, Exchange: func(client *Stream) {
				b, all := make([]byte, 1000), []byte(nil)
				for {
					n, err := client.Read(b)
					all = append(all, b[:n]...)
					var r httpx.Request
					head, bad := r.Parse(all, 8<<10)
					if bad == nil && head > 0 {
						r.Body.Feed(all[head:]) //nolint:errcheck // then it is not whole
						if r.Body.Done() {
							whole = string(all)
						}
					}
					if err != nil {
						read <- err
						return
					}
				}
			}})
			words := f.hello()
			f.headers(1, false, map[string]string{":method": "POST", "content-length": c.length})
			for i, part := range c.body {
				time.Sleep(time.Second)
				f.fr.WriteData(1, i == len(c.body)-1, []byte(part)) //nolint:errcheck // seen below
			}
			after(t, words, "RST_STREAM PROTOCOL_ERROR")
			if err := <-read; err == nil || err == io.EOF || whole != "" {
				t.Errorf("%q for %s bytes was read with %v, as a whole: %q", c.body, c.length, err, whole)
			}
		})
	}
}

// TestABodyIsNotKept: what has been read of a body is not held until the rest has been, also where the reader never catches up.
func TestABodyIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		largest := 0
		f := timed(t, t.Context(), Config{Streams: 10, HeadMax: 8 << 10, Exchange: func(client *Stream) {
			b := make([]byte, 1000)
			for {
				client.mu().Lock()
				largest = max(largest, cap(client.body))
				behind := client.bodyEnded || client.err != nil || len(client.body)-client.at > 20000
				client.mu().Unlock()
				if !behind {
					time.Sleep(time.Millisecond)
					continue
				}
				if _, err := client.Read(b); err != nil {
					break
				}
			}
			io.WriteString(client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") //nolint:errcheck // the client sees it
		}})
		words := f.hello()
		f.headers(1, false, map[string]string{":method": "POST", "content-length": "3000000"})
		for range 300 {
			f.fr.WriteData(1, false, make([]byte, 9999)) //nolint:errcheck // the answer is not there
			time.Sleep(10 * time.Millisecond)            // of the bubble's time: for the reader to come as far as it does
		}
		f.fr.WriteData(1, true, make([]byte, 300)) //nolint:errcheck // as above
		after(t, words, "HEADERS END_STREAM :status=200")
		if largest > 2*streamWindow {
			t.Errorf("%d bytes were held", largest)
		}
	})
}

// TestAClientThatDoesNotRead gets as much as it has said, and the writer waits no longer than it may.
func TestAClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const length = 100000
		wrote := make(chan error, 1)
		var took time.Duration
		f := timed(t, t.Context(), Config{Streams: 10, HeadMax: 8 << 10, Exchange: func(client *Stream) {
			client.SetWriteDeadline(time.Now().Add(7 * time.Second)) //nolint:errcheck // it never fails
			begun := time.Now()
			_, err := io.WriteString(client, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", length))
			took = time.Since(begun)
			wrote <- err
		}})
		words := f.hello()
		f.headers(1, true, nil)
		if err := <-wrote; err == nil || took < 7*time.Second || took > 8*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		got := 0
		for word := range words {
			if data, ok := strings.CutPrefix(word, "DATA "); ok {
				got += len(data)
			}
			if strings.HasPrefix(word, "RST_STREAM") {
				break
			}
		}
		if got != defaultWindow {
			t.Errorf("%d bytes came, %d were allowed", got, defaultWindow)
		}
	})
}

// reader is a connection on which all has come that ever will, and whose client reads everything.
type reader struct {
	net.Conn
	io.Reader
}

func (r *reader) Read(p []byte) (int, error)       { return r.Reader.Read(p) }
func (r *reader) Write(p []byte) (int, error)      { return len(p), nil }
func (r *reader) Close() error                     { return nil }
func (r *reader) SetReadDeadline(time.Time) error  { return nil }
func (r *reader) SetWriteDeadline(time.Time) error { return nil }

// FuzzSession has any bytes come on a connection: it ends, and nothing is left of it.
func FuzzSession(f *testing.F) {
	begin := func(more func(fr *http2.Framer)) []byte {
		var b bytes.Buffer
		fr := http2.NewFramer(&b, nil)
		fr.AllowIllegalWrites = true
		fr.WriteSettings() //nolint:errcheck // into memory
		more(fr)
		return b.Bytes()
	}
	block := []byte{0x83, 0x87, 0x84, 0x01, 0x01, 'a'} // POST https / at a
	f.Add(begin(func(fr *http2.Framer) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true}) //nolint:errcheck // into memory
		fr.WriteData(1, true, []byte("body"))                                                         //nolint:errcheck // into memory
	}))
	f.Add(begin(func(fr *http2.Framer) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:2]}) //nolint:errcheck // into memory
		fr.WriteContinuation(1, true, block[2:])                                        //nolint:errcheck // into memory
		fr.WriteRSTStream(1, http2.ErrCodeCancel)                                       //nolint:errcheck // into memory
		fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})     //nolint:errcheck // into memory
		fr.WriteWindowUpdate(0, 5)                                                      //nolint:errcheck // into memory
		fr.WritePing(false, [8]byte{})                                                  //nolint:errcheck // into memory
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := io.MultiReader(strings.NewReader(http2.ClientPreface), bytes.NewReader(b))
		Serve(t.Context(), &reader{Reader: in}, Config{Streams: 3, HeadMax: 1 << 10, Exchange: func(client *Stream) {
			io.Copy(io.Discard, client)                                                                         //nolint:errcheck // what is there
			io.WriteString(client, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n") //nolint:errcheck // nobody reads it
		}})
	})
}
