package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// confine changes the root (-j) and the user (-u), once everything is open, and makes sure of it.
func (o *options) confine(log *slog.Logger) error {
	var who *user.User
	if o.user != "" {
		u, err := user.Lookup(o.user) // before the root changes, and /etc/passwd with it
		if err != nil {
			return fmt.Errorf("-u %s: there is no such user", o.user)
		}
		who = u
	}
	if o.chroot != "" {
		if err := errors.Join(syscall.Chroot(o.chroot), os.Chdir("/")); err != nil {
			return fmt.Errorf("-j %s: %v (only root may change the root directory)", o.chroot, err)
		}
	}
	if who != nil {
		if err := become(who); err != nil {
			return fmt.Errorf("-u %s: %v", o.user, err)
		}
	}
	if o.chroot != "" || who != nil {
		o.warnUnreadable(log)
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

// warnUnreadable names the files that a reload will want and cannot have as the user and within the root that we have now.
func (o *options) warnUnreadable(log *slog.Logger) {
	c := o.in.Proxy.Config()
	files := append(slices.Clone(c.GeoIP), o.config, c.Certificates.Cert, c.Certificates.Key, c.Certificates.CADir)
	if c.Certificates.CAFile != "system" {
		files = append(files, c.Certificates.CAFile)
	}
	for _, name := range files {
		if name == "" {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			log.Warn("a reload will not be able to read this file", "file", name, "why", err)
			continue
		}
		f.Close()
	}
}
