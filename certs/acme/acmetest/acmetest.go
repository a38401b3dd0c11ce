// Package acmetest runs pebble, a small ACME CA made for tests, and the DNS
// server that belongs to it, which says that all names are 127.0.0.1. Both
// listen on free ports of the loopback interface. They are tools of
// .ci/tools.mod, built with the go command.
package acmetest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	stdtls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// readyWithin bounds how long the programs may take to start.
const readyWithin = 20 * time.Second

// TB is what Start needs of a test, or of a script engine.
type TB interface {
	Fatal(args ...any)
	Cleanup(func())
}

// Options say what kind of CA is wanted. The zero Options are fine.
type Options struct {
	// Bin is a directory that Build has filled. "" builds anew.
	Bin string
	// Port is the directory's; 0 picks a free one.
	Port int
	// HTTPPort and TLSPort are where pebble connects to for http-01 and
	// tls-alpn-01, on 127.0.0.1; 0 picks free ones.
	HTTPPort, TLSPort int
	// EAB are the external accounts, of which there must be one for each
	// account: secrets in base64url by key ID. Empty: none is asked for.
	EAB map[string]string
	// Profiles are lives of certificates, in whole seconds, by profile.
	// Empty: "default" with 90 days.
	Profiles map[string]time.Duration
}

// Pebble is a CA that runs.
type Pebble struct {
	DirectoryURL  string
	RootsFile     string // PEM: what the directory's own TLS is verified against
	ManagementURL string
	HTTPPort      int
	TLSPort       int

	dir    string
	client *http.Client
	output *os.File
	stop   []func()
}

// Build puts the programs into dir, in seconds, or less once go's cache has
// them. It is to be called from within the module.
func Build(dir string) error {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("go env GOMOD: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(mod)))
	const path = "github.com/letsencrypt/pebble/v2/cmd/"
	build := exec.Command("go", "build", "-modfile="+filepath.Join(root, ".ci", "tools.mod"), "-o", dir, path+"pebble", path+"pebble-challtestsrv")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building pebble: %w\n%s", err, out)
	}
	return nil
}

// Start is Launch for a test, which ends the CA.
func Start(t TB, o Options) *Pebble {
	p, err := Launch(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// Launch starts the CA and waits until it answers. The caller ends it with
// Stop. It tries twice, for somebody may take a port that was free.
func Launch(o Options) (*Pebble, error) {
	p, err := launch(o)
	if err != nil {
		p, err = launch(o)
	}
	return p, err
}

func launch(o Options) (*Pebble, error) {
	dir, err := os.MkdirTemp("", "pebble")
	if err != nil {
		return nil, err
	}
	p := &Pebble{dir: dir, RootsFile: filepath.Join(dir, "cert.pem"), HTTPPort: o.HTTPPort, TLSPort: o.TLSPort}
	p.stop = append(p.stop, func() { os.RemoveAll(dir) })
	if err := p.start(o); err != nil {
		err = fmt.Errorf("pebble: %w\n%s", err, p.Log())
		p.Stop()
		return nil, err
	}
	return p, nil
}

// Stop ends the programs and removes their files.
func (p *Pebble) Stop() {
	for i := len(p.stop) - 1; i >= 0; i-- {
		p.stop[i]()
	}
	p.stop = nil
}

func (p *Pebble) start(o Options) error {
	if o.Bin == "" {
		o.Bin = p.dir
		if err := Build(o.Bin); err != nil {
			return err
		}
	}
	ports, err := freePorts(6)
	if err != nil {
		return err
	}
	directory, management, dns, dnsManagement := ports[0], ports[1], ports[2], ports[3]
	if o.Port != 0 {
		directory = o.Port
	}
	if p.HTTPPort == 0 {
		p.HTTPPort = ports[4]
	}
	if p.TLSPort == 0 {
		p.TLSPort = ports[5]
	}
	p.DirectoryURL, p.ManagementURL = "https://"+loopback(directory)+"/dir", "https://"+loopback(management)
	if err := p.writeFiles(o, directory, management); err != nil {
		return err
	}
	if p.output, err = os.Create(filepath.Join(p.dir, "log")); err != nil {
		return err
	}
	p.stop = append(p.stop, func() { p.output.Close() })
	if err := p.run(filepath.Join(o.Bin, "pebble-challtestsrv"), loopback(dns), "-dnsserver", loopback(dns),
		"-management", loopback(dnsManagement), "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""); err != nil {
		return err
	}
	return p.run(filepath.Join(o.Bin, "pebble"), loopback(directory), "-config", filepath.Join(p.dir, "config.json"), "-dnsserver", loopback(dns))
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts returns n ports that were free just now, for TCP and UDP.
func freePorts(n int) ([]int, error) {
	var ports []int
	for len(ports) < n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		u, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			continue
		}
		defer u.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// run starts a program and waits until it listens at addr.
func (p *Pebble) run(program, addr string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = p.output, p.output
	// No waits before a validation, and none without one.
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0")
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	p.stop = append(p.stop, func() { cmd.Process.Kill(); <-ended })

	timeout := time.After(readyWithin)
	for {
		if conn, err := net.Dial("tcp", addr); err == nil {
			return conn.Close()
		}
		select {
		case <-ended:
			return fmt.Errorf("%s ended", filepath.Base(program))
		case <-timeout:
			return fmt.Errorf("%s does not listen at %s", filepath.Base(program), addr)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// writeFiles writes the configuration, and the certificate of pebble's own
// server.
func (p *Pebble) writeFiles(o Options, directory, management int) error {
	type profile struct {
		Description    string `json:"description"`
		ValidityPeriod int64  `json:"validityPeriod"`
	}
	profiles := map[string]profile{}
	for name, life := range o.Profiles {
		profiles[name] = profile{"for tests", int64(life / time.Second)}
	}
	if len(profiles) == 0 {
		profiles["default"] = profile{"for tests", 90 * 24 * 3600}
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": loopback(directory), "managementListenAddress": loopback(management),
		"certificate": p.RootsFile, "privateKey": filepath.Join(p.dir, "key.pem"),
		"httpPort": p.HTTPPort, "tlsPort": p.TLSPort, "keyAlgorithm": "ecdsa", "profiles": profiles,
		"externalAccountBindingRequired": len(o.EAB) > 0, "externalAccountMACKeys": o.EAB,
		"domainBlocklist": []string{"blocked.example"},
	}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.dir, "config.json"), config, 0o600); err != nil {
		return err
	}
	return p.writeCertificate()
}

func (p *Pebble) writeCertificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "pebble's own"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	transport := &http.Transport{TLSClientConfig: &stdtls.Config{RootCAs: pool}, DisableKeepAlives: true}
	p.client = &http.Client{Transport: transport, Timeout: readyWithin}
	return errors.Join(os.WriteFile(p.RootsFile, certPEM, 0o600), os.WriteFile(filepath.Join(p.dir, "key.pem"), keyPEM, 0o600))
}

// IssuerRoot returns the root of the certificates that the CA issues, in PEM.
func (p *Pebble) IssuerRoot() ([]byte, error) {
	return p.management(http.MethodGet, "/roots/0", nil)
}

// SetRenewalInfo makes the CA answer with response when it is asked when to
// renew a certificate, given in PEM (RFC 9773 section 4.1).
func (p *Pebble) SetRenewalInfo(certificate []byte, response string) error {
	body, err := json.Marshal(map[string]string{"Certificate": string(certificate), "ARIResponse": response})
	if err != nil {
		return err
	}
	_, err = p.management(http.MethodPost, "/set-renewal-info/", body)
	return err
}

func (p *Pebble) management(method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, p.ManagementURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("pebble: %s %s: %s: %s", method, path, response.Status, content)
	}
	return content, err
}

// Log returns what the programs have written.
func (p *Pebble) Log() string {
	content, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return string(content)
}
