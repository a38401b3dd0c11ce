// Package daemon puts a program into the background and takes its rights away: what pen and penlogd have in common.
//
// A daemon is a second process: the first starts it, waits for its word that everything is open, and ends with the status
// that tells the shell how it went. The Go runtime cannot fork, and nothing is lost by starting anew.
package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// readyVariable tells the second process that it is one, and by the value withInput that its standard input is what the first
// one has read for it; descriptor 3 is then the pipe for its word, and 4 is /dev/null.
const (
	readyVariable = "EDGEPEN_READY"
	withInput     = "input"
)

const readyWord = "ready"

// Failed is the error of a second process that has said itself why it ended.
type Failed struct{ Status int }

func (e Failed) Error() string { return fmt.Sprintf("the daemon ended with status %d", e.Status) }

// IsChild reports whether this is the second process.
func IsChild() bool { return os.Getenv(readyVariable) != "" }

// Given is what the first process has read for this one (StartWith), if it has.
func Given() (text string, ok bool, err error) {
	if os.Getenv(readyVariable) != withInput {
		return "", false, nil
	}
	input, err := io.ReadAll(os.Stdin)
	return string(input), true, err
}

// Start starts the second process, with the same arguments, and returns once it is ready or has ended.
func Start() error { return start("1", nil) }

// StartWith is Start and gives the second process what it cannot read itself: text that came from a pipe.
func StartWith(text string) error { return start(withInput, strings.NewReader(text)) }

func start(how string, input io.Reader) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("the daemon cannot be started: %v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("the daemon cannot be started: %v", err)
	}
	defer r.Close()
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), readyVariable+"="+how)
	cmd.Stdin = input
	cmd.Stderr = os.Stderr                             // until it is ready; stdout has had the replies of -o already
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0) // for Ready, which may be in a root without it
	if err != nil {
		return fmt.Errorf("the daemon cannot be started: %v", err)
	}
	defer null.Close()
	cmd.ExtraFiles = []*os.File{w, null}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return fmt.Errorf("the daemon cannot be started: %v", err)
	}
	word, _ := io.ReadAll(io.LimitReader(r, int64(len(readyWord))))
	if string(word) == readyWord {
		return nil
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return Failed{exit.ExitCode()}
	}
	return fmt.Errorf("the daemon ended before it was ready: %v", err)
}

// Ready tells whoever waits that everything is open, and lets go of the terminal. It does nothing in a process that Start has
// not started.
func Ready() error {
	if !IsChild() {
		return nil
	}
	os.Unsetenv(readyVariable) //nolint:errcheck // it is there
	null := os.NewFile(4, os.DevNull)
	err := replaceStderr(null)
	null.Close()
	pipe := os.NewFile(3, "ready")
	defer pipe.Close()
	if _, werr := pipe.WriteString(readyWord); werr != nil {
		err = errors.Join(err, werr)
	}
	return err
}
