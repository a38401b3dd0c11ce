package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// websocketByHTTP2 does what ws does on a stream of HTTP/2 (RFC 8441).
func websocketByHTTP2(ts *testscript.TestScript, address, path, text string) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	ts.Check(err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a closed connection fails the write
	_, err = io.WriteString(c, http2.ClientPreface)
	ts.Check(err)
	fr := http2.NewFramer(c, c)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	ts.Check(fr.WriteSettings())
	s := &frameStream{ts: ts, fr: fr}
	s.open(path, address)
	ts.Check(fr.WriteData(1, false, maskedFrame(text)))
	_, payload, err := readFrame(bufio.NewReader(s))
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "frame: %s\n", payload)
	ts.Check(fr.WriteData(1, true, nil))
	io.Copy(io.Discard, s) //nolint:errcheck // until the server's end
	fmt.Fprintln(ts.Stdout(), s.end)
}

// frameStream is what comes on stream 1.
type frameStream struct {
	ts   *testscript.TestScript
	fr   *http2.Framer
	left []byte
	end  string
}

// open asks for a WebSocket once the server has said that it may be asked for, and prints the status.
func (s *frameStream) open(path, host string) {
	frame, err := s.fr.ReadFrame()
	s.ts.Check(err)
	if settings, ok := frame.(*http2.SettingsFrame); !ok {
		s.ts.Fatalf("the server begins with %v", frame)
	} else if v, _ := settings.Value(http2.SettingEnableConnectProtocol); v != 1 {
		s.ts.Fatalf("the server takes no CONNECT for WebSockets")
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"}, {":path", path}, {":authority", host}, {"sec-websocket-version", "13"}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) //nolint:errcheck // into memory
	}
	s.ts.Check(s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}))
	for {
		frame, err := s.fr.ReadFrame()
		s.ts.Check(err)
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			fmt.Fprintf(s.ts.Stdout(), "status %s\n", frame.PseudoValue("status"))
			return
		case *http2.RSTStreamFrame:
			s.ts.Fatalf("this is no WebSocket: %v", frame.ErrCode)
		}
	}
}

func (s *frameStream) Read(p []byte) (int, error) {
	for len(s.left) == 0 {
		if s.end != "" {
			return 0, io.EOF
		}
		frame, err := s.fr.ReadFrame()
		if err != nil {
			return 0, err
		}
		switch frame := frame.(type) {
		case *http2.DataFrame:
			s.left = bytes.Clone(frame.Data())
			if frame.StreamEnded() {
				s.end = "ended"
			}
		case *http2.RSTStreamFrame:
			s.end = "reset: " + frame.ErrCode.String()
		}
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}
