//go:build !linux

package daemon

import (
	"os"

	"golang.org/x/sys/unix"
)

func replaceStderr(f *os.File) error { return unix.Dup2(int(f.Fd()), 2) }
