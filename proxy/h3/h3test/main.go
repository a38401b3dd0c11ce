// h3test is a client of HTTP/3 for tests: it makes requests and prints the responses' bodies.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// options are the command line's.
type options struct {
	method, data, from, name, ca, cert, key, host string
	head                                          bool
	n, m                                          int
	wait                                          time.Duration
	fields                                        []string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "h3test:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var o options
	f := flag.NewFlagSet("h3test", flag.ContinueOnError)
	f.StringVar(&o.method, "X", "", "method [GET, or POST with -d]")
	f.StringVar(&o.data, "d", "", "body, or @FILE")
	f.StringVar(&o.from, "from", "", "address to come from")
	f.StringVar(&o.name, "name", "", "name to ask for [that of the URL]")
	f.StringVar(&o.host, "host", "", "host to ask for [that of the URL]")
	f.StringVar(&o.ca, "ca", "", "file of roots [nothing is verified]")
	f.StringVar(&o.cert, "cert", "", "file with our certificate")
	f.StringVar(&o.key, "key", "", "and its key")
	f.BoolVar(&o.head, "i", false, "print status and fields too")
	f.IntVar(&o.n, "n", 1, "how often")
	f.IntVar(&o.m, "m", 1, "how many at once")
	f.DurationVar(&o.wait, "wait", 20*time.Second, "how long")
	f.Func("H", "a field", func(v string) error { o.fields = append(o.fields, v); return nil })
	if err := f.Parse(args); err != nil {
		return err
	}
	tr, closes, err := o.transport()
	if err != nil {
		return err
	}
	defer closes()
	ctx, cancel := context.WithTimeout(context.Background(), o.wait)
	defer cancel()
	if o.n > 1 {
		return o.many(ctx, tr, f.Arg(0))
	}
	for _, where := range f.Args() {
		if err := o.ask(ctx, tr, where, os.Stdout); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) transport() (*http3.Transport, func(), error) {
	config := &tls.Config{InsecureSkipVerify: o.ca == "", ServerName: o.name}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, nil, err
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(pem)
	}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	var local net.UDPAddr
	if o.from != "" {
		local.IP = net.ParseIP(o.from)
	}
	socket, err := net.ListenUDP("udp", &local)
	if err != nil {
		return nil, nil, err
	}
	through := &quic.Transport{Conn: socket}
	tr := &http3.Transport{TLSClientConfig: config, Dial: func(ctx context.Context, addr string, t *tls.Config, c *quic.Config) (*quic.Conn, error) {
		to, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return nil, err
		}
		return through.DialEarly(ctx, to, t, c)
	}}
	return tr, func() { tr.Close(); through.Close(); socket.Close() }, nil
}

// many asks often, and says how it went.
func (o *options) many(ctx context.Context, tr http.RoundTripper, where string) error {
	var left, good atomic.Int64
	left.Store(int64(o.n))
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	for range o.m {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := o.ask(ctx, tr, where, io.Discard); err != nil {
					failed.Store(&err)
					return
				}
				good.Add(1)
			}
		})
	}
	all.Wait()
	fmt.Printf("%d good\n", good.Load())
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (o *options) ask(ctx context.Context, tr http.RoundTripper, where string, out io.Writer) error {
	req, err := o.request(ctx, where)
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if o.head {
		fmt.Fprintln(out, resp.Proto, resp.StatusCode)
		printFields(out, resp.Header)
	}
	_, err = io.Copy(out, resp.Body)
	for name, values := range resp.Trailer {
		fmt.Fprintf(out, "trailer %s: %s\n", name, strings.Join(values, ", "))
	}
	return err
}

func printFields(out io.Writer, h http.Header) {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(out, "%s: %s\n", name, strings.Join(h[name], ", "))
	}
	fmt.Fprintln(out)
}

func (o *options) request(ctx context.Context, where string) (*http.Request, error) {
	if u, err := url.Parse(where); err != nil || u.Scheme != "https" {
		return nil, errors.Join(err, fmt.Errorf("%s is no https URL", where))
	}
	var body io.Reader
	method := o.method
	if o.data != "" {
		content := []byte(o.data)
		if name, ok := strings.CutPrefix(o.data, "@"); ok {
			var err error
			if content, err = os.ReadFile(name); err != nil {
				return nil, err
			}
		}
		body = bytes.NewReader(content)
		if method == "" {
			method = http.MethodPost
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, where, body)
	if err != nil {
		return nil, err
	}
	for _, field := range o.fields {
		name, value, _ := strings.Cut(field, ":")
		req.Header.Add(name, strings.TrimSpace(value))
	}
	req.Host = o.host
	return req, nil
}
