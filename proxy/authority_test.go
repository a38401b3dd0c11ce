package proxy

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// TestFailedUpdateKeepsSecrets: files that are out of reach by now are still known after an update that named others failed.
func TestFailedUpdateKeepsSecrets(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	for path, content := range map[string]string{good: "c2VjcmV0\n", bad: "no base64!"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, c := newAuthority(slog.New(slog.DiscardHandler)), DefaultConfig()
	c.ACME.Names, c.ACME.Storage = []string{"a.example"}, filepath.Join(dir, "storage")
	c.ACME.EABKey, c.ACMESecretFile = "id", good
	if err := a.use(&c); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(good); err != nil {
		t.Fatal(err)
	}
	wrong := c.clone()
	wrong.ACMESecretFile = bad
	if err := a.use(&wrong); err == nil {
		t.Error("a key that is no base64 is taken")
	}
	if err := a.use(&c); err != nil {
		t.Errorf("the former configuration is not good any more: %v", err)
	}
}
