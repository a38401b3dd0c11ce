package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test program be its own backend and direct relay.
func TestMain(m *testing.M) {
	if ran, err := runRole(os.Args[1:]); ran {
		exitOn(err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// smokeOptions measures as little as can be measured.
func smokeOptions(t *testing.T, workloads, only string) options {
	t.Helper()
	opts, err := parseOptions([]string{"-w", workloads, "-only", only, "-rounds", "2", "-d", "200ms", "-idle", "100", "-conns", "4",
		"-timeout", "1m", "-o", filepath.Join(t.TempDir(), "report")}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	opts.settle = 50 * time.Millisecond
	return opts
}

func requireLinux(t *testing.T) {
	t.Helper()
	if err := supported(); err != nil {
		t.Skipf("%s: %v", runtime.GOOS, err)
	}
}

func TestDirectEndToEnd(t *testing.T) {
	requireLinux(t)
	opts := smokeOptions(t, "W5,W7,W9,W11", "direct")
	rep, err := run(t.Context(), opts, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"W7", "W9", "W11"} {
		res := rep.find(id, "direct")
		if res.Median <= 0 || len(res.Samples) != 2 {
			t.Errorf("%s: median %v of %+v", id, res.Median, res.Samples)
		}
	}
	if got := rep.find("W5", "direct").failure(); got != errNoMode.Error() {
		t.Errorf("W5 of a contender without HTTPS: %q", got)
	}
	var back report
	text, err := os.ReadFile(opts.output + ".json")
	if err != nil || json.Unmarshal(text, &back) != nil || len(back.Results) != 4 {
		t.Errorf("the JSON file: %v\n%s", err, text)
	}
}

// TestPeersEndToEnd runs whichever peers are installed through one workload of each mode, and idle connections.
func TestPeersEndToEnd(t *testing.T) {
	requireLinux(t)
	for _, name := range []string{"pen", "haproxy", "nginx"} {
		found, _, err := findContenders(regexp.MustCompile("^" + name + "$"))
		if err != nil || len(found) == 0 {
			t.Logf("%s is not installed", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			opts := smokeOptions(t, "W1,W5,W5h2,W6,W7,W12,W13", name)
			opts.idle = 300
			rep, err := run(t.Context(), opts, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			for _, res := range rep.Results {
				cannot := name == "pen" && res.Workload == "W5h2" || name == "haproxy" && res.Workload == "W13"
				if res.Median <= 0 && !cannot {
					t.Errorf("%s: %s", res.Workload, res.failure())
				}
			}
		})
	}
}

// backendForTest starts a backend; self is this program.
func backendForTest(t *testing.T) (self string, b *backend) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err = startBackend(self)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.stop)
	return self, b
}

// TestWrongAnswer makes a relay that adds no X-Forwarded-For pose as an HTTP proxy: it must get no figure.
func TestWrongAnswer(t *testing.T) {
	requireLinux(t)
	self, server := backendForTest(t)
	opts := smokeOptions(t, "W6", "direct")
	b := &bench{opts: opts, place: &place{dir: t.TempDir(), backend: server}, progress: io.Discard}
	impostor := contender{name: "impostor", path: self, setups: map[mode]setup{modeHTTP: {command: "direct {addr} {server}"}}}
	s := b.take(t.Context(), impostor, opts.workloads[0])
	if s.Figure != 0 || !strings.Contains(s.Error, `saw "" in X-Forwarded-For`) {
		t.Errorf("sample %+v", s)
	}
}

func TestContenderThatEnds(t *testing.T) {
	requireLinux(t)
	_, server := backendForTest(t)
	p := &place{dir: t.TempDir(), backend: server, port: firstPort + 5000}
	c := contender{name: "missing", path: "/bin/sh", setups: map[mode]setup{modeTCP: {command: "{conf}", config: "echo no such luck >&2; exit 3"}}}
	_, err := p.start(t.Context(), c, modeTCP)
	if err == nil || err.Error() != "it ended at once; it said: no such luck" {
		t.Errorf("error %v", err)
	}
}

// TestInterrupted cancels a run that would take minutes: it must end soon and leave neither files nor processes.
func TestInterrupted(t *testing.T) {
	requireLinux(t)
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithTimeoutCause(t.Context(), 700*time.Millisecond, errors.New("enough"))
	defer cancel()
	opts := smokeOptions(t, "W7", "direct")
	opts.duration = time.Minute
	begin := time.Now()
	_, err := run(ctx, opts, io.Discard)
	if err == nil || err.Error() != "interrupted: enough" {
		t.Errorf("error %v", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v to end", took)
	}
	left, _ := os.ReadDir(os.Getenv("TMPDIR"))
	for _, entry := range left {
		if strings.HasPrefix(entry.Name(), "compare-") {
			t.Errorf("left behind: %s", entry.Name())
		}
	}
}

// TestStopEndsTheGroup has both ways of ending a contender end a shell that leaves a child behind when it is asked to end.
func TestStopEndsTheGroup(t *testing.T) {
	requireLinux(t)
	t.Run("stop", func(t *testing.T) { endStubborn(t, (*instance).stop) })
	t.Run("backend guards", func(t *testing.T) {
		endStubborn(t, func(in *instance) {
			if err := awaitEnd(strings.NewReader("12345\n" + strconv.Itoa(in.group) + "\n")); err != nil {
				t.Error(err)
			}
		})
	})
}

// endStubborn starts that shell, applies end and waits until no process of the group is left.
func endStubborn(t *testing.T, end func(*instance)) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	in, err := launch("/bin/sh", []string{"-c", "trap 'exit 0' TERM; (trap '' TERM; echo ready; exec sleep 60) & wait"}, log)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the child to ignore TERM", func() bool { return tail(log.Name()) == "ready" })
	end(in)
	await(t, "the processes of the group to end", func() bool {
		_, err := contenderProcesses(in.group)
		return err != nil
	})
}

// await polls, for what the shell and the kernel do has no channel to wait on.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 500 {
		if done() {
			return
		}
		if err := pause(t.Context(), 10*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

func TestCommandLine(t *testing.T) {
	tests := []struct{ args, want string }{
		{"-w W5,W99", `usage: -w: no workload "W99"`},
		{"-check -limits W1<1", `usage: -limits: "W1<1" is no limit, expected something like W1<=1.0`},
		{"-check -limits W99<=1", `usage: -w: no workload "W99"`},
		{"-rounds 0", "usage: -rounds, -d, -idle and -timeout must be above zero, -conns not below"},
		{"-only (", "usage: -only: error parsing regexp: missing closing ): `^(?:()$`"},
		{"extra", `usage: unexpected argument "extra"`},
		{"-nonsense", "usage"},
	}
	for _, tt := range tests {
		_, err := parseOptions(strings.Fields(tt.args), io.Discard)
		if err == nil || err.Error() != tt.want || !errors.Is(err, errUsage) {
			t.Errorf("%s: error %v, want %s", tt.args, err, tt.want)
		}
	}
	if _, err := parseOptions([]string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}

func TestCheckSelectsWorkloads(t *testing.T) {
	opts, err := parseOptions([]string{"-check", "-w", "W1m"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, w := range opts.workloads {
		ids = append(ids, w.id)
	}
	if got := strings.Join(ids, " "); got != "W1 W1m W5 W5h2 W6 W8 W9 W13" {
		t.Errorf("workloads %s", got)
	}
}

func TestNothingToMeasure(t *testing.T) {
	requireLinux(t)
	var out bytes.Buffer
	err := command(t.Context(), []string{"-only", "nobody"}, &out, io.Discard)
	if err == nil || err.Error() != "no contender: -only matches none that is installed" || out.Len() > 0 {
		t.Errorf("error %v, output %q", err, out.String())
	}
	err = command(t.Context(), []string{"-only", edgepen, "-pen", "/nonexistent/pen"}, &out, io.Discard)
	if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a program that does not exist: %v", err)
	}
}
