package h2

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// connect asks for a stream of another protocol.
func (f *frames) connect(id uint32, fields ...string) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	all := append([]string{":scheme", "https", ":path", "/chat?a", ":authority", "example.com"}, fields...)
	for i := 0; i < len(all); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]}) //nolint:errcheck // into memory
	}
	f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true}) //nolint:errcheck // the next read fails
}

// TestConnectIsOffered: clients are told by SETTINGS that they may open WebSockets (RFC 8441 section 3).
func TestConnectIsOffered(t *testing.T) {
	f := newFrames(t, serving(t, say("")))
	f.conn.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // the read fails
	frame, err := f.fr.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	settings, ok := frame.(*http2.SettingsFrame)
	if !ok {
		t.Fatalf("the first frame is %v", frame)
	}
	if v, ok := settings.Value(http2.SettingEnableConnectProtocol); !ok || v != 1 {
		t.Errorf("SETTINGS_ENABLE_CONNECT_PROTOCOL is %d, there: %v", v, ok)
	}
}

// accepting is the head with which a server of HTTP/1.1 opens a WebSocket.
func accepting(head string) string {
	_, key, _ := strings.Cut(head, "Sec-WebSocket-Key: ")
	key, _, _ = strings.Cut(key, "\r\n")
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + acceptOf(key) + "\r\nSec-WebSocket-Protocol: x\r\n\r\n"
}

func TestWebSockets(t *testing.T) {
	heads := make(chan string, 1)
	f := newFrames(t, serving(t, func(_ context.Context, head string, c net.Conn) {
		heads <- head
		io.WriteString(c, accepting(head)+"early") //nolint:errcheck // the client sees it
		word := make([]byte, 100)
		for {
			n, err := c.Read(word)
			if err != nil {
				t.Error("the client's end came first:", err)
				return
			}
			if string(word[:n]) == "bye" {
				break
			}
			c.Write(word[:n]) //nolint:errcheck // as above
		}
		ended := make(chan error, 1)
		go func() { _, err := c.Read(word); ended <- err }()
		c.(interface{ CloseWrite() error }).CloseWrite() //nolint:errcheck // as above
		if err := <-ended; err != io.EOF {
			t.Errorf("behind its end the client is read with %v", err)
		}
	}))
	f.connect(1, ":method", "CONNECT", ":protocol", "websocket", "sec-websocket-version", "13", "sec-websocket-key", "theirs", "origin", "https://example.com")
	head := <-heads
	for _, line := range []string{"GET /chat?a HTTP/1.1", "Host: example.com", "Connection: close, Upgrade", "Upgrade: websocket", "sec-websocket-version: 13", "origin: https://example.com"} {
		if strings.Count(head, line+"\r\n") != 1 {
			t.Errorf("%q is not in %q", line, head)
		}
	}
	if strings.Contains(head, "theirs") || strings.Contains(head, ":protocol") || !oneRequest(head) || strings.Count(head, "Sec-WebSocket-Key: ") != 1 {
		t.Errorf("the server was asked %q", head)
	}
	said, fields := "", map[string]string{}
	f.conn.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // the read fails
	dec := hpack.NewDecoder(4096, func(h hpack.HeaderField) { fields[h.Name] = h.Value })
	for ended := false; !ended; {
		frame, err := f.fr.ReadFrame()
		if err != nil {
			t.Fatalf("%v after %q", err, said)
		}
		switch frame := frame.(type) {
		case *http2.HeadersFrame:
			dec.Write(frame.HeaderBlockFragment())   //nolint:errcheck // the fields are missing then
			f.fr.WriteData(1, false, []byte("word")) //nolint:errcheck // the next read fails
		case *http2.DataFrame:
			said += string(frame.Data())
			if said == "earlyword" {
				f.fr.WriteData(1, false, []byte("bye")) //nolint:errcheck // as above
			}
			ended = frame.StreamEnded()
		case *http2.RSTStreamFrame:
			t.Fatalf("%v after %q", frame.ErrCode, said)
		}
	}
	if said != "earlyword" || fields[":status"] != "200" || fields["sec-websocket-protocol"] != "x" || fields["sec-websocket-accept"]+fields["upgrade"]+fields["connection"] != "" {
		t.Errorf("%q behind %v", said, fields)
	}
}

// TestWebSocketsThatAreNone: only 101 with the right proof opens one, and nothing else can be asked for.
func TestWebSocketsThatAreNone(t *testing.T) {
	for _, c := range []struct{ method, protocol, said, want string }{
		{"CONNECT", "websocket", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", "RST_STREAM"},
		{"CONNECT", "websocket", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "RST_STREAM"},
		{"CONNECT", "websocket", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "RST_STREAM"},
		{"CONNECT", "websocket", "HTTP/1.1 204 No Content\r\n\r\n", "RST_STREAM"},
		{"CONNECT", "websocket", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "HEADERS"},
		{"CONNECT", "websocket", "", "RST_STREAM"},
		{"CONNECT", "connect-udp", "never", ""},
		{"CONNECT", "", "never", ""},
		{"GET", "websocket", "never", ""},
		{"POST", "x\r\nY: z", "never", ""},
	} {
		f := newFrames(t, serving(t, func(_ context.Context, head string, client net.Conn) {
			if c.said == "never" {
				t.Errorf("%s %q reached a server: %q", c.method, c.protocol, head)
			}
			io.WriteString(client, c.said) //nolint:errcheck // the client sees it
		}))
		f.connect(1, ":method", c.method, ":protocol", c.protocol)
		if got := f.until(1); !strings.HasPrefix(got, c.want) || strings.Contains(got, "timeout") {
			t.Errorf("%s %q, answered with %q: %s, want %s", c.method, c.protocol, c.said, got, c.want)
		}
	}
}
