package h2client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"edgepen/httpx"
)

// pair is a connection to a server of HTTP/2 that answers by handle.
func pair(t *testing.T, handle http.HandlerFunc) *Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handle, Protocols: protocols}
	go server.Serve(ln) //nolint:errcheck // it ends with the test
	under, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := Begin(t.Context(), under, false, 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); server.Close() })
	return c
}

func stream(t *testing.T, c *Conn) *Stream {
	t.Helper()
	if err := c.Reserve(); err != nil {
		t.Fatal(err)
	}
	s := c.Open(nil)
	t.Cleanup(func() { s.Close() })
	s.SetDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // it is open
	return s
}

// asked writes a request and returns all that is read, its field lines in order.
func asked(t *testing.T, c *Conn, text string) string {
	t.Helper()
	s := stream(t, c)
	go io.WriteString(s, text) //nolint:errcheck // a server need not take all of it
	all, err := io.ReadAll(s)
	head, body, _ := strings.Cut(string(all), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	slices.Sort(lines[1:])
	said := strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Date: ") }), "\n") + "\n\n" + body
	if err != nil {
		said += " and then an error"
	}
	return said
}

func TestResponses(t *testing.T) {
	c := pair(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Type"] = nil
		switch r.URL.Path {
		case "/length":
			h.Set("Content-Length", "2")
			io.WriteString(w, "hi") //nolint:errcheck // the client sees it
		case "/chunks":
			w.(http.Flusher).Flush()
			io.WriteString(w, "hi") //nolint:errcheck // as above
		case "/trailer":
			w.(http.Flusher).Flush()
			io.WriteString(w, "hi") //nolint:errcheck // as above
			h.Set(http.TrailerPrefix+"Grpc-Status", "0")
		case "/trailer-alone":
			h.Set("Grpc-Status", "5")
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.WriteHeader(304)
		case "/hints":
			h.Set("Link", "</x>")
			w.WriteHeader(103)
			h.Del("Link")
			h.Set("Content-Length", "0")
		case "/cut":
			h.Set("Content-Length", "5")
			io.WriteString(w, "hi") //nolint:errcheck // as above
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/cut-chunks":
			io.WriteString(w, "hi") //nolint:errcheck // as above
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/none":
			panic(http.ErrAbortHandler)
		}
	})
	const ok, end = "HTTP/1.1 200 OK\nConnection: close\n", "\n\n"
	for _, x := range []struct{ request, want string }{
		{"GET /length HTTP/1.1", ok + "Content-Length: 2" + end + "hi"},
		{"HEAD /length HTTP/1.1", ok + "Content-Length: 2" + end},
		{"GET /length HTTP/1.0", ok + "Content-Length: 2" + end + "hi"},
		{"GET /chunks HTTP/1.1", ok + "Transfer-Encoding: chunked" + end + "2\r\nhi\r\n0\r\n\r\n"},
		{"GET /chunks HTTP/1.0", "HTTP/1.1 200 OK\nConnection: close" + end + "hi"},
		{"GET /trailer HTTP/1.1", ok + "Transfer-Encoding: chunked" + end + "2\r\nhi\r\n0\r\nGrpc-Status: 0\r\n\r\n"},
		{"GET /trailer-alone HTTP/1.1", ok + "Content-Length: 0\nGrpc-Status: 5" + end},
		{"GET /204 HTTP/1.1", "HTTP/1.1 204 No Content\nConnection: close" + end},
		{"GET /304 HTTP/1.1", "HTTP/1.1 304 Not Modified\nConnection: close" + end},
		{"GET /hints HTTP/1.1", "HTTP/1.1 103 Early Hints\nLink: </x>" + end + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
		{"GET /cut HTTP/1.1", ok + "Content-Length: 5" + end + "hi and then an error"},
		{"GET /cut-chunks HTTP/1.1", ok + "Transfer-Encoding: chunked" + end + "2\r\nhi\r\n and then an error"},
		{"GET /cut-chunks HTTP/1.0", "HTTP/1.1 200 OK\nConnection: close" + end + "hi and then an error"},
		{"GET /none HTTP/1.1", end + " and then an error"},
	} {
		got := asked(t, c, x.request+"\r\nHost: a\r\n\r\n")
		if i := strings.Index(got, "Date: "); i >= 0 { // behind interim responses
			got = got[:i] + got[i+strings.Index(got[i:], "\r\n")+2:]
		}
		if got != x.want {
			t.Errorf("%s: %q, want %q", x.request, got, x.want)
		}
	}
}

func TestRequests(t *testing.T) {
	c := pair(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		w.Header().Set("Content-Length", "0")
		w.Header().Set("Saw", fmt.Sprintf("%s %s %s %d %q %v %v %q", r.Method, r.Host, r.RequestURI, r.ContentLength, body, err, r.Trailer, r.Header))
	})
	for _, x := range []struct{ text, want string }{
		{"GET /a%2Fb?c=d%zz HTTP/1.1\r\nHost: a\r\n\r\n", `GET a /a%2Fb?c=d%zz 0 "" <nil> map[] map["Te":["trailers"]]`},
		{"GET //a/../b HTTP/1.1\r\nHost: x\r\nUser-Agent: u\r\n\r\n", `GET x //a/../b 0 "" <nil> map[] map["Te":["trailers"] "User-Agent":["u"]]`},
		{"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nCookie: c=d\r\nX-A: 1\r\nX-A: 2\r\n\r\n",
			`GET a / 0 "" <nil> map[] map["Cookie":["a=b; c=d"] "Te":["trailers"] "X-A":["1" "2"]]`},
		{"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", `GET a / 0 "" <nil> map[] map["Te":["trailers"]]`},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", `POST a / 2 "hi" <nil> map[] map["Content-Length":["2"] "Te":["trailers"]]`},
		{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n3\r\nyou\r\n0\r\nX-Sum: 5\r\nX-Other: 6\r\n\r\n",
			`POST a / -1 "hiyou" <nil> map[X-Sum:[5]] map["Te":["trailers"]]`},
	} {
		got := asked(t, c, x.text)
		if !strings.Contains(got, "Saw: "+x.want+"\n") {
			t.Errorf("%q: %s\nwant %s", x.text, got, x.want)
		}
	}
}

// TestBothWaysAtOnce: each side may wait for the other's next word.
func TestBothWaysAtOnce(t *testing.T) {
	c := pair(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		for in := bufio.NewScanner(r.Body); in.Scan(); w.(http.Flusher).Flush() {
			fmt.Fprintln(w, "you said", in.Text())
		}
	})
	s := stream(t, c)
	io.WriteString(s, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n") //nolint:errcheck // the read says so
	r := bufio.NewReader(s)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := bufio.NewReader(resp.Body)
	for _, word := range []string{"a", "bc", "def"} {
		fmt.Fprintf(s, "%x\r\n%s\n\r\n", len(word)+1, word)
		if line, err := body.ReadString('\n'); err != nil || line != "you said "+word+"\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	io.WriteString(s, "0\r\n\r\n") //nolint:errcheck // as above
	if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// TestWhatIsCutOffLooksSo: a request whose client has left must not look whole to the server.
func TestWhatIsCutOffLooksSo(t *testing.T) {
	seen := make(chan error, 1)
	begun := make(chan bool, 1)
	c := pair(t, func(_ http.ResponseWriter, r *http.Request) {
		begun <- true
		_, err := io.ReadAll(r.Body)
		<-r.Context().Done()
		seen <- err
	})
	for _, framing := range []string{"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", "Content-Length: 5\r\n\r\nhi"} {
		s := stream(t, c)
		io.WriteString(s, "POST / HTTP/1.1\r\nHost: a\r\n"+framing) //nolint:errcheck // seen below
		<-begun
		s.Close()
		if err := <-seen; err == nil {
			t.Errorf("%q was taken for whole", framing)
		}
	}
}

func TestServersOfSomethingElse(t *testing.T) {
	for name, speak := range map[string]func(c net.Conn){
		"HTTP/1.1": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); io.Copy(io.Discard, c) }, //nolint:errcheck // the client hangs up
		"nothing":  func(c net.Conn) { io.Copy(io.Discard, c) },                                                        //nolint:errcheck // as above
		"the end":  func(net.Conn) {},
		"part":     func(c net.Conn) { c.Write([]byte{0, 0, 0, 4}) }, //nolint:errcheck // as above
	} {
		near, far := net.Pipe()
		go func() { defer far.Close(); go io.Copy(io.Discard, far); speak(far) }() //nolint:errcheck // as above
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		c, err := Begin(ctx, near, false, 64<<10)
		cancel()
		if err == nil {
			c.Close()
			t.Errorf("%s passed for HTTP/2", name)
		}
		if want := name == "HTTP/1.1"; errors.Is(err, errNoHTTP2) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// refusing is a connection to a server that takes no request: it answers each as refuse does.
func refusing(t *testing.T, refuse func(fr *http2.Framer, id uint32)) *Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer far.Close()
		io.ReadFull(far, make([]byte, len(http2.ClientPreface))) //nolint:errcheck // the next read fails
		fr := http2.NewFramer(far, far)
		fr.WriteSettings() //nolint:errcheck // as above
		for {
			frame, err := fr.ReadFrame()
			if err != nil {
				return
			}
			if frame, ok := frame.(*http2.DataFrame); ok {
				refuse(fr, frame.StreamID)
			}
		}
	}()
	c, err := Begin(t.Context(), near, false, 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestRequestsThatWereRefusedAreSentElsewhere, with their bodies, but not those that the server may have begun with.
func TestRequestsThatWereRefusedAreSentElsewhere(t *testing.T) {
	good := pair(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d bytes, %v", len(body), err)
	})
	for _, c := range []struct {
		name   string
		body   int
		refuse func(fr *http2.Framer, id uint32)
		again  bool
	}{
		{"refused", 5, func(fr *http2.Framer, id uint32) { fr.WriteRSTStream(id, http2.ErrCodeRefusedStream) }, true}, //nolint:errcheck // seen below
		{"GOAWAY", 5, func(fr *http2.Framer, id uint32) { fr.WriteGoAway(id-1, http2.ErrCodeNo, nil) }, true},         //nolint:errcheck // as above
		{"begun", 5, func(fr *http2.Framer, id uint32) { fr.WriteRSTStream(id, http2.ErrCodeInternal) }, false},       //nolint:errcheck // as above
		{"GOAWAY behind it", 5, func(fr *http2.Framer, id uint32) {
			fr.WriteGoAway(id, http2.ErrCodeNo, nil)
			fr.WriteRSTStream(id, http2.ErrCodeCancel)
		}, false}, //nolint:errcheck // as above
		{"large", 40000, func(fr *http2.Framer, id uint32) { fr.WriteRSTStream(id, http2.ErrCodeRefusedStream) }, false}, //nolint:errcheck // as above
	} {
		first := refusing(t, c.refuse)
		if err := first.Reserve(); err != nil {
			t.Fatal(err)
		}
		s := first.Open(func() (*Conn, error) { return good, good.Reserve() })
		s.SetDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // it is open
		go fmt.Fprintf(s, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", c.body, strings.Repeat("x", c.body))
		all, err := io.ReadAll(s)
		if got := strings.HasSuffix(string(all), fmt.Sprintf("%d bytes, <nil>", c.body)); got != c.again || (err == nil) != c.again {
			t.Errorf("%s: %q, %v", c.name, all, err)
		}
		s.Close()
	}
}

// TestNothingIsLeftBehind: no goroutine outlives its connection, however streams end.
func TestNothingIsLeftBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("all", func(t *testing.T) {
		c := pair(t, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		for range 20 {
			stream(t, c) // which nobody uses
			s := stream(t, c)
			io.WriteString(s, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhi") //nolint:errcheck // seen below
			if _, err := s.Read(make([]byte, 1000)); err != nil {
				t.Error(err)
			}
			stream(t, c).Close()
		}
		if c.Idle() {
			t.Error("idle with requests under way")
		}
	})
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 64<<10)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// scripted is a connection that brings bytes by so many at once, and then its end.
type scripted struct {
	net.Conn
	left []byte
	step int
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.step)], s.left)
	s.left = s.left[n:]
	return n, nil
}

// FuzzBody takes a body out of its chunks in pieces of any size: the same comes of it as in one.
func FuzzBody(f *testing.F) {
	f.Add([]byte("2\r\nhi\r\n0\r\n\r\n"), 1, 3)
	f.Add([]byte("A\r\n0123456789\r\n0\r\nX-Sum: 5\r\nY: z\r\n\r\nrest"), 4, 2)
	f.Add([]byte("2\r\nhi\n0\r\n\r\n"), 7, 1)
	f.Fuzz(func(t *testing.T, text []byte, step, size int) {
		take := func(step, size int) (string, http.Header, error) {
			var r httpx.Request
			if _, err := r.Parse([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), 1<<20); err != nil {
				t.Fatal(err)
			}
			b := &body{far: &scripted{left: bytes.Clone(text), step: step}, body: &r.Body, buffer: make([]byte, 1000), trailer: http.Header{"X-Sum": nil}}
			all, err := io.ReadAll(io.MultiReader(&sized{b, size}))
			return string(all), b.trailer, err
		}
		one, trailer, err := take(len(text)+1, 512)
		other, trailer2, err2 := take(1+step&63, 1+size&63)
		if one != other || (err == nil) != (err2 == nil) || err == nil && fmt.Sprint(trailer) != fmt.Sprint(trailer2) {
			t.Errorf("%q: %q, %v, %v and %q, %v, %v", text, one, err, trailer, other, err2, trailer2)
		}
	})
}

// sized reads so many bytes at most.
type sized struct {
	r    io.Reader
	most int
}

func (s *sized) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.most)]) }

// TestAResetKeepsItsCode: what a server says by resetting a stream is known.
func TestAResetKeepsItsCode(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		far, err := ln.Accept()
		if err != nil {
			return
		}
		defer far.Close()
		io.ReadFull(far, make([]byte, len(http2.ClientPreface))) //nolint:errcheck // the next read fails
		fr := http2.NewFramer(far, far)
		fr.WriteSettings() //nolint:errcheck // as above
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				return
			}
			if h, ok := f.(*http2.HeadersFrame); ok {
				fr.WriteRSTStream(h.StreamID, http2.ErrCodeCancel) //nolint:errcheck // as above
			}
		}
	}()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := Begin(t.Context(), near, false, 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := stream(t, c)
	io.WriteString(s, "GET / HTTP/1.1\r\nHost: h\r\n\r\n") //nolint:errcheck // the read says more
	_, err = io.ReadAll(s)
	var reset interface{ ResetCode() uint32 }
	if !errors.As(err, &reset) || reset.ResetCode() != uint32(http2.ErrCodeCancel) {
		t.Errorf("%v", err)
	}
}
