package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startTime = 5 * time.Second        // for a contender to listen
	stopTime  = 500 * time.Millisecond // for a contender to end when asked to, before it is killed
	// Listening ports come from below the range that Linux takes the ports of outgoing connections from (32768 and up), where
	// one might be in use by the time the contender wants it.
	firstPort, lastPort = 20000, 32000
)

// place is where contenders run: what the placeholders of a setup stand for.
type place struct {
	dir     string // temporary; holds bench.crt, bench.key and bench.pem
	backend *backend
	port    int // last listening port that was given out
	started int // contenders so far
}

// instance is a running contender.
type instance struct {
	address string
	group   int // process group, and id of the first process
	ended   chan struct{}
}

// start runs c in mode m and waits until it listens.
func (p *place) start(ctx context.Context, c contender, m mode) (*instance, error) {
	s, ok := c.setups[m]
	if !ok {
		return nil, errNoMode
	}
	port, err := p.freePort()
	if err != nil {
		return nil, err
	}
	p.started++
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	args, err := p.prepare(s, address, filepath.Join(p.dir, c.name+"-"+string(m)+".conf"))
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(p.dir, c.name+"-"+string(m)+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	in, err := launch(c.path, args, log)
	if err != nil {
		return nil, err
	}
	p.backend.guard(in.group)
	in.address = address
	await := in.awaitListener
	if m == modeUDP {
		await = in.awaitDatagrams
	}
	if err := await(ctx); err != nil {
		p.stop(in)
		return nil, fmt.Errorf("%w; it said: %s", err, tail(log.Name()))
	}
	return in, nil
}

// stop ends a contender that start has started.
func (p *place) stop(in *instance) {
	in.stop()
	p.backend.guard(0)
}

// errNoMode says that a contender cannot do what a workload asks for.
var errNoMode = errors.New("not offered")

// prepare writes the configuration file, if there is one, and returns the arguments.
func (p *place) prepare(s setup, address, conf string) ([]string, error) {
	file := func(name string) string { return filepath.Join(p.dir, name) }
	server := net.JoinHostPort(backendHost(p.started), strconv.Itoa(p.backend.port))
	fill := strings.NewReplacer("{addr}", address, "{server}", server, "{conf}", conf, "{tmp}", p.dir,
		"{crt}", file("bench.crt"), "{key}", file("bench.key"), "{pem}", file("bench.pem"))
	args := strings.Fields(s.command)
	for i := range args {
		args[i] = fill.Replace(args[i])
	}
	if s.config == "" {
		return args, nil
	}
	return args, os.WriteFile(conf, []byte(fill.Replace(s.config)), 0o600)
}

// freePort finds a port that nobody listens on.
func (p *place) freePort() (int, error) {
	for range lastPort - firstPort {
		if p.port++; p.port < firstPort || p.port >= lastPort {
			p.port = firstPort
		}
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
		if err == nil {
			return p.port, ln.Close()
		}
	}
	return 0, fmt.Errorf("no free port from %d to %d", firstPort, lastPort)
}

// launch starts a program in a process group of its own.
func launch(path string, args []string, output *os.File) (*instance, error) {
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	in := &instance{group: cmd.Process.Pid, ended: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(in.ended)
	}()
	return in, nil
}

// awaitListener returns when the contender accepts connections.
func (in *instance) awaitListener(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		var d net.Dialer
		if c, err := d.DialContext(ctx, "tcp", in.address); err == nil {
			return c.Close()
		}
		select {
		case <-in.ended:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("it does not listen on %s: %w", in.address, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the contender's process group and waits for the first process. The group is killed in any case: a child may
// outlive its master.
func (in *instance) stop() {
	syscall.Kill(-in.group, syscall.SIGTERM)
	select {
	case <-in.ended:
	case <-time.After(stopTime):
	}
	syscall.Kill(-in.group, syscall.SIGKILL)
	<-in.ended
}

// tail is the end of what a contender printed, on one line.
func tail(file string) string {
	const most = 300
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	line := strings.Join(strings.Fields(string(text)), " ")
	if line == "" {
		return "nothing"
	}
	return line[max(0, len(line)-most):]
}
