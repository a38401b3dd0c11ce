package ech

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/cryptobyte"

	"edgepen/certs/certtest"
)

// example is the file of RFC 9934 section 3.
const example = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VuBCIEICjd4yGRdsoP9gU7YT7My8DHx1Tjme8GYDXrOMCi8v1V
-----END PRIVATE KEY-----
-----BEGIN ECHCONFIG-----
AD7+DQA65wAgACA8wVN2BtscOl3vQheUzHeIkVmKIiydUhDCliA4iyQRCwAEAAEA
AQALZXhhbXBsZS5jb20AAA==
-----END ECHCONFIG-----
`

// draft is an ECHConfig that is put together by hand.
type draft struct {
	version, kem uint16
	id           uint8
	public       []byte
	suites       [][2]uint16
	publicName   string
	extension    uint16 // 0: none
	more         string // behind all
}

func draftOf(k Key) draft {
	configs, err := parseList(marshalList([][]byte{k.Config}))
	if err != nil {
		panic(err)
	}
	c := configs[0]
	return draft{version: version, kem: c.kem, id: c.id, public: c.public, suites: c.suites, publicName: c.publicName}
}

func (d draft) marshal() []byte {
	var b cryptobyte.Builder
	b.AddUint16(d.version)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(d.id)
		b.AddUint16(d.kem)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(d.public) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, suite := range d.suites {
				b.AddUint16(suite[0])
				b.AddUint16(suite[1])
			}
		})
		b.AddUint8(0)
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(d.publicName)) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			if d.extension != 0 {
				b.AddUint16(d.extension)
				b.AddUint16(0)
			}
		})
		b.AddBytes([]byte(d.more))
	})
	return b.BytesOrPanic()
}

// other is k with the suites that edit makes of its own.
func other(k Key, edit func([][2]uint16) [][2]uint16) Key {
	d := draftOf(k)
	d.suites = edit(d.suites)
	k.Config = d.marshal()
	return k
}

// file is a key file of one pair.
func file(k Key, configs ...[]byte) string {
	return certtest.Block(keyBlock, marshalPrivate(k.Private)) + certtest.Block(configBlock, marshalList(configs))
}

func TestExample(t *testing.T) {
	keys, err := Parse("ech.pem", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if k := keys[0]; len(keys) != 1 || k.PublicName != "example.com" || k.ID != 0xe7 || !k.Retry {
		t.Errorf("%d keys, %v", len(keys), k)
	}
	if got := Format(keys); string(got) != example {
		t.Errorf("written back it is\n%s", got)
	}
	want := `example.org. IN HTTPS 1 . ech="AD7+DQA65wAgACA8wVN2BtscOl3vQheUzHeIkVmKIiydUhDCliA4iyQRCwAEAAEAAQALZXhhbXBsZS5jb20AAA=="`
	if got := Record(keys, "example.org", 443, nil); got != want {
		t.Errorf("record %s\nwant   %s", got, want)
	}
}

func TestRecord(t *testing.T) {
	keys := []Key{generate(t, "a.example", 1), generate(t, "b.example", 2)}
	keys[1].Retry = false
	list := base64.StdEncoding.EncodeToString(ConfigList(keys))
	for _, test := range []struct {
		keys []Key
		host string
		port uint16
		alpn []string
		want string
	}{
		{keys, "www.example.org.", 443, []string{"h2", "http/1.1"}, `www.example.org. IN HTTPS 1 . alpn="h2,http/1.1" ech="` + list + `"`},
		{keys, "www.example.org", 8443, []string{"h2"}, `_8443._https.www.example.org. IN HTTPS 1 www.example.org. alpn="h2" no-default-alpn port=8443 ech="` + list + `"`},
		{keys[1:], "x.example", 443, []string{"http/1.1"}, `x.example. IN HTTPS 1 . alpn="http/1.1"`},
		{nil, "x.example", 443, []string{`a,b\c"`, "\xffd"}, `x.example. IN HTTPS 1 . alpn="a\\,b\\\\c\",\255d" no-default-alpn`},
	} {
		if got := Record(test.keys, test.host, test.port, test.alpn); got != test.want {
			t.Errorf("record %s\nwant   %s", got, test.want)
		}
	}
}

func TestPublicNames(t *testing.T) {
	long := strings.Repeat("a.", 127)
	for name, ok := range map[string]bool{
		"cover.example.com": true, "xn--bcher-kva.example": true, "0x7g.0xg": true, "1.2.a3": true,
		long[:253]: true, strings.Repeat("x", 63) + ".example": true,
		"": false, "localhost": false, ".example": false, "example.": false, "a..b": false, "-a.example": false, "a-.example": false,
		"a_b.example": false, "a b.example": false, "bücher.example": false, "*.example": false, "192.0.2.1": false, "a.0x7F": false, "a.0x": false,
		long + "aa": false, strings.Repeat("x", 64) + ".example": false,
	} {
		if _, err := Generate(name, 0); (err == nil) != ok {
			t.Errorf("%.80q: %v", name, err)
		}
	}
}

func TestParseSeveral(t *testing.T) {
	a, b, c := generate(t, "a.example", 1), generate(t, "b.example", 1), generate(t, "c.example", 2)
	twin := draftOf(a)
	twin.id, twin.publicName = 9, "twin.example"
	foreign := draftOf(c)
	newer := draftOf(a)
	newer.version = 0xfe0e
	content := "the keys\n" + file(a, a.Config, foreign.marshal(), newer.marshal(), twin.marshal()) + "# former\r\n\r\n" + strings.ReplaceAll(file(b, b.Config), "\n", "\r\n")
	keys, err := Parse("f", []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	b.Retry = false
	second := Key{Config: twin.marshal(), Private: a.Private, PublicName: "twin.example", ID: 9, Retry: true}
	if want := []Key{a, second, b}; !reflect.DeepEqual(keys, want) {
		t.Errorf("keys %v, want %v", keys, want)
	}
	again, err := Parse("f", Format(keys))
	if err != nil || !reflect.DeepEqual(again, keys) {
		t.Errorf("written and read again: %v, %v", again, err)
	}
}

func TestErrors(t *testing.T) {
	a, b := generate(t, "a.example", 1), generate(t, "b.example", 2)
	good := file(a, a.Config)
	private := certtest.Block(keyBlock, marshalPrivate(a.Private))
	raw := func(list string) string { return private + certtest.Block(configBlock, []byte(list)) }
	edited := func(edit func(*draft)) string {
		d := draftOf(a)
		edit(&d)
		return file(a, d.marshal())
	}
	var many strings.Builder
	for id := range 17 {
		k := generate(t, "a.example", uint8(id))
		many.WriteString(file(k, k.Config))
	}
	for _, test := range []struct{ name, content, want string }{
		{"empty", "", " holds no key; expected -----BEGIN PRIVATE KEY----- and -----BEGIN ECHCONFIG-----"},
		{"text", "hello\n", " holds no key; expected -----BEGIN PRIVATE KEY----- and -----BEGIN ECHCONFIG-----"},
		{"a key alone", "\n" + private, ", line 2: a private key without its ECHCONFIG after it"},
		{"two keys", private + private, ", line 4: another private key; expected the ECHCONFIG of the one in line 1"},
		{"a config alone", good + certtest.Block(configBlock, marshalList([][]byte{a.Config})), ", line 8: an ECHCONFIG without its PRIVATE KEY before it"},
		{"a certificate", good + certtest.Block("CERTIFICATE", []byte("x")), `, line 8: a block of "CERTIFICATE"; expected PRIVATE KEY (X25519) and ECHCONFIG`},
		{"no end", good[:len(good)-20], ", line 4: a block that is no PEM, or has no end"},
		{"a broken one", strings.Replace(good, "-----END PRIVATE", "-----END PIRATE", 1), ", line 1: a block that is no PEM, or has no end"},
		{"no PKCS#8", certtest.Block(keyBlock, []byte("x")), ", line 1: a private key that is no PKCS#8; expected an X25519 key, as openssl genpkey -algorithm X25519 makes it"},
		{"P-256", certtest.KeyPEM(t, certtest.NewKey(t)), ", line 1: a private key of another kind; expected X25519, as openssl genpkey -algorithm X25519 makes it"},
		{"another's config", file(a, b.Config), ", line 4: none of the ECHCONFIG's configs (1 of a known version) belongs to the private key of line 1"},
		{"another version", edited(func(d *draft) { d.version = 0xfe0a }), ", line 4: none of the ECHCONFIG's configs (0 of a known version) belongs to the private key of line 1"},
		{"another KEM", edited(func(d *draft) { d.kem = 0x10 }), ", line 4: none of the ECHCONFIG's configs (1 of a known version) belongs to the private key of line 1"},
		{"no list", raw(""), ", line 4: an ECHConfigList cut short, or with bytes left over"},
		{"an empty list", raw("\x00\x00"), ", line 4: an ECHConfigList cut short, or with bytes left over"},
		{"a list too long", raw("\x00\x00\x00"), ", line 4: an ECHConfigList cut short, or with bytes left over"},
		{"a bare config", raw(string(a.Config)), ", line 4: an ECHConfigList cut short, or with bytes left over"},
		{"half a head", raw("\x00\x03\xfe\x0d\x00"), ", line 4: ECHConfig 1 cut short, or with bytes left over"},
		{"an empty config", raw("\x00\x04\xfe\x0d\x00\x00"), ", line 4: ECHConfig 1 cut short, or with bytes left over"},
		{"bytes left over", edited(func(d *draft) { d.more = "x" }), ", line 4: ECHConfig 1 cut short, or with bytes left over"},
		{"no suite", edited(func(d *draft) { d.suites = nil }), ", line 4: no cipher suite"},
		{"export-only AEAD", edited(func(d *draft) { d.suites = append(d.suites, [2]uint16{1, 0xffff}) }), ", line 4: cipher suite KDF 0x0001, AEAD 0xffff not known; expected HKDF (1 to 3) with AES-GCM (1, 2) or ChaCha20Poly1305 (3)"},
		{"a mandatory extension", edited(func(d *draft) { d.extension = 0x8001 }), ", line 4: mandatory extension 0x8001 not known; expected none"},
		{"an address", edited(func(d *draft) { d.publicName = "192.0.2.1" }), `, line 4: ECH public name "192.0.2.1" could be taken for an IP address; expected a host name such as cover.example.com`},
		{"no name", edited(func(d *draft) { d.publicName = "" }), `, line 4: ECH public name "" has a part that is empty or longer than 63 bytes; expected a host name such as cover.example.com`},
		{"twice", good + good, ", line 11: an ECHConfig (id 1) that the file has already"},
		{"17 keys", many.String(), fmt.Sprintf(", line %d: more than 16 keys; remove the oldest, at the end", 16*strings.Count(good, "\n")+4)},
	} {
		t.Run(test.name, func(t *testing.T) {
			keys, err := Parse("ech.pem", []byte(test.content))
			if want := "ECH key file ech.pem" + test.want; err == nil || err.Error() != want || keys != nil {
				t.Errorf("%d keys, error %v\nwant %s", len(keys), err, want)
			}
		})
	}
	if _, err := Parse("f", []byte(edited(func(d *draft) { d.extension = 0x0001 }))); err != nil {
		t.Errorf("an optional extension: %v", err)
	}
}

func TestStringTellsNoKey(t *testing.T) {
	k := generate(t, "a.example", 3)
	if got := fmt.Sprintf("%v %+v %s", k, k, []Key{k}); got != "ECH key 3 of a.example ECH key 3 of a.example [ECH key 3 of a.example]" {
		t.Errorf("printed as %q", got)
	}
}

func TestRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ech.pem")
	var all []Key // newest first
	for turn := range 20 {
		name := "cover.example.com"
		if turn == 1 {
			name = "" // goes on with the former
		}
		keys, err := Rotate(path, name, 3)
		if err != nil {
			t.Fatal(err)
		}
		all = append([]Key{keys[0]}, all...)
		for i := range all {
			all[i].Retry = i == 0
		}
		if want := all[:min(3, len(all))]; !reflect.DeepEqual(keys, want) {
			t.Fatalf("turn %d: %v, want %v", turn, keys, want)
		}
		ids := make(map[uint8]bool)
		for _, k := range keys {
			ids[k.ID] = true
		}
		if len(ids) != len(keys) {
			t.Errorf("turn %d: an ID twice in %v", turn, keys)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if read, err := Parse(path, content); err != nil || !reflect.DeepEqual(read, keys) {
			t.Errorf("turn %d: the file holds %v, %v", turn, read, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	alone(t, filepath.Dir(path), 1)
}

// alone checks that nothing temporary is left.
func alone(t *testing.T, dir string, want int) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != want {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

func TestRotateThroughLink(t *testing.T) {
	target := certtest.Write(t, "real.pem", example)
	link := filepath.Join(t.TempDir(), "ech.pem")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if keys, err := Rotate(link, "", 2); err != nil || len(keys) != 2 || keys[0].PublicName != "example.com" {
		t.Fatalf("%v, %v", keys, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is no link any more: %v", err)
	}
	if content, err := os.ReadFile(target); err != nil || string(content) == example {
		t.Errorf("the file that it leads to is as before: %v", err)
	}
}

// TestRotateKeepsOwner has root rotate the keys of a proxy that runs as another
// user.
func TestRotateKeepsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	present := certtest.Write(t, "ech.pem", example)
	made := filepath.Join(t.TempDir(), "ech.pem")
	for _, path := range []string{present, filepath.Dir(made)} {
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{present, made} {
		if _, err := Rotate(path, "cover.example", 2); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 65534 || owner.Gid != 65534 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s belongs to %d:%d, mode %v", path, owner.Uid, owner.Gid, info.Mode())
		}
	}
}

func TestRotateErrors(t *testing.T) {
	bad := certtest.Write(t, "bad.pem", "-----BEGIN PRIVATE KEY-----\n")
	good := certtest.Write(t, "good.pem", example)
	away := filepath.Join(t.TempDir(), "gone", "ech.pem")
	for _, test := range []struct {
		path, name string
		keep       int
		want       string
	}{
		{good, "a.example", 0, "ECH keys to keep: 0; expected 1 to 16"},
		{good, "a.example", 17, "ECH keys to keep: 17; expected 1 to 16"},
		{good, "nowhere", 3, `ECH public name "nowhere" has a single part; expected a host name such as cover.example.com`},
		{bad, "a.example", 3, "ECH key file " + bad + ", line 1: a block that is no PEM, or has no end"},
		{away, "a.example", 3, "writing ECH key file " + away + ": open "},
		{filepath.Dir(good), "a.example", 3, "ECH key file " + filepath.Dir(good) + " is not a regular file"},
	} {
		if keys, err := Rotate(test.path, test.name, test.keep); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%v, error %v\nwant %s", keys, err, test.want)
		}
	}
	if content, err := os.ReadFile(good); err != nil || string(content) != example {
		t.Errorf("the file was changed, %v", err)
	}
	alone(t, filepath.Dir(good), 1)
	alone(t, filepath.Dir(bad), 1)
}

// FuzzParse holds Parse and Format to be inverses, and what Parse accepts to be
// what crypto/tls and clients can use.
func FuzzParse(f *testing.F) {
	a, err := Generate("a.example", 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(example))
	f.Add([]byte(file(a, a.Config) + example))
	f.Add([]byte("-----BEGIN ECHCONFIG-----\n-----END ECHCONFIG-----\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		keys, err := Parse("f", content)
		if err != nil {
			return
		}
		again, err := Parse("f", Format(keys))
		if err != nil || !reflect.DeepEqual(again, keys) {
			t.Errorf("%v became %v, %v", keys, again, err)
		}
		for _, k := range keys {
			if checkPublicName(k.PublicName) != nil {
				t.Errorf("public name %q", k.PublicName)
			}
		}
		if ConfigList(keys) == nil || !strings.Contains(Record(keys, "h.example", 443, nil), "ech=") {
			t.Error("nothing to publish")
		}
	})
}

// FuzzParseList feeds the part that is no PEM: what is read is a part of the
// input, to the byte.
func FuzzParseList(f *testing.F) {
	a, err := Generate("a.example", 1)
	if err != nil {
		f.Fatal(err)
	}
	d := draftOf(a)
	d.version, d.extension = 0xfe0e, 5
	f.Add(marshalList([][]byte{a.Config, d.marshal(), a.Config}))
	f.Fuzz(func(t *testing.T, list []byte) {
		configs, err := parseList(list)
		if err != nil {
			return
		}
		for _, c := range configs {
			if !bytes.Contains(list, c.raw) {
				t.Errorf("%x is not in %x", c.raw, list)
			}
			if again, err := parseList(marshalList([][]byte{c.raw})); err != nil || !reflect.DeepEqual(again, []config{c}) {
				t.Errorf("%+v became %+v, %v", c, again, err)
			}
		}
	})
}
