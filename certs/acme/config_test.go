package acme

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigErrors(t *testing.T) {
	dir := t.TempDir()
	notPEM := filepath.Join(dir, "roots")
	if err := os.WriteFile(notPEM, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		edit func(*Config)
		want string
	}{
		{func(c *Config) { c.Names = []string{"192.0.2.1"} }, "192.0.2.1 is an address"},
		{func(c *Config) { c.Names = []string{"[::1]"} }, "[::1] is an address"},
		{func(c *Config) { c.Names = []string{"*.a.example"} }, "dns-01"},
		{func(c *Config) { c.Names = []string{"a..example"} }, "not a host name"},
		{func(c *Config) { c.Names = []string{"bücher.example"} }, "xn--"},
		{func(c *Config) { c.Names = []string{"a.example:443"} }, "not a host name"},
		{func(c *Config) { c.Names = []string{"1.2.3.4.5"} }, "not a host name"},
		{func(c *Config) { c.OnDemand = []string{"*"} }, "on demand: "},
		{func(c *Config) { c.OnDemand = []string{"*.192.0.2.1"} }, "on demand: "},
		{func(c *Config) { c.OnDemand = []string{"a.*.example"} }, "on demand: "},
		{func(c *Config) { c.Storage = "" }, "no storage directory"},
		{func(c *Config) { c.Storage = filepath.Join(notPEM, "below") }, "storage"},
		{func(c *Config) { c.CA = "production" }, "expected the https URL"},
		{func(c *Config) { c.CA = "http://ca.example/dir" }, "expected the https URL"},
		{func(c *Config) { c.CA = "https://user:hunter2@ca.example/dir" }, "user name"},
		{func(c *Config) { c.CARoots = filepath.Join(dir, "none") }, "no such file"},
		{func(c *Config) { c.CARoots = notPEM }, "no certificates in PEM"},
		{func(c *Config) { c.CARoots, c.CARootsPEM = "out of reach", "hello" }, "out of reach has no certificates in PEM"},
		{func(c *Config) { c.Email = "nobody" }, "expected name@host"},
		{func(c *Config) { c.Email = "Some Body <nobody@a.example>" }, "expected name@host"},
		{func(c *Config) { c.EABKey = "kid" }, "come together"},
		{func(c *Config) { c.EABSecret = "hunter2" }, "come together"},
		{func(c *Config) { c.EABKey, c.EABSecret = "kid", "hunter2!" }, "not base64url"},
		{func(c *Config) { c.Challenges = []string{"dns-01"} }, `"dns-01": expected tls-alpn-01 or http-01`},
		{func(c *Config) { c.Challenges = []string{HTTP01} }, "port 80"},
		{func(c *Config) { c.Challenges = []string{TLSALPN01, TLSALPN01} }, "twice"},
	} {
		c := Config{Names: []string{"a.example"}, Storage: filepath.Join(dir, "storage")}
		test.edit(&c)
		m, err := New(c, discard())
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %v, want one with %q", c, err, test.want)
		}
		if m != nil {
			t.Errorf("%+v: a Manager with an error", c)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

func TestConfigMeaning(t *testing.T) {
	for _, test := range []struct {
		c                          Config
		directory, key, challenges string
	}{
		{Config{}, "https://acme-v02.api.letsencrypt.org/directory", "acme-v02.api.letsencrypt.org-directory", "tls-alpn-01"},
		{Config{CA: LetsEncrypt, HTTPAvailable: true}, "https://acme-v02.api.letsencrypt.org/directory", "acme-v02.api.letsencrypt.org-directory", "tls-alpn-01 http-01"},
		{Config{CA: Staging}, "https://acme-staging-v02.api.letsencrypt.org/directory", "acme-staging-v02.api.letsencrypt.org-directory", "tls-alpn-01"},
		{Config{CA: "https://ca.example:14000/acme/dir/", Challenges: []string{HTTP01, TLSALPN01}, HTTPAvailable: true},
			"https://ca.example:14000/acme/dir/", "ca.example:14000-acme-dir", "http-01 tls-alpn-01"},
		{Config{CA: "https://ca.example"}, "https://ca.example", "ca.example", "tls-alpn-01"},
	} {
		test.c.Names, test.c.Storage = []string{"A.example", "a.EXAMPLE"}, "unused"
		s, err := test.c.check()
		if err != nil {
			t.Errorf("%+v: %v", test.c, err)
			continue
		}
		if s.directory != test.directory || s.key() != test.key || s.challenges != test.challenges || len(s.names) != 1 || !s.names["a.example"] {
			t.Errorf("%+v is %+v with key %s", test.c, s, s.key())
		}
	}
}

func TestSecretForms(t *testing.T) {
	for _, secret := range []string{"-_-_AA", "+/+/AA", "-_-_AA==", "+/+/AA=="} {
		s, err := Config{Names: []string{"a.example"}, Storage: "unused", EABKey: "kid", EABSecret: secret}.check()
		if err != nil || s.eabSecret != "-_-_AA" {
			t.Errorf("%s: %q, %v", secret, s.eabSecret, err)
		}
	}
}

func TestEqualClone(t *testing.T) {
	c := Config{Names: []string{"a"}, OnDemand: []string{"b"}, Challenges: []string{HTTP01}, Email: "e", CA: "c", CARoots: "r",
		Profile: "p", EABKey: "k", EABSecret: "s", Storage: "d", HTTPAvailable: true}
	if !c.Equal(c.Clone()) || c.Empty() || !(Config{CA: "c"}).Empty() {
		t.Error("a Config is not its clone, or is taken to be empty, or is not")
	}
	d := c.Clone()
	d.Names[0] = "x"
	if c.Names[0] != "a" || c.Equal(d) {
		t.Error("a clone shares its names")
	}
	for i, edit := range []func(*Config){
		func(c *Config) { c.OnDemand = nil }, func(c *Config) { c.Challenges = nil }, func(c *Config) { c.Email = "" },
		func(c *Config) { c.CA = "" }, func(c *Config) { c.CARoots = "" }, func(c *Config) { c.CARootsPEM = "x" }, func(c *Config) { c.Profile = "" },
		func(c *Config) { c.EABKey = "" }, func(c *Config) { c.EABSecret = "" }, func(c *Config) { c.Storage = "" },
		func(c *Config) { c.HTTPAvailable = false },
	} {
		d := c.Clone()
		edit(&d)
		if c.Equal(d) {
			t.Errorf("edit %d makes no difference", i)
		}
	}
}

// Other e-mail addresses and external accounts are other accounts.
func TestAccountPath(t *testing.T) {
	seen := map[string]identity{}
	for _, id := range []identity{
		{directory: "https://a.example/dir"}, {directory: "https://b.example/dir"},
		{directory: "https://a.example/dir", email: "x@y.example"},
		{directory: "https://a.example/dir", email: "../../z@y.example"},
		{directory: "https://a.example/dir", email: "x@y.example", eabKey: "1"},
		{directory: "https://a.example/dir", eabKey: "../1"},
	} {
		path := id.accountPath()
		if former, twice := seen[path]; twice {
			t.Errorf("%+v and %+v share %s", id, former, path)
		}
		seen[path] = id
		if !filepath.IsLocal(path) || strings.Contains(path, "..") || !strings.HasPrefix(path, "acme/") {
			t.Errorf("%+v is at %s", id, path)
		}
	}
}

func TestAllowed(t *testing.T) {
	a, err := newAllowed([]string{"One.example", "*.Many.example"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"one.example": true, "a.many.example": true, "xn--bcher-kva.many.example": true,
		"": false, "One.example": false, "many.example": false, ".many.example": false, "a.b.many.example": false,
		"a/b.many.example": false, "..many.example": false, "*.many.example": false, "a.many.example.": false,
		strings.Repeat("a", 63) + ".many.example": true, strings.Repeat("a", 64) + ".many.example": false,
	} {
		if got := a.match(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
	if (allowed{}).match("one.example") {
		t.Error("no rule allows a name")
	}
}

func FuzzHostName(f *testing.F) {
	for _, name := range []string{"a.example", "A-1.b", "1.2.3.4", "*.x", "", "a..b", "xn--a", "[::1]"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		lower, err := hostName(name)
		if err != nil {
			return
		}
		if !filepath.IsLocal(lower) || strings.ContainsAny(lower, "/\\ *_:") || lower != strings.ToLower(name) || !plain(lower) {
			t.Errorf("%q became %q", name, lower)
		}
	})
}
