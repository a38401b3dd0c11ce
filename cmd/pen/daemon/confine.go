package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Confine changes the root directory (-j) and the user (-u), each if it is not empty, and makes sure of it. It comes when
// everything is open.
func Confine(root, name string) error {
	var who *user.User
	if name != "" {
		u, err := user.Lookup(name) // before the root changes, and /etc/passwd with it
		if err != nil {
			return fmt.Errorf("-u %s: there is no such user", name)
		}
		who = u
	}
	if root != "" {
		if err := errors.Join(syscall.Chroot(root), os.Chdir("/")); err != nil {
			return fmt.Errorf("-j %s: %v (only root may change the root directory)", root, err)
		}
	}
	if who != nil {
		if err := become(who); err != nil {
			return fmt.Errorf("-u %s: %v", name, err)
		}
	}
	return nil
}

// become takes on a user's identity: no supplementary groups, then group, then user, and no way back.
func become(who *user.User) error {
	uid, err := strconv.Atoi(who.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(who.Gid)
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := syscall.Setgroups([]int{gid}); err != nil {
			return fmt.Errorf("setgroups: %v", err)
		}
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("setgid: %v", err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("setuid: %v", err)
	}
	if os.Getuid() != uid || os.Geteuid() != uid || os.Getgid() != gid || uid != 0 && syscall.Setuid(0) == nil {
		return errors.New("the user did not change")
	}
	return nil
}
