package ech

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Rotate puts a new key before those of the key file path, makes the file if it
// is not there, and returns what it holds then, at most keep keys (1 to 16).
// Clients are told of the new key only; the former ones go on accepting clients
// that have not heard of it, so keep should cover the time that the DNS record
// is cached for. publicName may be "" if the file has keys already: theirs goes
// on. The new key's ID is none of the former ones'.
//
// The file is replaced at once and as a whole (rename), and is on the disk when
// Rotate returns; where path is a symbolic link, the file that it leads to. Its
// mode is 0600, and its owner remains; root gives a new one to the owner of the
// directory. On error it stays as it is, unless the error is that the disk could
// not be waited for.
func Rotate(path, publicName string, keep int) ([]Key, error) {
	if keep < 1 || keep > maxKeys {
		return nil, fmt.Errorf("ECH keys to keep: %d; expected 1 to %d", keep, maxKeys)
	}
	former, err := load(path)
	if err != nil {
		return nil, err
	}
	if publicName == "" && len(former) > 0 {
		publicName = former[0].PublicName
	}
	key, err := Generate(publicName, freshID(former))
	if err != nil {
		return nil, err
	}
	keys := []Key{key}
	for _, k := range former[:min(len(former), keep-1)] {
		k.Retry = false
		keys = append(keys, k)
	}
	if err := replace(path, Format(keys)); err != nil {
		return nil, fmt.Errorf("writing ECH key file %s: %v", path, err)
	}
	return keys, nil
}

// maxFile is more than a file of keys needs.
const maxFile = 1 << 20

// load reads the keys of a file that need not be there.
func load(path string) ([]Key, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would block for ever
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading ECH key file: %v", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("ECH key file %s is not a regular file", path)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading ECH key file: %v", err)
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("ECH key file %s has more than %d bytes", path, maxFile)
	}
	return Parse(path, content)
}

// freshID draws an ID that none of keys has. There are fewer keys than IDs.
func freshID(keys []Key) uint8 {
	var id [1]byte
	for {
		rand.Read(id[:]) //nolint:errcheck // crypto/rand.Read never fails
		if !slices.ContainsFunc(keys, func(k Key) bool { return k.ID == id[0] }) {
			return id[0]
		}
	}
}

// replace puts content in the place of the file path.
func replace(path string, content []byte) (err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".ech-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := keepOwner(f, path); err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// keepOwner gives f to the owner of the file that it is to replace, or, as root,
// of the directory where there is none: a proxy that runs as another user than
// who makes or rotates keys must be able to read them still.
func keepOwner(f *os.File, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if os.Geteuid() != 0 {
			return nil
		}
		info, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() {
		return nil
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}

// syncDir brings a rename to the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
