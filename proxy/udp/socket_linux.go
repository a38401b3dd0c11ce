package udp

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// connectDatagram makes a socket that is connected to a server. The errors are those of connect(2).
func connectDatagram(to endpoint, prepare func(fd uintptr) error) (fd int, err error) {
	family, address := sockaddr(to)
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket for a flow: %w", err)
	}
	if err = prepare(uintptr(fd)); err != nil {
		err = preparation{err}
	}
	if err == nil && family == unix.AF_UNIX {
		// A server can only answer to a name. Linux finds one for whoever binds the empty one (unix(7)).
		err = unix.Bind(fd, &unix.SockaddrUnix{})
	}
	if err == nil {
		err = unix.Connect(fd, address)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func sockaddr(to endpoint) (family int, address unix.Sockaddr) {
	if to.path != "" {
		return unix.AF_UNIX, &unix.SockaddrUnix{Name: to.path}
	}
	ip := to.addr.Addr().Unmap()
	if ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(to.addr.Port()), Addr: ip.As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.addr.Port()), Addr: ip.As16(), ZoneId: zone(ip)}
}

// zone is the number of the interface that an IPv6 address belongs to, 0 for none.
func zone(ip netip.Addr) uint32 {
	name := ip.Zone()
	if name == "" {
		return 0
	}
	if i, err := net.InterfaceByName(name); err == nil {
		return uint32(i.Index)
	}
	n, _ := strconv.ParseUint(name, 10, 32)
	return uint32(n)
}

// sendOne sends a datagram on a connected socket.
func sendOne(fd int, datagram []byte) error {
	_, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(datagram))),
		uintptr(len(datagram)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// epollWait says how many events are there now.
func epollWait(ep int, events []unix.EpollEvent) int {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}
