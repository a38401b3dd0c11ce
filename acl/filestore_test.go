package acl

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// put replaces a file as careful programs do: by another of the same name.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestFileStore(t *testing.T) {
	var s FileStore
	path := filepath.Join(t.TempDir(), "list")
	load := func(want string) *FileSet {
		t.Helper()
		set, err := s.Load(path)
		got := ""
		if err == nil {
			got = strings.Join(set.prefixes(), " ")
		} else {
			got = strings.ReplaceAll(err.Error(), path, "PATH")
		}
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if s.Changed() {
			t.Error("changed right after Load")
		}
		return set
	}
	changed := func() {
		t.Helper()
		if !s.Changed() {
			t.Error("not changed")
		}
	}
	if s.Changed() {
		t.Error("changed, but nothing has been loaded")
	}
	load("cannot read PATH: no such file or directory")
	put(t, path, "192.0.2.1\n")
	changed()
	first := load("192.0.2.1/32:1")
	if load("192.0.2.1/32:1") != first {
		t.Error("read again, although nothing has changed")
	}
	put(t, path, "garbage\n")
	changed()
	load(`PATH:1: "garbage" is not an address or a prefix: expected one a line, as 192.0.2.0/24 or 2001:db8::/32`)
	if _, _, ok := first.find(must("192.0.2.1")); !ok {
		t.Error("the old set has changed")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	changed()
	load("cannot read PATH: no such file or directory")
	put(t, path, "192.0.2.2\n")
	changed()
	if load("192.0.2.2/32:1") == first {
		t.Error("not read again")
	}
}

func TestFileStoreRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	var s FileStore
	for _, path := range []string{dir, pipe, "/dev/null"} {
		if _, err := s.Load(path); err == nil || err.Error() != path+" is not a regular file; expected one with addresses, one a line" {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestFileStoreForgets(t *testing.T) {
	dir := t.TempDir()
	used, gone := filepath.Join(dir, "used"), filepath.Join(dir, "gone")
	var s FileStore
	for _, path := range []string{used, gone} {
		put(t, path, "192.0.2.1\n")
		if _, err := s.Load(path); err != nil {
			t.Fatal(err)
		}
	}
	set, _ := s.Load(used)
	s.Keep(List{{All: true}}, List{{File: used}})
	put(t, gone, "192.0.2.2\n")
	if s.Changed() {
		t.Error("a file that is no longer used is watched")
	}
	if again, _ := s.Load(used); again != set {
		t.Error("a file that is used was forgotten")
	}
}

func TestFilesOfACompiledList(t *testing.T) {
	var reads []string
	o := Options{Files: func(path string) (*FileSet, error) { reads = append(reads, path); return setOf(path) }}
	compiled, err := CompileWith(list(t, "deny file 1;deny file 2;permit file 1"), o)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for path, set := range compiled.Files() {
		got[path] = set.Name()
	}
	if len(got) != 2 || got["1"] != "1" || got["2"] != "2" || len(reads) != 2 {
		t.Errorf("files %v, read %v", got, reads)
	}
	for range (*Compiled)(nil).Files() {
		t.Error("a nil list has a file")
	}
}
