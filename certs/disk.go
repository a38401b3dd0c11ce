package certs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// maxFile bounds what is read of one file, in bytes. The bundle of all
	// public CAs is about 220 KiB.
	maxFile = 4 << 20
	// maxCRL is the same for revocation lists: one of a million entries has
	// about 50 MB in PEM.
	maxCRL = 128 << 20
)

// disk is the part of the file system that certificates come from.
type disk struct {
	stat func(path string) stamp
	read func(role, path string, limit int64) (file, error)
	list func(role, path string) ([]string, error)
}

// realDisk is the machine's own.
var realDisk = disk{stat: statFile, read: readFile, list: listDir}

// stamp is what stat(2) says of a path, symbolic links followed. Two that are
// equal mean that nothing has been written: a file that is replaced by
// another has a new inode, one that is changed has a new ctime, which no
// program can set. For a directory they mean that its names are the same.
type stamp struct {
	missing      unix.Errno // why there is nothing
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // ns since 1970
}

// statFile is the stat of realDisk. What cannot be looked at has a stamp too,
// so that its appearing is a change.
func statFile(path string) stamp {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	for err == unix.EINTR {
		err = unix.Stat(path, &st)
	}
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return stamp{missing: errno}
	}
	return stamp{
		dev: uint64(st.Dev), ino: st.Ino, size: st.Size,
		mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
	}
}

// file is what was read from one path.
type file struct {
	data []byte
	mode fs.FileMode
}

// readFile reads a regular file, at most limit bytes and one more. Pipes and
// devices are refused: opening one can block for ever, and a reload would find
// it empty.
func readFile(role, path string, limit int64) (file, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return file{}, readError(role, path, err)
	}
	defer f.Close()
	info, err := f.Stat() // of what was opened: the path may be another file's by now
	if err != nil {
		return file{}, readError(role, path, err)
	}
	switch {
	case info.IsDir():
		return file{}, fmt.Errorf("%s %s is a directory; expected %s", role, path, kindOf(role))
	case !info.Mode().IsRegular():
		return file{}, fmt.Errorf("%s %s is not a regular file; expected %s", role, path, kindOf(role))
	}
	// One byte more than there is tells ReadFull that this is the end.
	data := make([]byte, min(info.Size(), limit)+1)
	n, err := io.ReadFull(f, data)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return file{data[:n], info.Mode()}, nil
	case err != nil:
		return file{}, readError(role, path, err)
	case info.Size() < limit:
		return file{}, fmt.Errorf("%s %s grew while it was read; expected a file that is complete", role, path)
	}
	return file{data, info.Mode()}, nil
}

// kindOf says what a file of a role is to be.
func kindOf(role string) string {
	switch role {
	case roleCert, roleKey, roleCA:
		return "a PEM file"
	}
	return "a file"
}

// listDir returns the names in a directory, sorted.
func listDir(role, path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, readError(role, path, err)
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, nil
}

// readError drops the name of the system call and the second copy of the path.
func readError(role, path string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fmt.Errorf("cannot read %s %s: %v", role, path, err)
}

// openToOthers is the warning about a file with a secret that others than its
// owner may read or write, "" if they may not.
func openToOthers(path string, mode fs.FileMode) string {
	if mode.Perm()&0o077 == 0 {
		return ""
	}
	return fmt.Sprintf("key file %s is open to others than its owner (mode %04o); chmod 600 %s", path, mode.Perm(), path)
}
