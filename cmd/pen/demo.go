package main

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"strings"
)

// demoAddress is where the demonstration listens, unless something else does already.
const demoAddress = "127.0.0.1:8443"

// runDemo starts two plain HTTP servers on loopback and an HTTPS front before them, and says how to do the same by hand.
// What flags there are besides go to the front.
func runDemo(args, operands []string, stdout, stderr io.Writer) error {
	if len(operands) > 0 {
		return usageError{fmt.Errorf("--demo brings its own listener and servers; unexpected word %q", operands[0])}
	}
	front, note, err := freeAddress(demoAddress)
	if err != nil {
		return err
	}
	command := []string{"-f", "-r", "-H", "--self-signed"}
	for _, a := range args {
		if a != "--demo" && a != "--dem" && a != "--" {
			command = append(command, a)
		}
	}
	command = append(command, front)
	for _, name := range []string{"one", "two"} {
		addr, stop, err := demoServer(name)
		if err != nil {
			return err
		}
		defer stop()
		command = append(command, addr)
	}
	fmt.Fprintf(stdout, "%sTwo plain HTTP servers and an HTTPS front before them, as by\n\n    pen %s\n\n"+
		"In another terminal (twice, to meet both servers; -k because nobody vouches for the certificate made just now):\n\n"+
		"    curl -k https://%s/\n\nCtrl-C ends it.\n", note, strings.Join(command, " "), front)
	return start(command, stdout, stderr)
}

// freeAddress is the address wished for, or another port where that one is taken.
func freeAddress(wish string) (addr, note string, err error) {
	ln, err := net.Listen("tcp", wish)
	if err != nil {
		if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "", "", fmt.Errorf("the demonstration finds no port to listen on: %v", err)
		}
		note = fmt.Sprintf("%s is taken by another program, so this runs on %s.\n", wish, ln.Addr())
	}
	defer ln.Close()
	return ln.Addr().String(), note, nil
}

// demoServer is a web server that says what it was told about the client.
func demoServer(name string) (addr string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("the demonstration's server %s: %v", name, err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<h1>Hello from server %s</h1>\n<p>You asked for %s</p>\n<pre>\n", name, html.EscapeString(r.URL.Path))
		for _, h := range []string{"X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port"} {
			fmt.Fprintf(w, "%s: %s\n", h, html.EscapeString(r.Header.Get(h)))
		}
		fmt.Fprint(w, "</pre>\n")
	})}
	go func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // a listener of our own that nobody closed
		}
	}()
	return ln.Addr().String(), func() { srv.Close() }, nil
}
