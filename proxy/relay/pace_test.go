package relay

import (
	"strings"
	"testing"
	"time"
)

// TestPace: a client may be behind for the grace, whether at once or little by little, and is as far as before once it has made up for it.
func TestPace(t *testing.T) {
	second := time.Second
	p := pace{Pace: Pace{Rate: 100, Grace: 10 * second}}
	for i, step := range []struct {
		waited   time.Duration
		n        int
		patience time.Duration // for 100 bytes after that
	}{
		{0, 0, 11 * second},
		{4 * second, 100, 8 * second},
		{second, 100, 8 * second},
		{0, 200, 10 * second},
		{0, 1 << 30, 11 * second}, // nothing is laid by
		{9 * second, 1, 2*second + 10*time.Millisecond},
		{9 * second, 1, 1},
	} {
		p.waited(step.waited, step.n)
		if got := p.patience(100, 0); got != step.patience {
			t.Errorf("step %d: %v, want %v", i, got, step.patience)
		}
	}
	if got := p.patience(1, second); got != 1 {
		t.Error(got)
	}
	p.behind = 0
	if got := p.patience(1, second); got != second {
		t.Error(got)
	}
	free := pace{}
	free.waited(time.Hour, 1)
	if free.patience(1, 0) != 0 || free.patience(1, second) != second {
		t.Error("a pace that nobody has set is kept")
	}
}

// TestSlowUpload: a body of which a byte comes now and then is ended, with 408 for the client and a cut for the server; one that is slow for a moment
// is not.
func TestSlowUpload(t *testing.T) {
	for _, kind := range []string{"tcp", "tls"} {
		f := newFront(t, kind)
		f.config.Upload = Pace{Rate: 1000, Grace: 2 * brief}
		f.serve()
		write(t, f.client, post(5000))
		server := f.server()
		head(t, server)
		for range 4 { // 1000 bytes make up for a second
			time.Sleep(brief / 2)
			write(t, f.client, strings.Repeat("x", 1000))
			expect(t, server, strings.Repeat("x", 1000))
		}
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
					f.client.Write([]byte("y")) //nolint:errcheck // it is closed in the end
				}
			}
		}()
		f.status("408")
		close(stop)
		f.refusedWith(408)
	}
}

// TestSlowDownload: a client that takes nothing does not hold its server.
func TestSlowDownload(t *testing.T) {
	f := newFront(t, "tcp")
	f.config.Download = Pace{Rate: 100 << 20, Grace: 100 * time.Millisecond}
	f.serve()
	write(t, f.client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	server := f.server()
	head(t, server)
	write(t, server, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
	for block := []byte(strings.Repeat("x", 1<<16)); ; {
		if _, err := server.Write(block); err != nil {
			if isTimeout(err) {
				t.Error("the server is held")
			}
			return
		}
	}
}

// TestRequestTimeout: it is for the whole of an exchange, however lively that is.
func TestRequestTimeout(t *testing.T) {
	f := newFront(t, "tcp")
	f.config.Request = 2 * brief
	f.serve()
	write(t, f.client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	server := f.server()
	head(t, server)
	write(t, server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	head(t, f.client)
	for {
		time.Sleep(20 * time.Millisecond)
		if _, err := server.Write([]byte("1\r\nx\r\n")); err != nil {
			if isTimeout(err) {
				t.Error("it goes on")
			}
			break
		}
	}
	f = newFront(t, "tcp")
	f.config.Request = brief
	f.serve()
	write(t, f.client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	head(t, f.server())
	f.status("504")
}
