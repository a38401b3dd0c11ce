package acme

import (
	"bytes"
	"context"
	stdtls "crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edgepen/certs"
	"edgepen/certs/acme/acmetest"
)

// pebbleDir is where the CA's programs lie while the tests run.
var pebbleDir string

// pebbleBin builds them for the first test that wants them.
var pebbleBin = sync.OnceValue(func() error { return acmetest.Build(pebbleDir) })

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "acme")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	pebbleDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// front is what stands where the CA connects to: the two listeners of an edge,
// which know the Manager's answers alone.
type front struct {
	httpPort, tlsPort int
	mu                sync.Mutex
	m                 *Manager
	asked             func()      // called for each validation
	http, tls         int         // validations
	deaf              atomic.Bool // to tls-alpn-01
}

func newFront(t *testing.T) *front {
	f := &front{asked: func() {}}
	plain, encrypted := listen(t), listen(t)
	f.httpPort, f.tlsPort = port(plain), port(encrypted)
	server := &http.Server{Handler: f}
	go server.Serve(plain)
	t.Cleanup(func() { server.Close() })
	config := &stdtls.Config{NextProtos: []string{"acme-tls/1"}, GetCertificate: f.certificate}
	go func() {
		for {
			conn, err := encrypted.Accept()
			if err != nil {
				return
			}
			go func() {
				stdtls.Server(conn, config).Handshake()
				conn.Close()
			}()
		}
	}()
	return f
}

func listen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// note counts a validation and returns the Manager.
func (f *front) note(count *int) *Manager {
	f.mu.Lock()
	defer f.mu.Unlock()
	*count++
	f.asked()
	return f.m
}

func (f *front) counts() (http, tls int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.http, f.tls
}

func (f *front) certificate(hello *stdtls.ClientHelloInfo) (*stdtls.Certificate, error) {
	m := f.note(&f.tls)
	if cert := m.ALPN(hello.ServerName); cert != nil && m.Pending() && !f.deaf.Load() {
		return cert, nil
	}
	return nil, fmt.Errorf("nothing pending for %s", hello.ServerName)
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m := f.note(&f.http)
	if body, ok := m.HTTPToken(r.Host, r.URL.Path); ok && m.Pending() {
		io.WriteString(w, body)
		return
	}
	http.NotFound(w, r)
}

// pebble starts a CA that connects to f.
func (f *front) pebble(t *testing.T, o acmetest.Options) *acmetest.Pebble {
	t.Helper()
	if err := pebbleBin(); err != nil {
		t.Fatal(err)
	}
	o.Bin, o.HTTPPort, o.TLSPort = pebbleDir, f.httpPort, f.tlsPort
	p := acmetest.Start(t, o)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.Log())
		}
	})
	return p
}

// config is one for a CA and a storage of the test's own.
func config(t *testing.T, p *acmetest.Pebble, names ...string) Config {
	return Config{Names: names, CA: p.DirectoryURL, CARoots: p.RootsFile, Storage: t.TempDir(), HTTPAvailable: true}
}

// manager makes one that checks often and tries again soon. Its log goes to
// the returned buffer.
func manager(t *testing.T, c Config) (*Manager, *logged) {
	t.Helper()
	log := &logged{}
	m, err := New(c, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	m.pace = pace{check: 200 * time.Millisecond, retry: func(int) time.Duration { return 300 * time.Millisecond }}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return m, log
}

// run runs m behind f; the result ends that, and waits for it.
func (f *front) run(t *testing.T, m *Manager) (end func()) {
	f.mu.Lock()
	f.m = m
	f.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	end = func() { cancel(); <-done }
	t.Cleanup(end)
	return end
}

// await polls until ok, for longer than anything here takes.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for tick := time.NewTicker(20 * time.Millisecond); !ok(); {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// obtained waits for name's certificate, other than former, and checks that
// the CA issued it.
func obtained(t *testing.T, m *Manager, p *acmetest.Pebble, name string, former *certs.Certificate) *certs.Certificate {
	t.Helper()
	await(t, "a certificate for "+name, func() bool { c := m.ForName(name); return c != nil && c[0] != former })
	cert := m.ForName(name)[0]
	root, err := p.IssuerRoot()
	if err != nil {
		t.Fatal(err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	between.AddCert(cert.Issuer())
	if _, err := cert.Leaf().Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: between}); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if cert.Source != "acme" {
		t.Errorf("source %q, want acme", cert.Source)
	}
	return cert
}

// cached reports whether certmagic looks after a certificate for name.
func cached(m *Manager, name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at != nil && len(m.at.cache.AllMatchingCertificates(name)) > 0
}

// logged is a log that may be read meanwhile.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// line waits for a line of the log that has all parts.
func (l *logged) line(t *testing.T, parts ...string) string {
	t.Helper()
	var found string
	await(t, "a line with "+strings.Join(parts, ", "), func() bool {
		for line := range strings.Lines(l.String()) {
			all := true
			for _, part := range parts {
				all = all && strings.Contains(line, part)
			}
			if all {
				found = line
				return true
			}
		}
		return false
	})
	return found
}

// noGoroutines waits until none is left of what the package started.
func noGoroutines(t *testing.T) {
	t.Helper()
	await(t, "the goroutines' end", func() bool {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		for stack := range strings.SplitSeq(string(stacks), "\n\n") {
			ours := strings.Contains(stack, "certmagic") || strings.Contains(stack, "acmez") || strings.Contains(stack, "acme.(*authority)") ||
				strings.Contains(stack, "acme.(*Manager)") || strings.Contains(stack, "net/http.(*persistConn)")
			if ours && !strings.Contains(stack, "noGoroutines") {
				return false
			}
		}
		return true
	})
}
