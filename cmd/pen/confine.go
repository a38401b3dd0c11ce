package main

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"syscall"

	"edgepen/cmd/pen/daemon"
)

// confine changes the root (-j) and the user (-u), once everything is open, and makes sure of it.
func (o *options) confine(log *slog.Logger) error {
	if err := daemon.Confine(o.chroot, o.user); err != nil {
		return err
	}
	if o.chroot != "" || o.user != "" {
		o.warnUnreadable(log)
	}
	return nil
}

// makeStorage makes the directory for certificates by ACME while that can be done, for the user that we are going to be.
func (o *options) makeStorage() error {
	dir := o.in.Proxy.Config().ACME.Storage
	if dir == "" {
		return nil
	}
	if err := daemon.MakeDirectory(o.chroot, o.user, dir); err != nil {
		return fmt.Errorf("ACME storage: %v", err)
	}
	return nil
}

// maxUnreadable bounds the warnings about files: among thousands of certificates one cause is often everybody's.
const maxUnreadable = 20

// warnUnreadable names the files that a reload will want and cannot have as the user and within the root that we have now.
func (o *options) warnUnreadable(log *slog.Logger) {
	c := o.in.Proxy.Config()
	files := append(slices.Clone(c.GeoIP), c.ACMESecretFile, c.ACME.CARoots)
	if !o.readOnce && o.config != os.DevNull { // which is read without being opened
		files = append(files, o.config)
	}
	files = append(files, o.in.Proxy.CertificateFiles()...)
	for _, page := range c.ErrorPages {
		files = append(files, page)
	}
	for _, l := range c.ACLs {
		for _, e := range l {
			files = append(files, e.File)
		}
	}
	unreadable := 0
	for _, name := range files {
		if name == "" {
			continue
		}
		f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // nor does a pipe hold anybody up
		if err == nil {
			f.Close()
		} else if unreadable++; unreadable <= maxUnreadable {
			log.Warn("a reload will not be able to read this file", "file", name, "why", err)
		}
	}
	if unreadable > maxUnreadable {
		log.Warn("a reload will not be able to read more files", "files", unreadable-maxUnreadable)
	}
}
