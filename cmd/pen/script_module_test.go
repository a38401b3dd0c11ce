package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// modules are the programs that are modules of their own, below testdata, so that what only tests need is no dependency of the project. Each is built
// once, when a script asks for it.
var modules struct {
	mu    sync.Mutex
	built map[string]error
}

// module builds a program and puts it into $WORK: module NAME. A script for which it cannot be built, since modules cannot be fetched, is skipped.
func module(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: module NAME")
	}
	pen, err := exec.LookPath("pen") // beside which they are built
	ts.Check(err)
	path := filepath.Join(filepath.Dir(pen), "module-"+args[0])
	modules.mu.Lock()
	defer modules.mu.Unlock()
	if modules.built == nil {
		modules.built = map[string]error{}
	}
	err, done := modules.built[args[0]]
	if !done {
		build := exec.Command("go", "build", "-o", path, ".")
		build.Dir = filepath.Join("..", "..", "testdata", args[0])
		if out, failed := build.CombinedOutput(); failed != nil {
			err = fmt.Errorf("%w\n%s", failed, out)
		}
		modules.built[args[0]] = err
	}
	if err != nil {
		worldOf(ts).t.Skip(args[0], "cannot be built:", err)
	}
	ts.Check(os.Symlink(path, ts.MkAbs(args[0])))
}

// npm installs a package of node's into $WORK: npm PACKAGE. A script for which it cannot be fetched is skipped.
func npm(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: npm PACKAGE")
	}
	install := exec.Command("npm", "install", "--no-audit", "--no-fund", "--no-update-notifier", "--prefix", ts.MkAbs("."), args[0])
	if out, err := install.CombinedOutput(); err != nil {
		worldOf(ts).t.Skip("npm cannot install", args[0], err, string(out))
	}
}
