package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// CheckWritable says whether a file could be written, or made, by who we are now. It opens and changes nothing.
func CheckWritable(name string) error {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir := filepath.Dir(name)
		if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
			return fmt.Errorf("%s cannot be made in %s: %v", name, dir, err)
		}
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory; expected a file", name)
	}
	if err := unix.Access(name, unix.W_OK); err != nil {
		return fmt.Errorf("%s cannot be written: %v", name, err)
	}
	return nil
}
