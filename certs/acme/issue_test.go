package acme

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edgepen/certs/acme/acmetest"

	"github.com/caddyserver/certmagic"
	acmeproto "github.com/mholt/acmez/v3/acme"
)

// One CA for the tests that want nothing special of it.
func TestIssuance(t *testing.T) {
	f := newFront(t)
	p := f.pebble(t, acmetest.Options{Profiles: map[string]time.Duration{"default": 90 * 24 * time.Hour, "short": 6 * 24 * time.Hour}})
	t.Run("tls-alpn-01", func(t *testing.T) { testChallenge(t, f, p, TLSALPN01) })
	t.Run("http-01", func(t *testing.T) { testChallenge(t, f, p, HTTP01) })
	t.Run("both", func(t *testing.T) { testFallback(t, f, p) })
	t.Run("restart", func(t *testing.T) { testRestart(t, f, p) })
	t.Run("profile", func(t *testing.T) { testProfile(t, f, p) })
	t.Run("renewal information", func(t *testing.T) { testRenewalInfo(t, f, p) })
	t.Run("on demand", func(t *testing.T) { testOnDemand(t, f, p) })
	t.Run("update", func(t *testing.T) { testUpdate(t, f, p) })
	t.Run("unusable", func(t *testing.T) { testUnusable(t, f, p) })
}

func testChallenge(t *testing.T, f *front, p *acmetest.Pebble, challenge string) {
	before := listening(t)
	f.mu.Lock()
	f.asked = func() {
		if now := listening(t); !maps.Equal(before, now) {
			t.Errorf("during the validation these sockets listen: %v; before: %v", now, before)
		}
	}
	f.mu.Unlock()
	httpBefore, tlsBefore := f.counts()

	c := config(t, p, "A.Example", "b.example")
	c.Challenges, c.Email = []string{challenge}, "hostmaster@a.example"
	m, log := manager(t, c)
	if m.ForName("a.example") != nil || m.Pending() {
		t.Error("there is a certificate, or a challenge, before anything ran")
	}
	end := f.run(t, m)
	obtained(t, m, p, "a.example", nil)
	obtained(t, m, p, "b.example", nil)
	log.line(t, "level=INFO", `"certificate obtained"`, "name=a.example", "until=")
	if m.ForName("c.example") != nil || len(m.All()) != 2 {
		t.Errorf("certificates for %v, want two", m.All())
	}
	end()
	noGoroutines(t)
	f.mu.Lock()
	f.asked = func() {}
	f.mu.Unlock()

	if m.Pending() || m.ALPN("a.example") != nil {
		t.Error("a challenge is pending after the end")
	}
	if now := listening(t); !maps.Equal(before, now) {
		t.Errorf("afterwards these sockets listen: %v; before: %v", now, before)
	}
	https, tls := f.counts()
	if (https > httpBefore) != (challenge == HTTP01) || (tls > tlsBefore) != (challenge == TLSALPN01) {
		t.Errorf("%s was validated with %d requests and %d handshakes", challenge, https-httpBefore, tls-tlsBefore)
	}
	checkStorage(t, c.Storage)
	if strings.Contains(log.String(), "PRIVATE KEY") || strings.Contains(log.String(), "level=WARN") {
		t.Error("the log has a key or a warning")
	}
}

// checkStorage holds that nobody else may read what is stored.
func checkStorage(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			files++
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
}

// What fails with tls-alpn-01 is tried with http-01; what fails with both says
// why.
func testFallback(t *testing.T, f *front, p *acmetest.Pebble) {
	c := config(t, p, "a.example")
	m, _ := manager(t, c)
	f.deaf.Store(true)
	defer f.deaf.Store(false)
	end := f.run(t, m)
	obtained(t, m, p, "a.example", nil)
	end()

	other, log := manager(t, config(t, p, "b.example"))
	f.run(t, other)
	f.mu.Lock()
	f.m, _ = manager(t, Config{}) // answers nothing
	f.mu.Unlock()
	log.line(t, "level=WARN", "certificate not obtained", "name=b.example", "tls-alpn-01: ", "; http-01: ", "retry_in", "(unauthorized)")
	if status := other.Status(); len(status) != 1 || status[0].Error == "" || status[0].Next.IsZero() || !status[0].Until.IsZero() {
		t.Errorf("status %+v", status)
	}
}

func testRestart(t *testing.T, f *front, p *acmetest.Pebble) {
	c := config(t, p, "a.example")
	m, _ := manager(t, c)
	end := f.run(t, m)
	first := obtained(t, m, p, "a.example", nil)
	end()

	c.OnDemand, c.Names = []string{"a.example"}, nil
	m, _ = manager(t, c)
	if found := m.ForName("a.example"); found == nil || !found[0].Leaf().Equal(first.Leaf()) {
		t.Fatal("the stored certificate is not served on demand")
	}
	c.Names, c.OnDemand = []string{"a.example"}, nil
	m, log := manager(t, c)
	if found := m.ForName("a.example"); found == nil || !found[0].Leaf().Equal(first.Leaf()) {
		t.Fatal("the stored certificate is not served")
	}
	second := m.ForName("a.example")[0]
	end = f.run(t, m)
	await(t, "a look at the storage", func() bool { return cached(m, "a.example") })
	end()
	if m.ForName("a.example")[0] != second || strings.Contains(log.String(), "obtaining") {
		t.Error("the stored certificate was replaced")
	}
}

func testProfile(t *testing.T, f *front, p *acmetest.Pebble) {
	c := config(t, p, "a.example")
	c.Profile = "short"
	m, _ := manager(t, c)
	end := f.run(t, m)
	leaf := obtained(t, m, p, "a.example", nil).Leaf()
	if life := leaf.NotAfter.Sub(leaf.NotBefore).Round(time.Hour); life != 6*24*time.Hour {
		t.Errorf("life %v, want six days", life)
	}
	end()
	c = config(t, p, "b.example")
	c.Profile = "unheard-of"
	m, log := manager(t, c)
	f.run(t, m)
	log.line(t, "level=WARN", "name=b.example", "unheard-of")
}

// The CA says at the issuance when to renew; what it says later holds.
func testRenewalInfo(t *testing.T, f *front, p *acmetest.Pebble) {
	c := config(t, p, "a.example")
	m, _ := manager(t, c)
	end := f.run(t, m)
	first := obtained(t, m, p, "a.example", nil)
	end()

	meta, resource, issued := metadata(t, m, "a.example")
	if info := issued.RenewalInfo; info == nil || !info.HasWindow() || info.SelectedTime.IsZero() || info.RetryAfter == nil {
		t.Fatalf("renewal information %+v", issued.RenewalInfo)
	}
	// As if the six hours were over that the CA wants to be left alone.
	past := time.Now().Add(-time.Minute)
	issued.RenewalInfo.RetryAfter = &past
	resource.IssuerData, _ = json.Marshal(issued)
	changed, _ := json.Marshal(resource)
	if err := os.WriteFile(meta, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: first.Leaf().Raw})
	window := `{"suggestedWindow":{"start":"2020-01-01T00:00:00Z","end":"2020-01-02T00:00:00Z"}}`
	if err := p.SetRenewalInfo(leaf, window); err != nil {
		t.Fatal(err)
	}

	m, log := manager(t, c)
	end = f.run(t, m)
	obtained(t, m, p, "a.example", m.ForName("a.example")[0])
	log.line(t, "level=INFO", "obtaining certificate", "name=a.example", "renewal=true")
	end()
	if strings.Contains(log.String(), "refuses the order as a replacement") {
		t.Error("the CA did not like the name of the former certificate")
	}
}

// metadata reads what certmagic stored beside a certificate.
func metadata(t *testing.T, m *Manager, name string) (path string, resource certmagic.CertificateResource, issued acmeproto.Certificate) {
	t.Helper()
	path = m.store.Filename(certmagic.StorageKeys.SiteMeta(m.want.key(), name))
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, &resource)
	}
	if err == nil {
		err = json.Unmarshal(resource.IssuerData, &issued)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path, resource, issued
}

func testOnDemand(t *testing.T, f *front, p *acmetest.Pebble) {
	c := config(t, p, "kept.example")
	c.OnDemand = []string{"one.example", "*.many.example", "blocked.example"}
	m, log := manager(t, c)
	if m.Obtain(t.Context(), "one.example") != nil {
		t.Error("obtained without Run")
	}
	end := f.run(t, m)
	obtained(t, m, p, "kept.example", nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if m.Obtain(gone, "b.many.example") != nil {
		t.Error("obtained for a client that is gone")
	}
	obtained(t, m, p, "b.many.example", nil)
	for _, name := range []string{"one.example", "a.many.example"} {
		if m.ForName(name) != nil {
			t.Errorf("%s is there before it was asked for", name)
		}
		found := m.Obtain(t.Context(), name)
		if found == nil || found[0] != obtained(t, m, p, name, nil) {
			t.Errorf("%s was not obtained", name)
		}
	}
	for _, name := range []string{"two.example", "many.example", "a.b.many.example", "../x", "127.0.0.1", "", "*.many.example", "-.many.example", "a_b.many.example"} {
		if m.Obtain(t.Context(), name) != nil {
			t.Errorf("%q was obtained", name)
		}
	}
	begun := len(m.demand.begun)
	for range 3 {
		if m.Obtain(t.Context(), "blocked.example") != nil {
			t.Error("blocked.example was obtained")
		}
	}
	log.line(t, "level=WARN", "not obtained on demand", "name=blocked.example", "why=", "retry_in")
	m.mu.Lock()
	if tries := len(m.demand.begun) - begun; tries != 1 {
		t.Errorf("blocked.example was tried %d times at once", tries)
	}
	m.mu.Unlock()
	status := m.Status()
	names := make([]string, 0, len(status))
	for _, s := range status {
		names = append(names, s.Name)
	}
	if want := []string{"a.many.example", "b.many.example", "blocked.example", "kept.example", "one.example"}; !slices.Equal(names, want) {
		t.Errorf("status of %v, want %v", names, want)
	}
	end()

	m, _ = manager(t, c)
	if m.ForName("one.example") == nil || m.ForName("a.many.example") == nil {
		t.Error("after a restart what was obtained on demand is not served")
	}
}

func testUpdate(t *testing.T, f *front, p *acmetest.Pebble) {
	c := config(t, p, "a.example")
	m, _ := manager(t, c)
	<-m.Changed()
	end := f.run(t, m)
	defer end()
	first := obtained(t, m, p, "a.example", nil)
	await(t, "the news", func() bool { _, ok := <-m.Changed(); return ok })

	bad := c.Clone()
	bad.Names = []string{"b.example", "10.0.0.1"}
	if m.Update(bad) == nil || m.ForName("a.example")[0] != first {
		t.Error("an Update with an error changed something, or was none")
	}
	c.Names = []string{"a.example", "b.example"}
	if err := m.Update(c); err != nil {
		t.Fatal(err)
	}
	obtained(t, m, p, "b.example", nil)
	if m.ForName("a.example")[0] != first {
		t.Error("a name that stays got another certificate")
	}
	c.Names = []string{"b.example"}
	if err := m.Update(c); err != nil {
		t.Fatal(err)
	}
	if m.ForName("a.example") != nil {
		t.Error("a name that is gone is served")
	}
	await(t, "the end of a.example's renewals", func() bool { return !cached(m, "a.example") })

	other := f.pebble(t, acmetest.Options{})
	former := m.ForName("b.example")[0]
	c.CA, c.CARoots = other.DirectoryURL, other.RootsFile
	if err := m.Update(c); err != nil {
		t.Fatal(err)
	}
	if now := m.ForName("b.example"); now == nil {
		t.Error("nothing is served until the other CA has issued")
	}
	obtained(t, m, other, "b.example", former)
	if err := m.Update(Config{}); err != nil || len(m.All()) != 0 {
		t.Errorf("%v; %d certificates for nobody", err, len(m.All()))
	}
}

// Half of what belongs together is obtained again.
func testUnusable(t *testing.T, f *front, p *acmetest.Pebble) {
	c := config(t, p, "a.example")
	m, _ := manager(t, c)
	end := f.run(t, m)
	obtained(t, m, p, "a.example", nil)
	end()
	key := m.store.Filename(certmagic.StorageKeys.SitePrivateKey(m.want.key(), "a.example"))
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, log := manager(t, c)
	if m.ForName("a.example") != nil {
		t.Error("a certificate without its key is served")
	}
	f.run(t, m)
	obtained(t, m, p, "a.example", nil)
	log.line(t, "level=WARN", "stored ACME certificate not loaded", "a.example")
	log.line(t, "level=WARN", "stored ACME certificate removed", "a.example")
}

func TestExternalAccount(t *testing.T) {
	f := newFront(t)
	secret := "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	p := f.pebble(t, acmetest.Options{EAB: map[string]string{"kid-1": secret}})
	c := config(t, p, "a.example")
	m, log := manager(t, c)
	f.run(t, m)
	log.line(t, "level=WARN", "certificate not obtained", "no account at the CA", "(externalAccountRequired)")

	c.EABKey, c.EABSecret = "kid-1", secret
	if err := m.Update(c); err != nil {
		t.Fatal(err)
	}
	obtained(t, m, p, "a.example", nil)
	if strings.Contains(log.String(), secret) {
		t.Error("the log has the secret")
	}
}

// Certificates that live for seconds are renewed by certmagic's maintenance, on
// demand by ours. (certmagic remembers failures by name, in one place for
// all: the name is this run's own.)
func TestRenewal(t *testing.T) {
	f := newFront(t)
	p := f.pebble(t, acmetest.Options{Profiles: map[string]time.Duration{"default": 6 * time.Second}})
	name := fmt.Sprintf("short-%d.example", f.tlsPort)
	c := config(t, p, name)
	c.OnDemand = []string{"b.example", "c.example"}
	m, log := manager(t, c)
	f.run(t, m)
	first := obtained(t, m, p, name, nil)
	m.Obtain(t.Context(), "b.example")
	m.Obtain(t.Context(), "c.example")
	onDemand, unused := m.ForName("b.example"), m.served.all()["c.example"]
	if onDemand == nil || unused == nil {
		t.Fatal("nothing was obtained on demand")
	}
	unused.used.Store(false)
	await(t, "the renewals", func() bool {
		a, b := m.ForName(name), m.ForName("b.example")
		return a[0] != first && b != nil && b[0] != onDemand[0]
	})
	await(t, "the end of what nobody uses", func() bool { return m.served.all()["c.example"] == nil })
	await(t, "its files' end", func() bool {
		names, err := m.store.names(m.want.key())
		return err == nil && !slices.Contains(names, "c.example")
	})
	log.line(t, "level=INFO", "obtaining certificate", "name="+name, "renewal=true")
	if m.ForName(name)[0].Leaf().SerialNumber.Cmp(first.Leaf().SerialNumber) == 0 {
		t.Error("the same certificate again")
	}
	p.Stop()
	log.line(t, "level=WARN", "certificate not renewed", "name="+name, "refused", "until=", "retry_in")
	if m.ForName(name) == nil {
		t.Error("what could not be renewed is not served any more")
	}
}

// A CA that is away is tried again; what there is, is served meanwhile.
func TestCAAway(t *testing.T) {
	f := newFront(t)
	p := f.pebble(t, acmetest.Options{})
	c := config(t, p, "a.example")
	p.Stop()
	l := listen(t)
	c.CA = "https://" + l.Addr().String() + "/dir"
	c.CARoots = ""
	l.Close()
	m, log := manager(t, c)
	f.run(t, m)
	line := log.line(t, "level=WARN", "certificate not obtained", "name=a.example", c.CA, "connection refused", "retry_in")
	if strings.Contains(line, "performing request") {
		t.Errorf("many words: %s", line)
	}
	p = f.pebble(t, acmetest.Options{Port: port(l)})
	c.CARoots = p.RootsFile
	if err := m.Update(c); err != nil {
		t.Fatal(err)
	}
	obtained(t, m, p, "a.example", nil)
	if status := m.Status(); len(status) != 1 || status[0].Error != "" || status[0].Until.IsZero() {
		t.Errorf("status %+v", status)
	}
}
