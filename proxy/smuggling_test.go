package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"edgepen/httpx/smugglingtest"
	"edgepen/proxy/backend"
)

// TestNothingSmuggled sends every stream of testdata/smuggling through the proxy to net/http, nginx and Apache. What the latter two
// understood is what they, as proxies that read whole bodies first, pass on to a net/http server that writes it down.
func TestNothingSmuggled(t *testing.T) {
	cases := smugglingtest.Load(t, "..")
	for kind, front := range fronts {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w, addr := startWitness(t, front)
			p, _ := start(t, func(c *Config) {
				c.Servers = []backend.Spec{spec(t, addr)}
				c.HTTP = true
			})
			for _, c := range cases {
				w.check(t, c, kind, address(p, 0))
			}
		})
	}
}

// fronts are the kinds of servers, and what starts each in front of a witness; nil: the witness is of that kind itself.
var fronts = map[string]func(t *testing.T, witness string) string{"net-http": nil, "nginx": startNginx, "apache": startApache}

// startWitness starts a witness, and what stands in front of it.
func startWitness(t *testing.T, front func(*testing.T, string) string) (w *witness, addr string) {
	w = new(witness)
	standard := httptest.NewUnstartedServer(w)
	standard.Config.DisableGeneralOptionsHandler = true // OPTIONS * is to be seen as well
	standard.Start()
	t.Cleanup(standard.Close)
	addr = standard.Listener.Addr().String()
	if front != nil {
		addr = front(t, addr)
	}
	return w, addr
}

// witness is a server that writes down what it was asked.
type witness struct {
	mu     sync.Mutex
	seen   []smugglingtest.Seen
	fields strings.Builder
}

const canary = "/canary"

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it never was a request as a whole
	}
	if r.RequestURI != canary {
		w.mu.Lock()
		w.seen = append(w.seen, smugglingtest.Seen{Method: r.Method, Target: r.RequestURI, Host: r.Host, Body: string(body)})
		for _, h := range []http.Header{r.Header, r.Trailer} {
			for name, values := range h {
				fmt.Fprintf(&w.fields, "%s: %s\n", strings.ToLower(name), strings.Join(values, ", "))
			}
		}
		w.mu.Unlock()
	}
	rw.Header().Set("X-Target", r.RequestURI)
}

func (w *witness) take() (seen []smugglingtest.Seen, fields string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen, fields = w.seen, w.fields.String()
	w.seen = nil
	w.fields.Reset()
	return seen, fields
}

// check sends one case over a connection of its own, and compares.
func (w *witness) check(t *testing.T, c *smugglingtest.Case, kind, addr string) {
	t.Helper()
	statuses, err := exchange(addr, c)
	if err != nil {
		t.Errorf("%v: %v", c, err)
	}
	seen, fields := w.take()
	if want := c.SeenBy(kind); !slices.Equal(seen, want) {
		t.Errorf("%v: the server saw %q, expected %q; the client got %d", c, seen, want, statuses)
	}
	if c.Refuse != 0 && (len(statuses) == 0 || statuses[len(statuses)-1] != c.Refuse) {
		t.Errorf("%v: the client got %d, expected %d at the end", c, statuses, c.Refuse)
	}
	w.checkFields(t, c, kind, fields)
}

// checkFields compares the fields that the server got.
func (w *witness) checkFields(t *testing.T, c *smugglingtest.Case, kind, fields string) {
	t.Helper()
	for _, text := range c.Without {
		if strings.Contains(fields, text) {
			t.Errorf("%v: the server got %q in %q", c, text, fields)
		}
	}
	for _, text := range c.With {
		if kind == "net-http" && !strings.Contains(fields, text) {
			t.Errorf("%v: the server got no %q in %q", c, text, fields)
		}
	}
}

// exchange sends a case and returns the statuses that came back. Where the connection is left open another request follows over it, to the
// same server: its answer must be its own.
func exchange(addr string, c *smugglingtest.Case) (statuses []int, err error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // it keeps a broken test from hanging
	if c.Cut {
		return nil, leave(conn, c.Raw)
	}
	go conn.Write(c.Raw) //nolint:errcheck // refused requests may not be read to their end
	r := bufio.NewReader(conn)
	methods := []string{}
	for _, s := range c.Forward {
		methods = append(methods, s.Method)
	}
	if c.Refuse != 0 {
		methods = append(methods, http.MethodGet)
	}
	open := true
	for _, method := range methods {
		resp, err := answer(r, method)
		if err != nil {
			return statuses, err
		}
		statuses = append(statuses, resp.StatusCode)
		open = !resp.Close
	}
	if !open {
		if _, err := r.ReadByte(); err != io.EOF {
			return statuses, fmt.Errorf("expected the end of the connection: %v", err)
		}
		return statuses, nil
	}
	if c.Refuse != 0 {
		return statuses, fmt.Errorf("the connection stays open behind a refusal")
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", canary) //nolint:errcheck // the answer tells
	resp, err := answer(r, http.MethodGet)
	if err != nil {
		return statuses, fmt.Errorf("the next request: %w", err)
	}
	if got := resp.Header.Get("X-Target"); got != canary {
		return statuses, fmt.Errorf("the next request got the answer to %q (%d)", got, resp.StatusCode)
	}
	return statuses, nil
}

// leave sends a request that is not complete, ends the connection, and waits for the proxy to have ended it too.
func leave(conn net.Conn, raw []byte) error {
	if _, err := conn.Write(raw); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, conn)
	return err
}

// answer reads a final response.
func answer(r *bufio.Reader, method string) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 {
			return resp, nil
		}
	}
}

const nginxConf = `
worker_processes 1; daemon off; master_process off; pid DIR/pid; error_log DIR/error.log;
events { worker_connections 256; }
http {
	access_log off; client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
	keepalive_requests 100000; merge_slashes off; large_client_header_buffers 4 64k; server_tokens off;
	server {
		listen ADDR;
		location / { proxy_pass http://WITNESS; proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Connection ""; }
	}
}
`

func startNginx(t *testing.T, witness string) string {
	dir, addr := t.TempDir(), freeAddress(t)
	runServer(t, addr, fill(t, dir, addr, witness, nginxConf), "/usr/sbin/nginx", "-p", dir, "-c")
	return addr
}

const apacheConf = `
ServerRoot DIR
DefaultRuntimeDir DIR
PidFile DIR/pid
ErrorLog DIR/error.log
ServerName localhost
Listen ADDR
LoadModule mpm_event_module MODULES/mod_mpm_event.so
LoadModule authz_core_module MODULES/mod_authz_core.so
LoadModule env_module MODULES/mod_env.so
LoadModule proxy_module MODULES/mod_proxy.so
LoadModule proxy_http_module MODULES/mod_proxy_http.so
StartServers 1
ServerLimit 1
ThreadsPerChild 25
MaxRequestWorkers 25
MaxKeepAliveRequests 0
AllowEncodedSlashes NoDecode
MergeSlashes Off
ProxyPreserveHost On
SetEnv proxy-sendcl 1
ProxyPass / http://WITNESS/ nocanon
`

func startApache(t *testing.T, witness string) string {
	dir, addr := t.TempDir(), freeAddress(t)
	conf := strings.ReplaceAll(apacheConf, "MODULES", "/usr/lib/apache2/modules")
	if os.Geteuid() == 0 {
		conf += "User daemon\nGroup daemon\n"
	}
	runServer(t, addr, fill(t, dir, addr, witness, conf), "/usr/sbin/apache2", "-D", "FOREGROUND", "-f")
	return addr
}

func fill(t *testing.T, dir, addr, witness, conf string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "conf")
	conf = strings.NewReplacer("DIR", dir, "ADDR", addr, "WITNESS", witness).Replace(conf)
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// freeAddress is one of loopback that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// runServer runs a program until the test ends, and waits until it serves.
func runServer(t *testing.T, addr, conf, program string, args ...string) {
	t.Helper()
	if _, err := os.Stat(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
	var output record
	cmd := exec.Command(program, append(args, conf)...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); cmd.Wait() }() //nolint:errcheck // it is ended by a signal
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt) //nolint:errcheck // it may have ended
		wait(t, program+" to end", done)
	})
	until(t, program+" to serve", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return true
		}
		select {
		case <-done:
			log, _ := os.ReadFile(filepath.Join(filepath.Dir(conf), "error.log"))
			t.Fatalf("%s ended: %s%s", program, output.String(), log)
		case <-time.After(10 * time.Millisecond):
		}
		return false
	})
}
