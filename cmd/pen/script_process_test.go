package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// process is a program that a script runs beside itself; what it prints is in NAME.log.
type process struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{} // closed when it is gone
}

// background starts a program: background NAME PROGRAM ARGS…
func background(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: background NAME PROGRAM ARGS…")
	}
	w := worldOf(ts)
	p := &process{cmd: exec.Command(args[1], args[2:]...), log: ts.MkAbs(args[0] + ".log"), ended: make(chan struct{})}
	out, err := os.Create(p.log)
	ts.Check(err)
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GORACE", "WORK", "POSIXLY_CORRECT"} {
		if v := ts.Getenv(name); v != "" {
			p.cmd.Env = append(p.cmd.Env, name+"="+v)
		}
	}
	ts.Check(p.cmd.Start())
	if before := w.running[args[0]]; before != nil { // of the same name, and to be ended with the script as well
		w.running[args[0]+" "+strconv.Itoa(before.cmd.Process.Pid)] = before
	}
	w.running[args[0]] = p
	go func() {
		p.cmd.Wait() //nolint:errcheck // its status is looked at where a script asks for it
		close(p.ended)
	}()
}

// balance starts a load balancer in the foreground and returns when it serves: balance pen|original|tested ARGS…, the last of
// which is $PEN. Its process id is in NAME.pid, its messages in NAME.log.
func balance(ts *testscript.TestScript, neg bool, args []string) {
	programs := map[string]string{"pen": "pen", "original": original, "tested": ts.Getenv("PEN")}
	if neg || len(args) < 2 || programs[args[0]] == "" {
		ts.Fatalf("usage: balance pen|original|tested ARGS…")
	}
	name := args[0]
	pid := ts.MkAbs(name + ".pid")
	os.Remove(pid)
	background(ts, false, append([]string{name, programs[name], "-f", "-p", pid}, args[1:]...))
	p := worldOf(ts).running[name]
	until(ts, name+" to serve", func() bool {
		select {
		case <-p.ended:
			ts.Fatalf("%s ended with status %d:\n%s", name, p.cmd.ProcessState.ExitCode(), ts.ReadFile(p.log))
		default:
		}
		id, err := os.ReadFile(pid) // which is written when everything is open
		return err == nil && len(id) > 0
	})
}

// until looks every few milliseconds whether something has happened.
func until(ts *testscript.TestScript, what string, happened func() bool) {
	for end := time.Now().Add(patience); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}

// await waits until a port accepts (await HOST:PORT), a file exists (await FILE), or a pattern stands in a file (await
// FILE PATTERN); with ! until that is no longer so.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: [!] await HOST:PORT|FILE [PATTERN]")
	}
	until(ts, strings.Join(args, " "), func() bool { return there(ts, args) != neg })
}

func there(ts *testscript.TestScript, args []string) bool {
	switch {
	case len(args) == 2:
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		found, bad := regexp.MatchString("(?m)"+args[1], string(text))
		ts.Check(bad)
		return err == nil && found
	case strings.Contains(args[0], ":") && !strings.Contains(args[0], "/"):
		c, err := net.DialTimeout("tcp", args[0], time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	info, err := os.Stat(ts.MkAbs(args[0]))
	return err == nil && (info.Size() > 0 || !info.Mode().IsRegular())
}

// eventually runs a program again and again until a pattern stands in what it prints: eventually PATTERN PROGRAM ARGS…
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually PATTERN PROGRAM ARGS…")
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	until(ts, strings.Join(args, " "), func() bool {
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Dir = ts.MkAbs(".")
		cmd.Env = append(os.Environ(), "GORACE="+ts.Getenv("GORACE")) // without which programs of ours take a second to end
		out, _ := cmd.CombinedOutput()
		return re.Match(out)
	})
}

// status runs a program to its end and prints what it printed, standard output first, and how it ended, or with -only just
// the latter: status [-only] PROGRAM ARGS…
func status(ts *testscript.TestScript, neg bool, args []string) {
	only := len(args) > 0 && args[0] == "-only"
	if only {
		args = args[1:]
	}
	if neg || len(args) == 0 {
		ts.Fatalf("usage: status [-only] PROGRAM ARGS…")
	}
	code, out, errs := complete(ts, args)
	if only {
		out, errs = "", ""
	}
	fmt.Fprintf(ts.Stdout(), "%s%sstatus %d\n", out, errs, code)
}

// complete runs a program to its end.
func complete(ts *testscript.TestScript, args []string) (status int, stdout, stderr string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "GORACE="+ts.Getenv("GORACE"))
	cmd.WaitDelay = patience
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		ts.Fatalf("%s: %v", strings.Join(args, " "), errors.Join(err, ctx.Err()))
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// ends waits for a program's end and checks its exit status, or prints it: ends NAME [STATUS].
func ends(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: ends NAME [STATUS]")
	}
	w := worldOf(ts)
	p := w.running[args[0]]
	if p == nil {
		ts.Fatalf("no program %s was started", args[0])
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		ts.Fatalf("%s does not end", args[0])
	}
	delete(w.running, args[0])
	got := strconv.Itoa(p.cmd.ProcessState.ExitCode())
	if len(args) == 1 {
		fmt.Fprintf(ts.Stdout(), "status %s\n", got)
		return
	}
	if got != args[1] {
		ts.Fatalf("%s ended with status %s, want %s:\n%s", args[0], got, args[1], ts.ReadFile(p.log))
	}
}

// sendSignal sends a signal to the process whose id is in a file: signal HUP FILE.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL,
		"QUIT": syscall.SIGQUIT, "TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1}
	if neg || len(args) != 2 || signals[args[0]] == 0 {
		ts.Fatalf("usage: signal HUP|INT|KILL|QUIT|TERM|USR1 PIDFILE")
	}
	id, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[1])))
	ts.Check(err)
	ts.Check(syscall.Kill(id, signals[args[0]]))
}

// end stops everything that a script has started and fails it where a program broke down or raced.
func (w *world) end() {
	for _, c := range w.clients {
		c.conn.Close()
	}
	for name, p := range w.running {
		w.stopProcess(name, p)
	}
	w.stopDaemons()
	for _, b := range w.backends {
		b.stop()
	}
	bad := w.reports()
	if f, ok := w.t.(interface{ Failed() bool }); ok && f.Failed() {
		w.showLogs()
	}
	if bad != "" {
		w.t.Log(bad)
		w.t.FailNow()
	}
}

// stopProcess asks a program to end, and ends it if it does not listen.
func (w *world) stopProcess(name string, p *process) {
	p.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.cmd.Process.Signal(syscall.SIGQUIT) //nolint:errcheck // as above
		p.cmd.Process.Kill()                  //nolint:errcheck // as above
		<-p.ended
		w.t.Log(name + " did not end when it was told to")
		defer w.t.FailNow()
	}
}

// stopDaemons ends the daemons that have left a pid file in the script's directory and still work in it.
func (w *world) stopDaemons() {
	files, _ := filepath.Glob(filepath.Join(w.work, "*.pid"))
	for _, name := range files {
		text, _ := os.ReadFile(name)
		id, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || !w.inhabits(id) {
			continue
		}
		syscall.Kill(id, syscall.SIGTERM) //nolint:errcheck // it may have ended
		for end := time.Now().Add(patience); w.inhabits(id); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				syscall.Kill(id, syscall.SIGKILL) //nolint:errcheck // as above
				break
			}
		}
	}
}

// inhabits reports whether a process lives in the script's directory: a number in an old file may be anybody's by now.
func (w *world) inhabits(id int) bool {
	dir, err := os.Readlink("/proc/" + strconv.Itoa(id) + "/cwd")
	return err == nil && (dir == w.work || strings.HasPrefix(dir, w.work+"/"))
}

// reports is what the programs say about themselves that must never be: races and panics.
func (w *world) reports() string {
	races, _ := filepath.Glob(filepath.Join(w.work, raceLog+".*"))
	logs, _ := filepath.Glob(filepath.Join(w.work, "*.log"))
	broken := regexp.MustCompile(`(?m)^(panic: |fatal error: |WARNING: DATA RACE)`)
	var b strings.Builder
	for _, name := range append(races, logs...) {
		text, err := os.ReadFile(name)
		if err == nil && broken.Match(text) || errors.Is(err, os.ErrPermission) {
			b.WriteString(filepath.Base(name) + ":\n" + string(text))
		}
	}
	return b.String()
}

// showLogs prints the end of every log.
func (w *world) showLogs() {
	logs, _ := filepath.Glob(filepath.Join(w.work, "*.log"))
	for _, name := range logs {
		text, _ := os.ReadFile(name)
		if n := len(text); n > 2000 {
			text = append([]byte("…"), text[n-2000:]...)
		}
		w.t.Log(filepath.Base(name) + ":\n" + string(text))
	}
}
