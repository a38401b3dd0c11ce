package main

import (
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// TestSyslog: a daemon's messages reach the system's log under its name, with a priority for each level (RFC 3164: facility user is 8, to which
// the priority is added).
func TestSyslog(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "log")
	ln, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	handler, level := newLog(io.Discard)
	level.Set(slog.LevelDebug)
	if err := handler.useSyslog(socket); err != nil {
		t.Fatal(err)
	}
	log := slog.New(handler)
	log.Error("cannot go on", "file", "/a b")
	log.Warn("server blacklisted", "port", 80)
	log.Debug("do_cmd: mode")
	ln.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // the read fails
	for _, want := range []string{
		`^<11>.* pen\[\d+\]: cannot go on file="/a b"\n$`,
		`^<12>.* pen\[\d+\]: server blacklisted port=80\n$`,
		`^<15>.* pen\[\d+\]: do_cmd: mode\n$`,
	} {
		line := make([]byte, 1000)
		n, err := ln.Read(line)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(want).Match(line[:n]) {
			t.Errorf("%q, want %s", line[:n], want)
		}
	}
	if handler.useSyslog(filepath.Join(t.TempDir(), "none")) == nil {
		t.Error("no error where there is no system log")
	}
}
