package proxy

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// PeerIDs is the user and the group at the other end of a Unix socket (unix(7), SO_PEERCRED).
func PeerIDs(c net.Conn) (uid, gid uint32, err error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, 0, errors.New("neither TCP nor a Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, 0, err
	}
	if failed != nil {
		return 0, 0, failed
	}
	return cred.Uid, cred.Gid, nil
}
