package accesslog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Stdout is the name of the log that goes to standard output.
const Stdout = "-"

// open opens a log to append to. Whoever can write into its directory must not choose another file for us, and a pipe's reader is not waited for:
// whoever opens the log holds what everybody needs.
func open(name string) (*os.File, error) {
	if name == Stdout {
		return os.Stdout, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK|syscall.O_NOFOLLOW|syscall.O_NOCTTY, 0o640)
	if err != nil {
		return nil, cannotOpen(name, err)
	}
	info, err := f.Stat()
	if err == nil {
		err = usable(name, info.Mode())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// cannotOpen names the file once.
func cannotOpen(name string, err error) error {
	var pe *fs.PathError
	switch {
	case errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("access log: %s is a pipe that nobody reads, or a socket", name)
	case errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.EMLINK): // the latter on FreeBSD
		return isLink(name)
	case errors.As(err, &pe):
		err = pe.Err
	}
	return fmt.Errorf("access log: %s cannot be opened: %v", name, err)
}

func isLink(name string) error {
	return fmt.Errorf("access log: %s is a symbolic link; name the file that it leads to (standard output is -)", name)
}

// usable refuses what no line can be appended to.
func usable(name string, mode fs.FileMode) error {
	switch {
	case mode.IsRegular(), mode.Type() == fs.ModeNamedPipe, mode.Type() == fs.ModeDevice|fs.ModeCharDevice:
		return nil
	}
	return fmt.Errorf("access log: %s is neither a file nor a pipe", name)
}

// What access(2) is asked for.
const (
	mayWrite  = 2
	maySearch = 1
)

// Check says whether Open could open a log, without opening or making anything: a pipe's reader would see that.
func Check(name string) error {
	if name == Stdout {
		return nil
	}
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := syscall.Access(filepath.Dir(name), mayWrite|maySearch); err != nil {
			return cannotOpen(name, err)
		}
		return nil
	case err != nil:
		return cannotOpen(name, err)
	case info.Mode().Type() == fs.ModeSymlink:
		return isLink(name)
	}
	if err := usable(name, info.Mode()); err != nil {
		return err
	}
	if err := syscall.Access(name, mayWrite); err != nil {
		return cannotOpen(name, err)
	}
	return nil
}
