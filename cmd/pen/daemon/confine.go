package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
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

// MakeDirectory makes a directory that is to belong to the user whom Confine will change to, within the root directory that it will
// change to. One that is there stays as it is.
func MakeDirectory(root, name, dir string) error {
	path := filepath.Join(root, dir)
	if _, err := os.Stat(path); err == nil || name == "" {
		return nil // where nobody changes, whoever needs it makes it
	}
	who, err := user.Lookup(name)
	if err != nil {
		return fmt.Errorf("-u %s: there is no such user", name)
	}
	uid, uerr := strconv.Atoi(who.Uid)
	gid, gerr := strconv.Atoi(who.Gid)
	return errors.Join(uerr, gerr, os.MkdirAll(path, 0o700), os.Chown(path, uid, gid))
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
