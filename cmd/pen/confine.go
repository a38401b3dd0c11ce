package main

import (
	"fmt"
	"log/slog"
	"os"
	"slices"

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

// warnUnreadable names the files that a reload will want and cannot have as the user and within the root that we have now.
func (o *options) warnUnreadable(log *slog.Logger) {
	c := o.in.Proxy.Config()
	files := append(slices.Clone(c.GeoIP), o.config, c.ACMESecretFile, c.ACME.CARoots, c.Upstream.Cert, c.Upstream.Key)
	files = append(files, c.Certificates.Paths()...)
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
