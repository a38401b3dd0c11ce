package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// page opens a WebSocket and a stream of events, and says how that went.
const page = `<!doctype html><title>waiting</title><script>
const said = {page: performance.getEntriesByType("navigation")[0].nextHopProtocol, frames: [], events: []};
const socket = new Promise(done => {
	const ws = new WebSocket("wss://" + location.host + "/ws", ["chat", "other"]);
	ws.onopen = () => { said.subprotocol = ws.protocol; ws.send("hello"); };
	ws.onmessage = m => { said.frames.push(m.data); said.frames.length < 3 ? ws.send("again") : ws.close(1000, "done"); };
	ws.onclose = e => { said.close = e.code + " " + e.wasClean; done(); };
});
const events = new Promise(done => {
	const es = new EventSource("/events");
	es.onmessage = m => { said.events.push(m.data); if (said.events.length == 3) { es.close(); done(); } };
});
const upload = fetch("/upload", {method: "POST", body: "x".repeat(300000)}).then(r => r.text()).then(t => { said.upload = t; });
Promise.all([socket, events, upload]).then(() => fetch("/result", {method: "POST", body: JSON.stringify(said)}));
</script>`

// said is what the page says.
type said struct {
	Page, Subprotocol, Close, Upload string
	Frames, Events                   []string
}

// TestBrowser has Chromium open WebSockets and a stream of events: over HTTP/2, over HTTP/1.1, and over the latter beside a page by HTTP/2, where
// that does not offer them. A browser is large and slow, so it has to be asked for: BROWSER=1.
func TestBrowser(t *testing.T) {
	if os.Getenv("BROWSER") == "" {
		t.Skip("it needs a browser: BROWSER=1 asks for it (make browser)")
	}
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Skip("chromium is not installed")
	}
	bin := buildPrograms(t)
	pki := &certificates{dir: t.TempDir()}
	if pki.make(); pki.err != nil {
		t.Fatal(pki.err)
	}
	for _, c := range []struct {
		name, page string
		extended   bool // the WebSocket is a stream of HTTP/2
		args       []string
	}{
		{"HTTP/2", "h2", true, []string{"-H"}},
		{"HTTP/1.1", "http/1.1", false, []string{"-H", "--no-http2"}},
		{"HTTP/2 without WebSockets", "h2", false, []string{"-H", "--no-http2-websocket"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			results := make(chan said, 1)
			server := httptest.NewServer(pageServer(results))
			defer server.Close()
			port := startAudited(t, bin, pki.dir, strings.TrimPrefix(server.URL, "http://"), c.args)
			log := filepath.Join(t.TempDir(), "net.json")
			got := browse(t, pki.dir, log, "https://localhost:"+port+"/", results)
			want := said{Page: c.page, Subprotocol: "chat", Close: "1000 true", Upload: "300000", Frames: []string{"hello", "again", "again"}, Events: []string{"0", "1", "2"}}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%+v, want %+v", got, want)
			}
			text, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			if extended := strings.Contains(string(text), ":protocol: websocket"); extended != c.extended {
				t.Errorf("extended CONNECT: %v, want %v", extended, c.extended)
			}
		})
	}
}

// pageServer serves the page and what it asks for.
func pageServer(results chan<- said) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, page)
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for n := 0; r.Context().Err() == nil; n++ {
			fmt.Fprintf(w, "data: %d\n\n", n)
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond) // what is sent together arrives together, and would prove nothing
		}
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		n := 0
		for in := bufio.NewReader(r.Body); ; n++ {
			if _, err := in.ReadByte(); err != nil {
				break
			}
		}
		fmt.Fprint(w, n)
	})
	mux.HandleFunc("/result", func(_ http.ResponseWriter, r *http.Request) {
		var s said
		if json.NewDecoder(r.Body).Decode(&s) == nil {
			results <- s
		}
	})
	mux.HandleFunc("/ws", talk)
	return mux
}

// talk is a WebSocket that echoes, until its client says that it leaves.
func talk(w http.ResponseWriter, r *http.Request) {
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		acceptKey(r.Header.Get("Sec-WebSocket-Key")))
	for {
		op, payload, err := readFrame(rw.Reader)
		if err != nil {
			return
		}
		c.Write(append([]byte{op, byte(len(payload))}, payload...)) //nolint:errcheck // the next read says so
		if op&0xf == 8 {
			return
		}
	}
}

// browse opens a page and waits for what it has to say. The browser takes the certificates in dir for good.
func browse(t *testing.T, dir, log, url string, results <-chan said) said {
	t.Helper()
	home := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	cmd := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps", "--user-data-dir="+home,
		"--ignore-certificate-errors-spki-list="+keyHashes(t, dir), "--log-net-log="+log, "--net-log-capture-mode=Everything", "--remote-debugging-port=0", url)
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that it completes its log
	cmd.WaitDelay = 10 * time.Second
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { cancel(); <-ended }()
	select {
	case s := <-results:
		return s
	case err := <-ended:
		ended <- err
		t.Fatalf("chromium has ended: %v\n%s", err, &out)
	case <-ctx.Done():
		t.Fatalf("the page has said nothing:\n%s", &out)
	}
	return said{}
}

// keyHashes is how Chromium wants the keys of certificates that it is to take for good.
func keyHashes(t *testing.T, dir string) string {
	var all []string
	for _, name := range []string{"chain.pem", "rsa.pem"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
		all = append(all, base64.StdEncoding.EncodeToString(sum[:]))
	}
	return strings.Join(all, ",")
}
