package acme

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// listening returns the inodes of the sockets of this process that listen, for
// TCP, or receive, for UDP.
func listening(t *testing.T) map[string]bool {
	t.Helper()
	open := map[string]bool{}
	descriptors, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range descriptors {
		target, _ := os.Readlink(fd) // the directory's own is closed by now
		if inode, found := strings.CutPrefix(target, "socket:["); found {
			open[strings.TrimSuffix(inode, "]")] = true
		}
	}
	found := map[string]bool{}
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		content, err := os.ReadFile("/proc/self/net/" + table)
		if err != nil {
			continue // no IPv6
		}
		for line := range strings.Lines(string(content)) {
			// sl local remote st queues timer retransmits uid timeout inode; 0A: LISTEN
			if f := strings.Fields(line); len(f) > 9 && open[f[9]] && (f[3] == "0A" || strings.HasPrefix(table, "udp")) {
				found[f[9]] = true
			}
		}
	}
	return found
}
