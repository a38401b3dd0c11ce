// Command penctl sends one command to the control port of pen and prints the reply: penctl(1).
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// commands is the list of commands, as "penctl PORT help" prints it; a test holds it to that.
//
//go:embed commands.txt
var commands string

const usage = "usage: penctl host:port command\n"

// more follows the original's usage.
const more = "in the place of host:port also port or /path/to/socket, as pen was given it with -C; the command help lists the others, penctl --help does without a pen\n"

// patience is how long a connect, and then the reply, may take.
const patience = 30 * time.Second

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run sends the words of a command and returns the exit status: 1 where the command failed.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
		fmt.Fprint(stdout, usage+"host:port, port or /path/to/socket is what pen was given with -C.\n"+
			"Exit status: 0, or 1 where the command failed or nobody answers.\n\nCommands (see penctl(1)):\n\n"+commands)
		return 0
	}
	if len(args) < 2 {
		fmt.Fprint(stdout, usage+more)
		return 0 // as the original, which scripts may rely on
	}
	reply, err := ask(args[0], strings.Join(args[1:], " "))
	fmt.Fprint(stdout, reply)
	if err != nil {
		fmt.Fprintf(stderr, "error connecting to server: %s: %v\n", args[0], reason(err)) // the original's words come first: scripts may look for them
		return 1
	}
	if failed(reply) {
		return 1
	}
	return 0
}

// reason is what is at the bottom of an error of the network, without the address, which the caller names.
func reason(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	return err
}

// ask sends a line to the control port and returns all it answers.
func ask(address, line string) (string, error) {
	network := "tcp"
	if strings.Contains(address, "/") {
		network = "unix"
	} else if !strings.Contains(address, ":") {
		address = "localhost:" + address
	}
	c, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	reply, err := io.ReadAll(c)
	return string(reply), err
}

// failures are how replies that report a failure begin: ours, and the original's own, but for "Connection N out of range".
var failures = []string{"error: ", "do_cmd: ", "Exit is not enabled", "Unable to create webstats", "unable to set source address"}

func failed(reply string) bool {
	for line := range strings.Lines(reply) {
		if strings.HasPrefix(line, "Connection ") && strings.HasSuffix(line, " out of range\n") {
			return true
		}
		for _, f := range failures {
			if strings.HasPrefix(line, f) {
				return true
			}
		}
	}
	return false
}
