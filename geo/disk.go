package geo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSize is more than any database has, in bytes; what is larger is something
// else. Offsets within a database fit 32 bits.
const maxSize = 1 << 30

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

// read returns the content of a database file. Pipes and devices are refused:
// opening one can block for ever.
func read(path string) ([]byte, error) {
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
		return nil, fmt.Errorf("geoip database %s is not a regular file; %s", path, expected)
	}
	if info.Size() > maxSize {
		return nil, fmt.Errorf("geoip database %s has %d bytes; expected at most %d", path, info.Size(), maxSize)
	}
	// One byte more than there is tells ReadFull that this is the end.
	content := make([]byte, info.Size()+1)
	n, err := io.ReadFull(f, content)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return content[:n], nil
	case err != nil:
		return nil, cannotRead(path, err)
	}
	return nil, fmt.Errorf("geoip database %s grew while it was read; expected a file that is complete", path)
}

// cannotRead drops the name of the system call and the second copy of the path.
func cannotRead(path string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fmt.Errorf("cannot read geoip database %s: %v", path, err)
}
