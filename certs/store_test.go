package certs

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edgepen/certs/certtest"
)

// taken returns what was read since the last call.
func (r *ram) taken() []string {
	reads := r.reads
	r.reads = nil
	slices.Sort(reads)
	return reads
}

func mustReload(t *testing.T, st *Store, s Source) *Set {
	t.Helper()
	set, err := st.Load(s, now)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestReloadReadsWhatChanged changes one file of many and counts.
func TestReloadReadsWhatChanged(t *testing.T) {
	const n = 500
	disk := &ram{files: manyNames(t, n)}
	root, key := certtest.NewRoot(t, "root"), certtest.NewKey(t)
	maps.Copy(disk.files, map[string]string{
		"c.pem":   certtest.PEM(root.Issue(t, "leaf", key, nil), root.Cert),
		"k.pem":   certtest.KeyPEM(t, key),
		"ca.pem":  certtest.PEM(root.Cert),
		"tickets": strings.Repeat("0123456789abcdef", 3)[:47] + "\x80",
	})
	src := Source{Certs: []string{"c.pem"}, Keys: []string{"k.pem"}, SNIPath: "/sni", CAFile: "ca.pem", TicketKeys: "tickets"}
	st := disk.store()
	first := mustReload(t, st, src)
	if got := len(disk.taken()); got != 2*n+4 {
		t.Fatalf("%d files read at first, want %d", got, 2*n+4)
	}
	if len(first.All()) != n+1 || len(first.Tickets) != 1 {
		t.Fatalf("%d certificates, %d ticket keys", len(first.All()), len(first.Tickets))
	}
	second := mustReload(t, st, src)
	if got := disk.taken(); got != nil {
		t.Errorf("nothing changed, but read %q", got)
	}
	if !slices.Equal(first.All(), second.All()) || first.CAs != second.CAs {
		t.Error("nothing changed, but the certificates or the CAs are others")
	}

	const name = "www7.example.com"
	fresh := certtest.NewKey(t)
	leaf := root.Issue(t, "renewed", fresh, func(c *x509.Certificate) { c.DNSNames = []string{name} })
	disk.files["/sni/"+name+".crt"] = certtest.PEM(leaf, root.Cert)
	if !st.Changed() {
		t.Error("a new certificate is no change")
	}
	_, err := st.Load(src, now)
	if err == nil || !strings.HasPrefix(err.Error(), "key /sni/"+name+".key does not belong to certificate /sni/"+name+".crt") {
		t.Errorf("certificate renewed and key not: %v", err)
	}
	if st.Changed() {
		t.Error("nothing has changed since the Load that failed")
	}
	if got := disk.taken(); !slices.Equal(got, []string{"/sni/" + name + ".crt"}) {
		t.Errorf("one file changed, but read %q", got)
	}
	disk.files["/sni/"+name+".key"] = certtest.KeyPEM(t, fresh)
	if !st.Changed() {
		t.Error("a new key is no change")
	}
	third := mustReload(t, st, src)
	if got := disk.taken(); !slices.Equal(got, []string{"/sni/" + name + ".crt", "/sni/" + name + ".key"}) {
		t.Errorf("the certificate and the key changed, but read %q", got)
	}
	if got := third.ForName(name)[0].Leaf().Subject.CommonName; got != "renewed" {
		t.Errorf("serving %s", got)
	}
	others := 0
	for i, c := range third.All() {
		if c != second.All()[i] {
			others++
		}
	}
	if others != 1 {
		t.Errorf("%d certificates are new, want 1", others)
	}
}

// TestHeap holds a certificate, with all that is remembered of it, to 10 kB.
func TestHeap(t *testing.T) {
	const n = 1000
	disk := &ram{files: manyNames(t, n)}
	before := heap()
	st := disk.store()
	set := mustReload(t, st, Source{SNIPath: "/sni"})
	disk.reads = nil
	if used := int64(heap()-before) / n; used > 10_000 {
		t.Errorf("%d bytes for each certificate", used)
	}
	a, b := set.All()[0], set.All()[1]
	if a.Issuer() == nil || a.Issuer() != b.Issuer() {
		t.Error("the intermediate certificate is there twice")
	}
}

func TestChanged(t *testing.T) {
	root := certtest.NewRoot(t, "root")
	files := manyNames(t, 2)
	dir, cadir := writeAll(t, files), t.TempDir()
	ca := filepath.Join(cadir, "1a2b3c4d.0")
	write := func(path, content string) {
		t.Helper()
		temporary := filepath.Join(t.TempDir(), "new")
		if err := os.WriteFile(temporary, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temporary, path); err != nil {
			t.Fatal(err)
		}
	}
	write(ca, certtest.PEM(root.Cert))
	in := func(name string) string { return filepath.Join(dir, name) }
	src := Source{SNIPath: dir, CADir: cadir}
	st := NewStore()
	if st.Changed() {
		t.Error("changed before the first Load")
	}
	mustReload(t, st, src)
	for _, step := range []struct {
		name  string
		do    func() error
		fails bool
	}{
		{"replaced by the same", func() error { write(ca, certtest.PEM(root.Cert)); return nil }, false},
		{"new response", func() error { write(in("www0.example.com.ocsp"), "x"); return nil }, false},
		{"changed in place", func() error { return os.WriteFile(in("www0.example.com.ocsp"), []byte("xyz"), 0o600) }, false},
		{"file gone", func() error { return os.Remove(in("www1.example.com.key")) }, true},
		{"file back", func() error { write(in("www1.example.com.key"), files["/sni/www1.example.com.key"]); return nil }, false},
		{"file damaged", func() error { write(in("www1.example.com.key"), "hello"); return nil }, true},
		{"file repaired", func() error { write(in("www1.example.com.key"), files["/sni/www1.example.com.key"]); return nil }, false},
		{"name gone", func() error {
			return os.Remove(in("www0.example.com.crt"))
		}, false},
		{"CA gone", func() error { return os.Remove(ca) }, true},
		{"directory gone", func() error { return os.Remove(cadir) }, true},
		{"directory back", func() error { return os.Mkdir(cadir, 0o700) }, true},
		{"CA back", func() error { write(ca, certtest.PEM(root.Cert)); return nil }, false},
	} {
		if st.Changed() {
			t.Errorf("%s: changed before it was", step.name)
		}
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if !st.Changed() {
			t.Errorf("%s: no change", step.name)
		}
		if _, err := st.Load(src, now); (err != nil) != step.fails {
			t.Errorf("%s: error %v", step.name, err)
		}
	}
}

// TestChangedAfterFailure has two files bad at once, and a Source tried that
// is not to be had.
func TestChangedAfterFailure(t *testing.T) {
	disk := &ram{files: manyNames(t, 1)}
	root := certtest.NewRoot(t, "root")
	disk.files["ca.pem"] = certtest.PEM(root.Cert)
	src, st := Source{SNIPath: "/sni", CAFile: "ca.pem"}, disk.store()
	mustReload(t, st, src)

	const key = "/sni/www0.example.com.key"
	goodKey := disk.files[key]
	disk.files["ca.pem"], disk.files[key] = "bad", "bad"
	for _, trial := range []Source{{CAFile: "none"}, {SelfSigned: "a", Certs: []string{"b"}}} {
		if _, err := st.Load(trial, now); err == nil || !st.Changed() {
			t.Errorf("%+v: error %v, or the change of what is in force is lost", trial, err)
		}
	}
	if _, err := st.Load(src, now); err == nil || st.Changed() {
		t.Errorf("error %v, or changed since", err)
	}
	disk.files[key] = goodKey
	if !st.Changed() {
		t.Error("the file that the Load did not come to has changed unnoticed")
	}
	if _, err := st.Load(src, now); err == nil || st.Changed() {
		t.Errorf("error %v, or changed since", err)
	}
	disk.files["ca.pem"] = certtest.PEM(root.Cert)
	if !st.Changed() {
		t.Error("the CA file has changed unnoticed")
	}
	mustReload(t, st, src)

	first := disk.store()
	if _, err := first.Load(Source{CAFile: "none"}, now); err == nil || first.Changed() {
		t.Errorf("error %v, or changed since", err)
	}
	disk.files["none"] = disk.files["ca.pem"]
	if !first.Changed() {
		t.Error("what the very first Load missed is there unnoticed")
	}
}

// TestKubernetes swaps the directory that all files are links into, as the
// kubelet does.
func TestKubernetes(t *testing.T) {
	dir := t.TempDir()
	const name = "www0.example.com"
	link := func(target, path string) {
		t.Helper()
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	fill := func(data string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, data), 0o700); err != nil {
			t.Fatal(err)
		}
		for path, content := range manyNames(t, 1) {
			if err := os.WriteFile(filepath.Join(dir, data, filepath.Base(path)), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		link(data, filepath.Join(dir, "..data_tmp"))
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	fill("..one")
	link("..data/"+name+".crt", filepath.Join(dir, name+".crt"))
	link("..data/"+name+".key", filepath.Join(dir, name+".key"))
	st := NewStore()
	first := mustReload(t, st, Source{SNIPath: dir})
	if len(first.All()) != 1 || len(first.Warnings) != 0 {
		t.Fatalf("%d certificates, warnings %q", len(first.All()), first.Warnings)
	}
	fill("..two")
	if !st.Changed() {
		t.Error("the swap is no change")
	}
	second := mustReload(t, st, Source{SNIPath: dir})
	if first.ForName(name)[0].Leaf().Equal(second.ForName(name)[0].Leaf()) {
		t.Error("the former certificate is still there")
	}
}

// TestStapleStays gives a certificate a staple and reads its files again.
func TestStapleStays(t *testing.T) {
	disk := &ram{files: manyNames(t, 1)}
	const base = "/sni/www0.example.com"
	st := disk.store()
	src := Source{SNIPath: "/sni"}
	first := mustReload(t, st, src).All()[0]
	before := first.TLS()
	first.SetStaple([]byte("staple"))
	if before.OCSPStaple != nil {
		t.Error("a certificate in use was changed")
	}
	if same := mustReload(t, st, src).All()[0]; same != first || string(same.TLS().OCSPStaple) != "staple" {
		t.Error("the staple is gone, and nothing changed")
	}
	disk.files[base+".crt"] += "\n"
	disk.files[base+".ocsp"] = "response"
	second := mustReload(t, st, src).All()[0]
	if second == first || string(second.TLS().OCSPStaple) != "staple" || string(second.Response) != "response" {
		t.Errorf("read again: staple %q, response %q", second.TLS().OCSPStaple, second.Response)
	}
	maps.Copy(disk.files, manyNames(t, 1))
	if third := mustReload(t, st, src).All()[0]; third.TLS().OCSPStaple != nil {
		t.Error("another certificate has the former one's staple")
	}
	second.SetStaple(nil)
	if second.TLS().OCSPStaple != nil {
		t.Error("the staple cannot be taken away")
	}
}

func TestSelfSignedStays(t *testing.T) {
	st := NewStore()
	src := Source{SelfSigned: "localhost"}
	one := mustReload(t, st, src).Default[0]
	if _, err := st.Load(Source{SelfSigned: "a b"}, now); err == nil {
		t.Fatal("a bad name is no error")
	}
	if mustReload(t, st, src).Default[0] != one {
		t.Error("the names stayed, but the certificate did not")
	}
	if one.Source != "self-signed" || !slices.Equal(one.Names, []string{"localhost"}) || one.Issuer() != nil {
		t.Errorf("source %s, names %q, issuer %v", one.Source, one.Names, one.Issuer())
	}
	late, err := st.Load(src, now.Add(selfSignedLife-24*time.Hour))
	if err != nil || late.Default[0] == one {
		t.Errorf("near its end: error %v, or no new certificate", err)
	}
	src.SelfSigned = "example.com"
	if mustReload(t, st, src).ForName("example.com") == nil {
		t.Error("the new name is not served")
	}
}

// TestCAsChange completes chains anew when only -G has changed.
func TestCAsChange(t *testing.T) {
	root := certtest.NewRoot(t, "root")
	middle := root.Intermediate(t, "middle")
	key := certtest.NewKey(t)
	disk := &ram{files: map[string]string{
		"c.pem":  certtest.PEM(middle.Issue(t, "leaf", key, nil)) + certtest.KeyPEM(t, key),
		"ca.pem": certtest.PEM(root.Cert),
	}}
	st, src := disk.store(), Source{Certs: []string{"c.pem"}, CAFile: "ca.pem"}
	if got := subjects(t, mustReload(t, st, src).Default[0]); got != "leaf" {
		t.Errorf("chain %q", got)
	}
	disk.taken()
	disk.files["ca.pem"] += certtest.PEM(middle.Cert)
	set := mustReload(t, st, src)
	if got := subjects(t, set.Default[0]); got != "leaf middle" || set.Default[0].Issuer() == nil {
		t.Errorf("chain %q", got)
	}
	if got := disk.taken(); !slices.Equal(got, []string{"ca.pem"}) {
		t.Errorf("read %q", got)
	}
	src.CAFile = ""
	if set := mustReload(t, st, src); subjects(t, set.Default[0]) != "leaf" || set.CAs != nil {
		t.Error("the CAs that are gone are still used")
	}
}

// TestInternForgets sees that what no file holds any more is not kept.
func TestInternForgets(t *testing.T) {
	disk := &ram{files: manyNames(t, 1)}
	st := disk.store()
	for range 20 {
		maps.Copy(disk.files, manyNames(t, 1))
		mustReload(t, st, Source{SNIPath: "/sni"})
		heap()
	}
	if n := len(st.interns.certs); n > 3 {
		t.Errorf("%d intermediate certificates are remembered, of one file", n)
	}
}

func TestSourceCopies(t *testing.T) {
	full := Source{
		Certs: []string{"c"}, Keys: []string{"k", "c"}, SelfSigned: "s", SNIPath: "d", OCSPResponse: "o", CAFile: "ca",
		CADir: "cad", CRLs: []string{"r"}, TicketKeys: "t", ECHKeys: "e",
	}
	if got, want := fmt.Sprint(full.Paths()), "[c k r d o cad t e ca]"; got != want {
		t.Errorf("Paths %s, want %s", got, want)
	}
	if got := (Source{CAFile: SystemRoots, SelfSigned: "x"}).Paths(); got != nil {
		t.Errorf("Paths %q, want none", got)
	}
	clone := full.Clone()
	if !clone.Equal(full) {
		t.Error("a clone is different")
	}
	for i, edit := range []func(*Source){
		func(s *Source) { s.Certs[0] = "x" }, func(s *Source) { s.Keys[1] = "x" }, func(s *Source) { s.CRLs[0] = "x" },
		func(s *Source) { s.SelfSigned = "x" }, func(s *Source) { s.SNIPath = "x" }, func(s *Source) { s.OCSPResponse = "x" },
		func(s *Source) { s.CAFile = "x" }, func(s *Source) { s.CADir = "x" }, func(s *Source) { s.TicketKeys = "x" },
		func(s *Source) { s.ECHKeys = "x" },
	} {
		edited := full.Clone()
		if edit(&edited); edited.Equal(full) || !clone.Equal(full) {
			t.Errorf("edit %d: equal, or the original changed too", i)
		}
	}
}

func TestNewCertificate(t *testing.T) {
	root, key := certtest.NewRoot(t, "root"), certtest.NewKey(t)
	set, err := (&ram{files: map[string]string{
		"c.pem": certtest.PEM(root.Issue(t, "leaf", key, nil), root.Cert) + certtest.KeyPEM(t, key),
	}}).store().Load(Source{Certs: []string{"c.pem"}}, now)
	if err != nil {
		t.Fatal(err)
	}
	given := *set.Default[0].TLS()
	given.Leaf = nil
	c, err := NewCertificate(given, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if c.Leaf() == nil || c.Source != "acme" || !slices.Equal(c.Names, []string{"localhost"}) || !bytes.Equal(c.Issuer().Raw, root.Cert.Raw) {
		t.Errorf("leaf %v, source %s, names %q, issuer %v", c.Leaf(), c.Source, c.Names, c.Issuer())
	}
	for _, test := range []struct {
		edit func()
		want string
	}{
		{func() { given.Certificate = [][]byte{given.Certificate[0], []byte("junk")} }, "certificate from acme (number 2 of its chain) cannot be used: x509: "},
		{func() { given.Certificate = nil }, "certificate from acme is empty"},
		{func() { given.Certificate, given.PrivateKey = [][]byte{{1}}, nil }, "certificate from acme has no private key"},
	} {
		test.edit()
		if _, err := NewCertificate(given, "acme"); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("error %v, want %s", err, test.want)
		}
	}
}
