package main

import (
	"errors"
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

// errUnfetched is why a program cannot be built where there is no network. Any other reason is a failure.
var errUnfetched = errors.New("its modules cannot be fetched")

// module builds a program and puts it into $WORK: module NAME. A script whose modules cannot be fetched is skipped.
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
		err = buildApart(filepath.Join("..", "..", "testdata", args[0], "go.mod"), path, ".")
		modules.built[args[0]] = err
	}
	if errors.Is(err, errUnfetched) {
		worldOf(ts).t.Skip(args[0], "cannot be built:", err)
	}
	ts.Check(err)
	ts.Check(os.Symlink(path, ts.MkAbs(args[0])))
}

// buildApart builds a program of the module that another go.mod describes. The error is errUnfetched where that cannot even be tried.
func buildApart(mod, path, pkg string) error {
	dir, file := filepath.Split(mod)
	fetch := exec.Command("go", "mod", "download", "-modfile="+file)
	build := exec.Command("go", "build", "-modfile="+file, "-o", path, pkg)
	fetch.Dir, build.Dir = dir, dir
	if out, err := fetch.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %v\n%s", errUnfetched, err, out)
	}
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%v\n%s", err, out)
	}
	return nil
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
