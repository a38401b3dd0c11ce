package main

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// supported says whether this system can measure.
func supported() error { return nil }

// childAttributes puts a child in a process group of its own and ends it with the thread that started it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// bindLate leaves the choice of a bound socket's port to connect.
func bindLate(fd uintptr) {
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
}

// processClock reads the CPU-time clock of all threads of a process, past ones too. Its number is made from the process id
// as clock_getcpuclockid(3) does: the complement shifted by three, and 2 for the scheduler's own clock.
func processClock(pid int) (time.Duration, error) {
	const schedulerClock = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &t); err != nil {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}

// kernel is the system's name and release.
func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "Linux, " + err.Error()
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}
