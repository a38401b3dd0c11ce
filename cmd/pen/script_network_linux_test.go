package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// namespaces makes networks of a script's own, which go with it: namespaces NAME… In each only lo is there, and up; $NAME is what
// ip(8) knows it by.
func namespaces(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: namespaces NAME…")
	}
	for _, name := range args {
		known := fmt.Sprintf("edgepen-%d-%s-%s", os.Getpid(), ts.Getenv("PORT1"), name)
		ts.Check(ip("netns", "add", known))
		ts.Defer(func() { ts.Check(ip("netns", "delete", known)) })
		ts.Check(ip("-n", known, "link", "set", "lo", "up"))
		ts.Setenv(name, known)
	}
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// within runs another command of ours in a network that namespaces has made: within NAME COMMAND ARGS… The sockets that it opens
// stay there, and so do the programs that it starts.
func within(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || commands()[args[1]] == nil {
		ts.Fatalf("usage: [!] within NAMESPACE COMMAND ARGS…")
	}
	home, err := os.Open("/proc/thread-self/ns/net")
	ts.Check(err)
	defer home.Close()
	there, err := os.Open(filepath.Join("/run/netns", ts.Getenv(args[0])))
	ts.Check(err)
	defer there.Close()
	runtime.LockOSThread()
	ts.Check(unix.Setns(int(there.Fd()), unix.CLONE_NEWNET))
	defer func() {
		ts.Check(unix.Setns(int(home.Fd()), unix.CLONE_NEWNET)) // failing, the thread ends with the test
		runtime.UnlockOSThread()
	}()
	commands()[args[1]](ts, neg, args[2:])
}
