package ticket

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	stdtls "crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"edgepen/certs/certtest"
)

// random is a key as somebody's random generator makes it.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) //nolint:errcheck // it never fails
	return b
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func TestParse(t *testing.T) {
	k32, k48, k80 := random(32), random(48), random(80)
	wrapped := encode(k80)[:64] + "\n" + encode(k80)[64:] + "\n" // as openssl rand -base64 80 breaks it
	comment := "#" + strings.Repeat("x", 80-2-45) + "\n"         // makes 80 bytes of text
	for _, test := range []struct {
		name    string
		content string
		want    [][]byte
	}{
		{"nginx, AES-128", string(k48), [][]byte{k48}},
		{"nginx, AES-256", string(k80), [][]byte{k80}},
		{"one line", encode(k48), [][]byte{k48}},
		{"HAProxy", encode(k80) + "\n" + encode(k48) + "\n", [][]byte{k80, k48}},
		{"comments, blanks and CRLF", "# ours\r\n\r\n  " + encode(k32) + "\t\r\n#\r\n" + encode(k48) + "\r\n", [][]byte{k32, k48}},
		{"text of 80 bytes", comment + encode(k32) + "\n\n", [][]byte{k32}},
		{"one key on two lines", wrapped, [][]byte{k80[:48], k80[48:]}},
	} {
		t.Run(test.name, func(t *testing.T) {
			keys, err := Parse("t.key", []byte(test.content))
			if err != nil {
				t.Fatal(err)
			}
			var want []Key
			for _, raw := range test.want {
				want = append(want, sha256.Sum256(raw))
			}
			if !slices.Equal(keys, want) {
				t.Errorf("%d keys, or others than the %d expected", len(keys), len(want))
			}
		})
	}
}

func TestErrors(t *testing.T) {
	key := encode(random(48))
	var many, most strings.Builder
	for n := range 17 {
		line := encode(random(32)) + "\n"
		many.WriteString(line)
		if n < 16 {
			most.WriteString(line)
		}
	}
	if keys, err := Parse("t.key", []byte(most.String())); err != nil || len(keys) != 16 {
		t.Errorf("16 keys: %d, %v", len(keys), err)
	}
	for _, test := range []struct{ content, want string }{
		{"", "ticket key file t.key holds no key; expected 48 or 80 random bytes, or lines of base64"},
		{"# nothing\n\n", "ticket key file t.key holds no key; expected 48 or 80 random bytes, or lines of base64"},
		{string(bytes.Repeat([]byte{0}, 80)), "ticket key file t.key: all bytes of the key are the same; expected random ones, as openssl rand -out t.key 80 makes them"},
		{string(bytes.Repeat([]byte{200}, 81)), "ticket key file t.key holds 81 bytes that are no text; expected 48 or 80 random bytes, or lines of base64"},
		{"# ours\nsecret!", "ticket key file t.key, line 2: not base64; expected a key of 32, 48 or 80 bytes, as openssl rand -base64 48 makes it"},
		{key[:60] + "\n", "ticket key file t.key, line 1: a key of 45 bytes; expected 32, 48 or 80"},
		{key + "\n" + encode(make([]byte, 32)), "ticket key file t.key, line 2: all bytes of the key are the same; expected random ones, as openssl rand -base64 48 makes them"},
		{"\n" + key + "\n#\n" + key + "\n", "ticket key file t.key, line 4: the same key as in line 2"},
		{many.String(), "ticket key file t.key, line 17: more than 16 keys; remove the oldest, at the end"},
	} {
		if keys, err := Parse("t.key", []byte(test.content)); err == nil || err.Error() != test.want || keys != nil {
			t.Errorf("%d bytes: %d keys, error %v\nwant %s", len(test.content), len(keys), err, test.want)
		}
	}
}

// TestOrder holds crypto/tls, which takes the keys as they are, to what the
// documentation says of the first one.
func TestOrder(t *testing.T) {
	keys, err := Parse("t.key", fmt.Appendf(nil, "%s\n%s\n", encode(random(80)), encode(random(80))))
	if err != nil {
		t.Fatal(err)
	}
	first, second := keys[:1], keys[1:]
	for _, test := range []struct {
		name          string
		sealing, open []Key
		resumed       bool
	}{
		{"the first seals", keys, first, true},
		{"the second does not", keys, second, false},
		{"the second opens", second, keys, true},
	} {
		cache := stdtls.NewLRUClientSessionCache(1)
		visit(t, test.sealing, cache)
		if got := visit(t, test.open, cache); got != test.resumed {
			t.Errorf("%s: resumed %v", test.name, got)
		}
	}
}

// visit connects to a server that has keys, and reports whether the session in
// cache was resumed.
func visit(t *testing.T, keys []Key, cache stdtls.ClientSessionCache) bool {
	t.Helper()
	private := certtest.NewKey(t)
	leaf := certtest.NewRoot(t, "Root").Issue(t, "server", private, nil)
	config := &stdtls.Config{Certificates: []stdtls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: private}}}
	config.SetSessionTicketKeys(keys)
	near, far := net.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- stdtls.Server(near, config).Handshake()
		near.Close()
	}()
	client := stdtls.Client(far, &stdtls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: cache})
	if err := client.Handshake(); err != nil {
		t.Error(err)
	}
	client.Read(make([]byte, 1)) // the ticket
	far.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	return client.ConnectionState().DidResume
}

func FuzzParse(f *testing.F) {
	f.Add(random(48))
	f.Add(random(80))
	f.Add([]byte("# comment\r\n" + encode(random(80)) + "\n" + encode(random(32))))
	f.Add([]byte("AAAA\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		keys, err := Parse("t.key", content)
		if err != nil {
			for line := range bytes.Lines(content) {
				if line = bytes.TrimSpace(line); len(line) > 40 && line[0] != '#' && strings.Contains(err.Error(), string(line)) {
					t.Errorf("the error quotes what may be a key: %v", err)
				}
			}
			return
		}
		if len(keys) == 0 || len(keys) > 16 {
			t.Errorf("%d keys", len(keys))
		}
		seen := make(map[Key]bool)
		for _, k := range keys {
			if seen[k] {
				t.Error("a key twice")
			}
			seen[k] = true
		}
	})
}
