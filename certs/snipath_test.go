package certs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edgepen/certs/certtest"
)

func TestIndexNames(t *testing.T) {
	names := strings.Fields("..data .hidden.crt .crt A.example.crt A.example.key README a.example.ca b.example.crt b.example.ca b.example.ocsp " +
		"b.example.rsa.crt b.example.rsa.key b.example.rsa.ocsp c.example.key *.d.example.crt *.crt *.*.e.crt ..crt 10.0.0.1.crt f..g.crt bücher.crt tls.crt tls.key h.ecdsa.rsa.crt i.CRT")
	entries, warnings := indexNames("/d", names)
	want := []entry{
		{"*.d.example", "/d/*.d.example.crt", "", "", ""},
		{"a.example", "/d/A.example.crt", "/d/A.example.key", "", ""},
		{"b.example", "/d/b.example.crt", "", "/d/b.example.ca", "/d/b.example.ocsp"},
		{"b.example", "/d/b.example.rsa.crt", "/d/b.example.rsa.key", "/d/b.example.ca", "/d/b.example.rsa.ocsp"},
		{"h.ecdsa", "/d/h.ecdsa.rsa.crt", "", "", ""},
		{"tls", "/d/tls.crt", "/d/tls.key", "", ""},
	}
	if !slices.Equal(entries, want) {
		t.Errorf("entries\n %q, want\n %q", entries, want)
	}
	if want := []string{
		`/d/*.crt is not served: "*" is no host name`,
		`/d/*.*.e.crt is not served: "*.*.e" is no host name`,
		`/d/10.0.0.1.crt is not served: "10.0.0.1" is no host name`,
		`/d/f..g.crt is not served: "f..g" is no host name`,
		`/d/bücher.crt is not served: "bücher" is no host name`,
	}; !slices.Equal(warnings, want) {
		t.Errorf("warnings\n %q, want\n %q", warnings, want)
	}
}

// FuzzIndexNames gives names of files, one a line. What is served is under a
// plain host name and from the directory itself.
func FuzzIndexNames(f *testing.F) {
	f.Add("a.example.crt\na.example.key\n*.b.crt\n..crt\n../x.crt")
	f.Add("A.RSA.crt\na.rsa.crt\na.ecdsa.crt\nx\x1b[2J.crt\n\n.crt")
	f.Fuzz(func(t *testing.T, list string) {
		names := slices.DeleteFunc(strings.Split(list, "\n"), func(name string) bool { return name == "" || strings.Contains(name, "/") })
		entries, warnings := indexNames("/sni", names)
		for _, e := range entries {
			if !hostName(e.name) || e.name != strings.ToLower(e.name) || filepath.Dir(e.cert) != "/sni" {
				t.Errorf("%+v", e)
			}
			for _, path := range []string{e.key, e.ca, e.response} {
				if path != "" && !slices.Contains(names, filepath.Base(path)) {
					t.Errorf("%s is not there", path)
				}
			}
		}
		for _, w := range warnings {
			if w != clean(w) {
				t.Errorf("warning %q steers the terminal", w)
			}
		}
	})
}

func TestSNIPath(t *testing.T) {
	root := certtest.NewRoot(t, "root")
	middle := root.Intermediate(t, "middle")
	clients := certtest.NewRoot(t, "clients")
	key := certtest.NewKey(t)
	leaf := func(name string) string {
		return certtest.PEM(middle.Issue(t, "leaf", key, func(c *x509.Certificate) { c.DNSNames = []string{name} }))
	}
	disk := &ram{files: map[string]string{
		"/sni/a.example.crt": leaf("a.example") + certtest.KeyPEM(t, key), "/sni/a.example.ca": certtest.PEM(clients.Cert, middle.Cert),
		"/sni/b.example.crt": leaf("b.example"), "/sni/b.example.key": certtest.KeyPEM(t, key), "/sni/b.example.ca": certtest.PEM(clients.Cert, middle.Cert),
		"/sni/c.example.crt": leaf("c.example"), "/sni/c.example.key": certtest.KeyPEM(t, key), "/sni/c.example.ocsp": "response",
		"/sni/d.example.crt": leaf("d.example"), "/sni/d.example.key": certtest.KeyPEM(t, key), "/sni/d.example.ca": certtest.PEM(clients.Cert),
		"ca.pem": certtest.PEM(root.Cert, middle.Cert),
	}}
	set := mustReload(t, disk.store(), Source{SNIPath: "/sni", CAFile: "ca.pem"})
	at := func(name string) *Certificate { return set.ForName(name)[0] }
	for _, name := range []string{"a.example", "b.example", "c.example", "d.example"} {
		if got := subjects(t, at(name)); got != "leaf middle" {
			t.Errorf("%s: chain %q", name, got)
		}
		if at(name).Issuer() == nil || !slices.Equal(at(name).Names, []string{name}) {
			t.Errorf("%s: issuer %v, names %q", name, at(name).Issuer(), at(name).Names)
		}
	}
	if a, b, c := at("a.example"), at("b.example"), at("c.example"); a.CAs == nil || a.CAs != b.CAs || c.CAs != nil || at("d.example").CAs == a.CAs {
		t.Error("CAs of names: expected a and b to share theirs, c to have none, and d its own")
	}
	if c := at("c.example"); string(c.Response) != "response" || c.ResponseFile != "/sni/c.example.ocsp" || at("a.example").Response != nil {
		t.Errorf("response %q of %s", c.Response, c.ResponseFile)
	}
	if set.Default != nil || len(set.Warnings) != 0 {
		t.Errorf("default %v, warnings %q", set.Default, set.Warnings)
	}
}

func TestSNIPathErrors(t *testing.T) {
	by := newIssuer(t)
	cert, key := by.certificate(t, by.ecdsa, "a.example")
	_, rsaKey := by.certificate(t, by.rsa, "a.example")
	for _, test := range []struct {
		files map[string]string
		want  string
	}{
		{nil, "cannot read certificate directory /sni: file does not exist"},
		{map[string]string{"README": "x", "a b.crt": "x"}, "certificate directory /sni holds no certificate; expected files such as www.example.com.crt"},
		{map[string]string{"a.example.crt": cert}, "certificate /sni/a.example.crt holds no private key; append it, or put it into /sni/a.example.key"},
		{map[string]string{"a.example.crt": cert, "a.example.key": rsaKey}, "key /sni/a.example.key does not belong to certificate /sni/a.example.crt (subject CN=a.example)"},
		{map[string]string{"a.example.crt": rsaKey + cert, "a.example.key": rsaKey}, "none of the 2 keys in /sni/a.example.crt, /sni/a.example.key belongs to certificate /sni/a.example.crt (subject CN=a.example)"},
		{map[string]string{"a.example.crt": cert + key, "a.example.key": "x"}, "key /sni/a.example.key holds no PEM block; expected a line -----BEGIN PRIVATE KEY-----"},
		{map[string]string{"a.example.crt": cert + key, "a.example.ca": key}, "CA file /sni/a.example.ca holds a private key, but no certificate; expected -----BEGIN CERTIFICATE-----"},
		{map[string]string{"a.example.crt": ""}, "certificate /sni/a.example.crt is empty; expected PEM"},
		{
			map[string]string{"a.example.crt": cert + key, "b.example.crt": "", "c.example.crt": cert, "d.example.crt": "x"},
			"certificate /sni/b.example.crt is empty; expected PEM; and 2 more certificates in /sni cannot be used",
		},
	} {
		disk := &ram{files: map[string]string{}}
		for name, content := range test.files {
			disk.files["/sni/"+name] = content
		}
		if _, err := disk.store().Load(Source{SNIPath: "/sni"}, now); err == nil || err.Error() != test.want {
			t.Errorf("%q:\n got  %v\n want %s", test.files, err, test.want)
		}
	}
}

func TestSNIPathWarnings(t *testing.T) {
	root, key := certtest.NewRoot(t, "root"), certtest.NewKey(t)
	features, err := asn1.Marshal([]int{17, 5})
	if err != nil {
		t.Fatal(err)
	}
	must := []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: features}}
	for _, test := range []struct {
		name string
		edit func(*x509.Certificate)
		also string // another file
		mode fs.FileMode
		want string
	}{
		{"a.example", func(c *x509.Certificate) { c.DNSNames = []string{"a.example"} }, "", 0, ""},
		{"a.example", func(c *x509.Certificate) { c.DNSNames = []string{"*.example"} }, "", 0, ""},
		{"*.example", func(c *x509.Certificate) { c.DNSNames = []string{"*.example"} }, "", 0, ""},
		{"a.example", func(c *x509.Certificate) { c.DNSNames = []string{"b.example"} }, "", 0, "certificate FILE is served for a.example all the same, which it is not made for"},
		{"*.example", func(c *x509.Certificate) { c.DNSNames = []string{"a.example"} }, "", 0, "certificate FILE is served for *.example all the same, which it is not made for"},
		{"localhost", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }, "", 0, "certificate FILE expired on 2026-03-01 11:00:00 UTC; serving it all the same"},
		{"localhost", func(c *x509.Certificate) { c.ExtraExtensions = must }, "", 0, "certificate FILE makes clients insist on an OCSP response (must-staple), but names no responder, and no response is given; clients will refuse it"},
		{"localhost", func(c *x509.Certificate) { c.ExtraExtensions, c.OCSPServer = must, []string{"http://ocsp.example"} }, "", 0, ""},
		{"localhost", func(c *x509.Certificate) { c.ExtraExtensions = must }, "localhost.ocsp", 0, ""},
		{"localhost", nil, "", 0o044, "key file FILE is open to others than its owner (mode 0644); chmod 600 FILE"},
		{"localhost", nil, "no name.crt", 0, `/sni/no name.crt is not served: "no name" is no host name`},
	} {
		path := "/sni/" + test.name + ".crt"
		disk := &ram{mode: test.mode, files: map[string]string{path: certtest.PEM(root.Issue(t, "leaf", key, test.edit), root.Cert) + certtest.KeyPEM(t, key)}}
		if test.also != "" {
			disk.files["/sni/"+test.also] = "x"
		}
		st := disk.store()
		want := strings.ReplaceAll(test.want, "FILE", path)
		for _, when := range []string{"first", "again"} {
			if got := strings.Join(mustReload(t, st, Source{SNIPath: "/sni"}).Warnings, "\n"); got != want {
				t.Errorf("%s, %s: warnings\n %s, want\n %s", test.name, when, got, want)
			}
		}
	}
}

// TestSNIPathEmpty is a warning where there is another certificate to serve.
func TestSNIPathEmpty(t *testing.T) {
	disk := &ram{files: map[string]string{"/sni/README": "x"}}
	set := mustReload(t, disk.store(), Source{SNIPath: "/sni", SelfSigned: "localhost"})
	want := "certificate directory /sni holds no certificate; expected files such as www.example.com.crt"
	if got := set.Warnings; !slices.Equal(got, []string{want}) || len(set.Default) != 1 {
		t.Errorf("warnings %q", got)
	}
}
