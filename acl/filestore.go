package acl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// FileStore reads files of addresses and remembers what came of which, so that
// what has not changed is not read again. The zero FileStore has read nothing;
// keep one for as long as there may be reloads. Any goroutine may use it.
type FileStore struct {
	mu    sync.Mutex
	files map[string]stored
}

// stored is what came of a file.
type stored struct {
	set *FileSet // by the last Load that succeeded; nil: none has
	was stamp    // when that was read
	saw stamp    // at the last Load, successful or not
}

// Load reads a file as [ParseFile] does, under its path as the name. If stat(2)
// says the same of it as when it was read last, it is the same *FileSet. Errors
// name the file and what was expected of it; after one, the sets of former Loads
// are as good as they were.
func (s *FileStore) Load(path string) (*FileSet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[path]
	f.saw = look(path) // before it is read: what is written meanwhile is a change
	var err error
	if f.set == nil || f.was != f.saw {
		var set *FileSet
		if set, err = readFile(path); err == nil {
			f.set, f.was = set, f.saw
		}
	}
	if s.files == nil {
		s.files = map[string]stored{}
	}
	s.files[path] = f
	if err != nil {
		return nil, err
	}
	return f.set, nil
}

// Changed reports whether any file that has been loaded, successfully or not, is
// different since, is gone, or is there and was not. It costs a stat(2) for each
// and reads nothing.
func (s *FileStore) Changed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, f := range s.files {
		if look(path) != f.saw {
			return true
		}
	}
	return false
}

// Keep forgets all files but those that lists ask for: call it when new lists are
// in force, so that nothing is watched and held in memory in vain.
func (s *FileStore) Keep(lists ...List) {
	used := map[string]bool{}
	for _, l := range lists {
		for i := range l {
			used[l[i].File] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for path := range s.files {
		if !used[path] {
			delete(s.files, path)
		}
	}
}

// readFile refuses pipes and devices: to open one can block for ever.
func readFile(path string) (*FileSet, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, cannotRead(path, err)
	}
	defer f.Close()
	info, err := f.Stat() // of what was opened: the path may be another file's by now
	if err != nil {
		return nil, cannotRead(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file; expected one with addresses, one a line", path)
	}
	return ParseFile(path, f)
}

// cannotRead drops the name of the system call and the second copy of the path.
func cannotRead(path string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fmt.Errorf("cannot read %s: %v", path, err)
}

// stamp is what stat(2) says of a path, symbolic links followed. Two that are
// equal mean that nothing has been written: a file that is replaced by another
// has a new inode, one that is changed has a new ctime.
type stamp struct {
	missing      unix.Errno // why there is nothing
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // ns since 1970
}

func look(path string) stamp {
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
