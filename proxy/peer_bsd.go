//go:build darwin || freebsd

package proxy

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// PeerIDs is the user and the group at the other end of a Unix socket (unix(4), LOCAL_PEERCRED).
func PeerIDs(c net.Conn) (uid, gid uint32, err error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, 0, errors.New("neither TCP nor a Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var cred *unix.Xucred
	var failed error
	if err := raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptXucred(int(fd), 0, unix.LOCAL_PEERCRED) }); err != nil {
		return 0, 0, err
	}
	if failed != nil {
		return 0, 0, failed
	}
	if cred.Ngroups > 0 {
		gid = cred.Groups[0]
	}
	return cred.Uid, gid, nil
}
