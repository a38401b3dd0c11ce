package certs

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"edgepen/certs/certtest"
)

// manyNames is what the contents of SNIPath look like with n names, by path
// below /sni: each has a certificate of an intermediate CA, and a key.
func manyNames(t testing.TB, n int) map[string]string {
	t.Helper()
	middle := certtest.NewRoot(t, "root").Intermediate(t, "middle")
	files := make(map[string]string, 2*n)
	for i := range n {
		name := fmt.Sprintf("www%d.example.com", i)
		key := certtest.NewKey(t)
		leaf := middle.Issue(t, name, key, func(c *x509.Certificate) { c.DNSNames = []string{name} })
		files["/sni/"+name+".crt"] = certtest.PEM(leaf, middle.Cert)
		files["/sni/"+name+".key"] = certtest.KeyPEM(t, key)
	}
	return files
}

// writeAll puts files into a directory of the test's own and returns it.
func writeAll(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range files {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// heap is the memory in use, in bytes.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkLoad10000(b *testing.B) {
	dir := writeAll(b, manyNames(b, 10_000))
	var used uint64
	for b.Loop() {
		b.StopTimer()
		before, st := heap(), NewStore()
		b.StartTimer()
		set, err := st.Load(Source{SNIPath: dir}, now)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		used = heap() - before
		runtime.KeepAlive(set)
		runtime.KeepAlive(st)
		b.StartTimer()
	}
	b.ReportMetric(float64(used)/1e6, "MB-heap")
}

func BenchmarkReloadOneOf10000(b *testing.B) {
	dir := writeAll(b, manyNames(b, 10_000))
	st := NewStore()
	if _, err := st.Load(Source{SNIPath: dir}, now); err != nil {
		b.Fatal(err)
	}
	one := filepath.Join(dir, "www77.example.com.crt")
	for i := int64(1); b.Loop(); i++ {
		if err := os.Chtimes(one, now, now.Add(time.Duration(i))); err != nil {
			b.Fatal(err)
		}
		if _, err := st.Load(Source{SNIPath: dir}, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChanged10000(b *testing.B) {
	dir := writeAll(b, manyNames(b, 10_000))
	st := NewStore()
	if _, err := st.Load(Source{SNIPath: dir}, now); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if st.Changed() {
			b.Fatal("nothing has changed")
		}
	}
}

func BenchmarkForName(b *testing.B) {
	files := manyNames(b, 10_000)
	set, err := (&ram{files: files}).store().Load(Source{SNIPath: "/sni"}, now)
	if err != nil {
		b.Fatal(err)
	}
	for name, want := range map[string]int{"www7777.example.com": 1, "unknown.example.com": 0} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(set.ForName(name)) != want {
					b.Fatal(name)
				}
			}
		})
	}
}
