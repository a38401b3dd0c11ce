package relay

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
)

func post(length int) string {
	return "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + strconv.Itoa(length) + "\r\n\r\n"
}

// TestBadUpload has a body turn bad when its beginning is with the server already: the server must see it cut off.
func TestBadUpload(t *testing.T) {
	for _, kind := range []string{"tcp", "tls"} {
		f := newFront(t, kind).serve()
		write(t, f.client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
		server := f.server()
		head(t, server)
		expect(t, server, "3\r\nabc\r\n")
		write(t, f.client, "3\r\ndef\r\n0x\r\n\r\n")
		f.status("400")
		if rest, _ := io.ReadAll(server); strings.Contains(string(rest), "0") {
			t.Errorf("the server got %q after the beginning", rest)
		}
		f.refusedWith(400)
	}
}

// TestBadUploadAfterAnswer: what has begun to be answered cannot be answered with 400.
func TestBadUploadAfterAnswer(t *testing.T) {
	f := newFront(t, "tcp").serve()
	write(t, f.client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
	server := f.server()
	head(t, server)
	expect(t, server, "3\r\nabc\r\n")
	write(t, server, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
	head(t, f.client)
	expect(t, f.client, "half")
	write(t, f.client, "junk\r\n")
	expectCut(t, f.client)
	if rest, _ := io.ReadAll(server); len(rest) > 0 {
		t.Errorf("the server got %q after the beginning", rest)
	}
}

func TestClientLeavesWithinUpload(t *testing.T) {
	for _, how := range []string{"reset", "close", "half"} {
		for _, kind := range []string{"tcp", "tls"} {
			t.Run(how+"/"+kind, func(t *testing.T) {
				f := newFront(t, kind).serve()
				write(t, f.client, post(10)+"abc")
				server := f.server()
				head(t, server)
				expect(t, server, "abc")
				switch how {
				case "reset":
					reset(f.client)
				case "close":
					f.client.Close()
				case "half":
					halfClose(t, f.client)
					f.status("400")
				}
				if rest, _ := io.ReadAll(server); len(rest) > 0 {
					t.Errorf("the server got %q after the beginning", rest)
				}
				f.refusedWith(400) // no fault of the server's
			})
		}
	}
}

// TestAnswerBeforeUploadEnds has a server refuse a large body and close.
func TestAnswerBeforeUploadEnds(t *testing.T) {
	for _, closing := range []string{"Connection: close\r\n", ""} {
		for _, kind := range []string{"tcp", "tls"} {
			f := newFront(t, kind).serve()
			const size = 8 << 20
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				write(t, f.client, post(size)+strings.Repeat("x", size))
			}()
			server := f.server()
			head(t, server)
			write(t, server, "HTTP/1.1 413 Content Too Large\r\n"+closing+"Content-Length: 8\r\n\r\ntoo long")
			server.Close()
			if h := head(t, f.client); !strings.HasPrefix(h, "HTTP/1.1 413 ") || !strings.Contains(h, "Connection: close\r\n") {
				t.Errorf("the client got %q", h)
			}
			expect(t, f.client, "too long")
			closed(t, "the client to send all of it, which nobody wants", sent)
		}
	}
}

// TestAnswerWhileUploadGoesOn has a server answer early and read the rest all the same.
func TestAnswerWhileUploadGoesOn(t *testing.T) {
	f := newFront(t, "tcp").serve()
	write(t, f.client, post(10)+"abc")
	server := f.server()
	head(t, server)
	expect(t, server, "abc")
	write(t, server, ok("early"))
	if h := head(t, f.client); !strings.Contains(h, "Connection: close\r\n") {
		t.Errorf("the client got %q", h) // which could not tell where its next request may begin
	}
	expect(t, f.client, "early")
	write(t, f.client, "defghij")
	expect(t, server, "defghij")
	expectEnd(t, f.client)
}

// TestAnAnswerThatGoesOnKeepsTheUpload: once there is an answer, the two sides may be silent in turn, but not both, however long a request takes.
func TestAnAnswerThatGoesOnKeepsTheUpload(t *testing.T) {
	const idle = 750 * time.Millisecond
	f := newFront(t, "tcp")
	f.config.Idle = idle
	f.serve()
	write(t, f.client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
	server := f.server()
	head(t, server)
	expect(t, server, "1\r\na\r\n")
	write(t, server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	head(t, f.client)
	for range 6 { // the server alone
		time.Sleep(idle / 3)
		write(t, server, "1\r\ns\r\n")
		expect(t, f.client, "1\r\ns\r\n")
	}
	for range 6 { // the client alone
		time.Sleep(idle / 3)
		write(t, f.client, "1\r\nc\r\n")
		expect(t, server, "1\r\nc\r\n")
	}
	began := time.Now()
	rest, _ := io.ReadAll(f.client)
	if took := time.Since(began); len(rest) > 0 || took < idle/2 || took > 10*idle {
		t.Errorf("with both silent it ended after %v, with %q", took, rest)
	}
}

// TestTheUploadIsInAHurryBehindItsAnswer: an answer that is whole does not keep a request that is not.
func TestTheUploadIsInAHurryBehindItsAnswer(t *testing.T) {
	f := newFront(t, "tcp")
	f.config.Idle = 2 * brief
	f.serve()
	write(t, f.client, post(10)+"abc")
	server := f.server()
	head(t, server)
	expect(t, server, "abc")
	write(t, server, ok("early"))
	head(t, f.client)
	expect(t, f.client, "early")
	expectEnd(t, f.client)
}

// TestServerClosesAfterUpload: that a server does not keep connections is nothing to its clients.
func TestServerClosesAfterUpload(t *testing.T) {
	f := newFront(t, "tcp").serve()
	body := strings.Repeat("x", 3*bufferSize)
	for range 3 {
		write(t, f.client, post(len(body))+body)
		server := f.server()
		head(t, server)
		expect(t, server, body)
		write(t, server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		server.Close()
		if h := head(t, f.client); strings.Contains(h, "close") {
			t.Fatalf("the client got %q", h)
		}
		expect(t, f.client, "ok")
	}
}

// TestFailedUploadLeavesNoBody: bytes of a body that could not be passed on must not be taken for the next request.
func TestFailedUploadLeavesNoBody(t *testing.T) {
	f := newFront(t, "tcp")
	x := exchange{HTTPConfig: &f.config, client: f.stream}
	body := "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
	write(t, f.client, post(len(body)))
	if !x.readRequest() {
		t.Fatal("no request")
	}
	x.in.drop(x.in.head)
	_, x.server = side(t, "tcp")
	x.server.Close()
	x.startUpload()
	write(t, f.client, body+get)
	if err := x.upload.wait(); !errors.Is(err, errServerEnd) {
		t.Errorf("the upload ended with %v", err)
	}
	for string(x.in.b) != get { // it may have come in two parts
		if strings.Contains(string(x.in.b), "smuggled") {
			t.Fatalf("the next request begins with %q", x.in.b)
		}
		if err := x.in.more(x.client); err != nil {
			t.Fatal(err)
		}
	}
	x.release()
	f.stream.Close()
}

// brief is a time that a test can wait for, and within which a busy machine does what a test asks of it.
const brief = 250 * time.Millisecond

func TestLongUploadIsNotSilence(t *testing.T) {
	f := newFront(t, "tcp")
	f.config.Idle = 2 * brief
	f.serve()
	tick := time.NewTicker(brief / 8)
	defer tick.Stop()
	write(t, f.client, post(24))
	server := f.server()
	head(t, server)
	for range 24 {
		<-tick.C
		write(t, f.client, "x")
		expect(t, server, "x")
	}
	write(t, server, ok("got it"))
	if h := head(t, f.client); !strings.HasPrefix(h, "HTTP/1.1 200 ") {
		t.Fatalf("the client got %q", h)
	}
	expect(t, f.client, "got it")
}

// TestLongUploadAfterHead: nor is it silence within a response that has begun.
func TestLongUploadAfterHead(t *testing.T) {
	f := newFront(t, "tcp")
	f.config.Idle = 2 * brief
	f.serve()
	tick := time.NewTicker(brief / 8)
	defer tick.Stop()
	write(t, f.client, post(24))
	server := f.server()
	head(t, server)
	write(t, server, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
	head(t, f.client)
	for range 24 {
		<-tick.C
		write(t, f.client, "x")
		expect(t, server, "x")
	}
	write(t, server, "got it")
	expect(t, f.client, "got it")
}

func TestSilence(t *testing.T) {
	t.Run("request head", func(t *testing.T) {
		for _, kind := range []string{"tcp", "tls"} {
			f := newFront(t, kind)
			f.config.HeadTimeout = brief
			f.serve()
			write(t, f.client, "GET / HTTP/1.1\r\n")
			f.status("408")
			f.refusedWith(408)
		}
	})
	t.Run("request head in drops", func(t *testing.T) {
		f := newFront(t, "tcp")
		f.config.HeadTimeout = brief
		f.serve()
		began := time.Now()
		tick := time.NewTicker(brief / 6)
		defer tick.Stop()
		write(t, f.client, "GET / HTTP/1.1\r\nA: ")
		for {
			<-tick.C
			if _, err := io.WriteString(f.client, "x"); err != nil {
				break
			}
			if time.Since(began) > patience {
				t.Fatal("a head may take for ever")
			}
		}
		f.refusedWith(408)
	})
	t.Run("before the first request", func(t *testing.T) {
		f := newFront(t, "tcp")
		f.config.HeadTimeout = brief
		f.serve()
		expectEnd(t, f.client)
	})
	t.Run("between requests", func(t *testing.T) {
		f := newFront(t, "tls")
		f.config.Idle = brief
		f.serve()
		write(t, f.client, get)
		server := f.server()
		head(t, server)
		write(t, server, ok("x"))
		head(t, f.client)
		expect(t, f.client, "x")
		expectEnd(t, f.client)
		expectEnd(t, server)
	})
	t.Run("request body", func(t *testing.T) {
		f := newFront(t, "tcp")
		f.config.Idle = brief
		f.serve()
		write(t, f.client, post(10)+"abc")
		server := f.server()
		head(t, server)
		f.status("408")
		if rest, _ := io.ReadAll(server); string(rest) != "abc" {
			t.Errorf("the server got %q", rest)
		}
		f.refusedWith(408)
	})
	t.Run("server", func(t *testing.T) {
		f := newFront(t, "tcp")
		f.config.Idle = brief
		f.serve()
		write(t, f.client, get)
		head(t, f.server())
		f.status("504")
		f.refusedWith(504)
	})
	t.Run("server within a response", func(t *testing.T) {
		f := newFront(t, "tcp")
		f.config.Idle = brief
		f.serve()
		write(t, f.client, get)
		server := f.server()
		head(t, server)
		write(t, server, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		expectCut(t, f.client)
	})
	t.Run("client that does not read", func(t *testing.T) {
		f := newFront(t, "tcp")
		f.config.Idle = brief
		f.serve()
		write(t, f.client, get)
		server := f.server()
		head(t, server)
		if _, err := io.CopyN(server, io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\n\r\n"), noise(1)), 1<<40); err == nil {
			t.Error("the server could send for ever")
		}
		closed(t, "the relay to end", f.done)
	})
}

// TestSlowConnect: what it took to find a server is no silence of that server's.
func TestSlowConnect(t *testing.T) {
	f := newFront(t, "tcp")
	f.config.Idle = brief
	connect := f.config.Connect
	f.config.Connect = func(anew bool) (*Stream, error) {
		<-time.After(2 * brief)
		return connect(anew)
	}
	f.serve()
	write(t, f.client, get)
	server := f.server()
	head(t, server)
	write(t, server, ok("x"))
	if h := head(t, f.client); !strings.HasPrefix(h, "HTTP/1.1 200 ") {
		t.Errorf("the client got %q", h)
	}
}
