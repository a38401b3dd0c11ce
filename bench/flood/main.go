// Command flood measures what a flood of TLS handshakes leaves of the service to connections that are there: requests on
// established connections alone, and beside ClientHellos that come at twice the rate that the proxy reaches with nothing else
// to do, without and with a budget of handshakes. The proxy is pinned to one core, all others to the rest.
//
//	go run ./bench/flood [-d TIME] [-share SHARE]
package main

import (
	"bufio"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	d := flag.Duration("d", 3*time.Second, "how long each measurement takes")
	share := flag.Float64("share", 0.2, "the budget, as a share of the rate that is reached alone")
	flag.Parse()
	if err := run(*d, *share); err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}

func run(d time.Duration, share float64) error {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	defer server.Close()
	dir, err := os.MkdirTemp("", "flood")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	pen := filepath.Join(dir, "pen")
	if out, err := exec.Command("go", "build", "-o", pen, "edgepen/cmd/pen").CombinedOutput(); err != nil {
		return fmt.Errorf("building pen: %v\n%s", err, out)
	}
	hello, err := clientHello()
	if err != nil {
		return err
	}
	alone, rate := 0.0, 0.0
	err = with(pen, server.Listener.Addr().String(), nil, func(addr string) error {
		rate = offer(addr, hello, 1e9, d)
		alone, err = requests(addr, d)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("alone: %.0f handshakes a second, or %.0f requests a second on 8 established connections\n", rate, alone)
	for _, budget := range []float64{0, share * rate} {
		flags := []string{}
		if budget > 0 {
			flags = []string{"--handshake-rate", fmt.Sprintf("%.0f", budget)}
		}
		err := with(pen, server.Listener.Addr().String(), flags, func(addr string) error {
			stop := make(chan struct{})
			var flooding sync.WaitGroup
			flooding.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						offer(addr, hello, 2*rate, 200*time.Millisecond)
					}
				}
			})
			beside, err := requests(addr, d)
			close(stop)
			flooding.Wait()
			fmt.Printf("offered twice that, with a budget of %.0f (0: none): %.0f requests a second, %.0f %%\n", budget, beside, 100*beside/alone)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// with runs pen on the first core, before a server.
func with(pen, server string, flags []string, f func(addr string) error) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := ln.Addr().String()
	ln.Close()
	args := append([]string{"-c", "0", pen, "-f", "-H", "-x", "20000", "--self-signed"}, flags...)
	cmd := exec.Command("taskset", append(args, addr, server)...)
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait() //nolint:errcheck // it is killed
	defer cmd.Process.Kill()
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return f(addr)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("pen does not listen at %s", addr)
}

// clientHello is what a client says first, to be said again and again.
func clientHello() ([]byte, error) {
	a, b := net.Pipe()
	go tls.Client(a, &tls.Config{ServerName: "localhost", CurvePreferences: []tls.CurveID{tls.X25519}}).Handshake() //nolint:errcheck // it is cut off
	hello := make([]byte, 4096)
	n, err := b.Read(hello)
	b.Close()
	a.Close()
	return hello[:n], err
}

// offer sends ClientHellos at a rate, as far as it can, and returns how many a second the proxy has answered.
func offer(addr string, hello []byte, rate float64, d time.Duration) float64 {
	var answered atomic.Int64
	begun, until := time.Now(), time.Now().Add(d)
	var offered atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			answer := make([]byte, 16<<10)
			for now := time.Now(); now.Before(until); now = time.Now() {
				if ahead := float64(offered.Add(1))/rate - now.Sub(begun).Seconds(); ahead > 0 {
					time.Sleep(time.Duration(ahead * float64(time.Second)))
				}
				c, err := net.Dial("tcp", addr)
				if err != nil {
					continue
				}
				c.SetDeadline(time.Now().Add(time.Second)) //nolint:errcheck // a closed connection fails the write
				c.Write(hello)                             //nolint:errcheck // then nothing comes back
				if n, _ := c.Read(answer); n > 0 {
					answered.Add(1)
				}
				c.Close()
			}
		})
	}
	all.Wait()
	return float64(answered.Load()) / time.Since(begun).Seconds()
}

// requests is how many a second are answered on 8 connections that are there already.
func requests(addr string, d time.Duration) (float64, error) {
	var n atomic.Int64
	var conns []*tls.Conn
	for range 8 {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return 0, err
		}
		defer c.Close()
		conns = append(conns, c)
	}
	begun, until := time.Now(), time.Now().Add(d)
	var all sync.WaitGroup
	for _, c := range conns {
		all.Go(func() {
			r := bufio.NewReader(c)
			for time.Now().Before(until) {
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
					return
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					return
				}
				io.Copy(io.Discard, resp.Body) //nolint:errcheck // the next response would fail
				n.Add(1)
			}
		})
	}
	all.Wait()
	return float64(n.Load()) / time.Since(begun).Seconds(), nil
}
