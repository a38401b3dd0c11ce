//go:build !linux

package main

import (
	"errors"
	"runtime"
	"syscall"
	"time"
)

var errLinuxOnly = errors.New("measuring needs Linux: CPU times are read from /proc, and all of 127.0.0.0/8 is used")

func supported() error                            { return errLinuxOnly }
func childAttributes() *syscall.SysProcAttr       { return &syscall.SysProcAttr{Setpgid: true} }
func bindLate(uintptr)                            {}
func processClock(pid int) (time.Duration, error) { return 0, errLinuxOnly }
func kernel() string                              { return runtime.GOOS }
