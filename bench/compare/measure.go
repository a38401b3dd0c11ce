package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// warmUp is how long the load runs before the measured time begins, or the measured time itself if that is shorter.
const warmUp = 400 * time.Millisecond

// bench is one comparison under way.
type bench struct {
	opts     options
	place    *place
	trusted  *x509.CertPool
	progress io.Writer
}

// sample is one measurement: one contender, one workload, one round.
type sample struct {
	Figure float64 `json:"figure"`                // in the workload's unit
	Units  int64   `json:"units"`                 // requests, connections or bytes
	CPU    float64 `json:"cpu_s,omitempty"`       // of the contender
	Rate   float64 `json:"units_per_s,omitempty"` // how fast the load went, for information
	Error  string  `json:"error,omitempty"`       // if set, there is no figure
	TLS    string  `json:"negotiated,omitempty"`  // version, group, cipher suite
}

// run does the whole comparison. The report holds what was measured even where there is an error as well.
func run(ctx context.Context, opts options, progress io.Writer) (*report, error) {
	// Children end with the thread that started them, so that thread must last.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	found, missing, err := findContenders(opts.only)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "compare-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := resolve(ctx, found, opts.pen, dir, self); err != nil {
		return nil, err
	}
	trusted, err := writeCertificate(dir)
	if err != nil {
		return nil, err
	}
	server, err := startBackend(self)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	first := firstPort + rand.IntN(lastPort-firstPort)
	b := &bench{opts, &place{dir: dir, backend: server, port: first}, trusted, progress}
	rep := newReport(opts, found, missing)
	return rep, b.rounds(ctx, found, rep)
}

// resolve fills in the programs that findContenders leaves open.
func resolve(ctx context.Context, found []contender, pen, dir, self string) error {
	for i := range found {
		c := &found[i]
		var err error
		switch {
		case c.name == edgepen && pen == "":
			c.path, err = build(ctx, dir)
		case c.name == edgepen:
			c.path, err = exec.LookPath(pen)
		case c.path == "":
			c.path = self
		}
		if err != nil {
			return err
		}
		c.version = version(ctx, *c)
	}
	return nil
}

// build compiles edgepen into dir.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "edgepen")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "edgepen/cmd/pen")
	cmd.SysProcAttr = childAttributes()
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building edgepen (-pen names a program instead): %w\n%s", err, output)
	}
	return path, nil
}

// version asks a contender which version it is, "" if it does not tell.
func version(ctx context.Context, c contender) string {
	args := strings.Fields(strings.ReplaceAll(c.version, "{path}", c.path))
	if len(args) == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.SysProcAttr = childAttributes()
	output, err := cmd.CombinedOutput()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(output), "\n")
	return strings.TrimSpace(line)
}

// rounds takes all samples. In each round another contender begins.
func (b *bench) rounds(ctx context.Context, found []contender, rep *report) error {
	for _, w := range b.opts.workloads {
		for r := range b.opts.rounds {
			for i := range found {
				c := found[(i+r)%len(found)]
				if rep.find(w.id, c.name).failure() != "" {
					continue // there will be no figure
				}
				s := b.take(ctx, c, w)
				if ctx.Err() != nil {
					return fmt.Errorf("interrupted: %w", context.Cause(ctx))
				}
				rep.add(w, c, s)
				b.tell(w, r, c, s)
			}
		}
		if err := rep.write(b.opts.output); err != nil {
			return err
		}
	}
	return nil
}

// tell shows a sample while the run goes on.
func (b *bench) tell(w workload, round int, c contender, s sample) {
	if !b.opts.verbose {
		return
	}
	text := s.Error
	if text == "" {
		text = fmt.Sprintf("%s %s per %s", number(s.Figure), w.unit.figure, w.unit.name)
	}
	if s.Rate > 0 {
		text += ", " + number(s.Rate/w.unit.perSecond()) + " per second"
	}
	fmt.Fprintf(b.progress, "%-4s round %d %-8s %s\n", w.id, round+1, c.name, text)
}

// take starts c, verifies it, takes one sample of w, and stops it.
func (b *bench) take(ctx context.Context, c contender, w workload) sample {
	in, err := b.place.start(ctx, c, w.mode)
	if err != nil {
		return sample{Error: err.Error()}
	}
	defer b.place.stop(in)
	cl := &client{address: in.address, tls: clientTLS(w, b.trusted), page: pageBody()}
	negotiated, err := verify(ctx, cl, c, w)
	if err != nil {
		return sample{Error: "wrong answer: " + err.Error(), TLS: negotiated}
	}
	measure := b.measureLoad
	if w.drive == nil {
		measure = b.measureIdle
	}
	s, err := measure(ctx, in, cl, w)
	if err != nil {
		s = sample{Error: err.Error()}
	}
	s.TLS = negotiated
	return s
}

// measureLoad returns a sample of the CPU time that work takes.
func (b *bench) measureLoad(ctx context.Context, in *instance, cl *client, w workload) (sample, error) {
	conns := w.conns
	if b.opts.conns > 0 {
		conns = b.opts.conns
	}
	loading, cancel := context.WithCancel(ctx)
	defer cancel()
	var n tally
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		generate(loading, cl, w, conns, &n)
	}()
	s, err := b.window(ctx, in, w, &n)
	cancel()
	<-idle
	if failed := n.err(); failed != nil {
		return sample{}, failed
	}
	return s, err
}

// window measures while the load runs.
func (b *bench) window(ctx context.Context, in *instance, w workload, n *tally) (sample, error) {
	if err := pause(ctx, min(warmUp, b.opts.duration)); err != nil {
		return sample{}, err
	}
	members, err := contenderProcesses(in.group)
	if err != nil {
		return sample{}, err
	}
	begin, units := time.Now(), n.units.Load()
	before, err := cpuTime(members)
	if err != nil {
		return sample{}, err
	}
	if err := pause(ctx, b.opts.duration); err != nil {
		return sample{}, err
	}
	elapsed, units := time.Since(begin), n.units.Load()-units
	after, err := cpuTime(members)
	if err != nil {
		return sample{}, err
	}
	if now, err := contenderProcesses(in.group); err != nil || !sameProcesses(members, now) {
		return sample{}, errors.New("the contender's processes changed during the measurement")
	}
	return newSample(w.unit, units, after-before, elapsed)
}

// newSample demands that there is something to divide.
func newSample(u unit, units int64, cpu, elapsed time.Duration) (sample, error) {
	if units <= 0 || cpu <= 0 {
		return sample{}, errors.New("too little work for a figure")
	}
	return sample{
		Figure: cpu.Seconds() * u.scale / float64(units),
		Units:  units,
		CPU:    cpu.Seconds(),
		Rate:   float64(units) / elapsed.Seconds(),
	}, nil
}

// pause waits for d, or for the end of ctx, which is an error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
