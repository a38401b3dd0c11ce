//go:build !linux

package dsr

import "errors"

var errNotLinux = errors.New("direct server return needs Linux")

func findHost(string) (host, error) { return host{}, errNotLinux }

func openLink(string) (link, error) { return nil, errNotLinux }
