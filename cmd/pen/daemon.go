package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// A daemon is a second process: the first starts it, waits for its word that everything is open, and ends with the status
// that tells the shell how it went. The Go runtime cannot fork, and nothing is lost by starting anew.

// readyVariable tells the second process that it is one; descriptor 3 is then the pipe for its word.
const readyVariable = "EDGEPEN_READY"

const readyWord = "ready"

// childFailed is the status of a second process that has said why it ended.
type childFailed struct{ status int }

func (e childFailed) Error() string { return fmt.Sprintf("the daemon ended with status %d", e.status) }

func isChild() bool { return os.Getenv(readyVariable) != "" }

// daemonise starts the second process and waits until it serves or ends.
func daemonise() error {
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
	cmd.Env = append(os.Environ(), readyVariable+"=1")
	cmd.Stderr = os.Stderr // until it is ready; stdout has had the replies of -o already
	cmd.ExtraFiles = []*os.File{w}
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
		return childFailed{exit.ExitCode()}
	}
	return fmt.Errorf("the daemon ended before it was ready: %v", err)
}

// ready tells whoever waits that everything is open, and lets go of the terminal.
func (o *options) ready(h *logHandler) error {
	if !isChild() {
		return nil
	}
	os.Unsetenv(readyVariable)
	logged := h.useSyslog()
	if logged != nil {
		fmt.Fprintf(o.stderr, "pen: %v: messages are lost from now on; -f shows them\n", logged)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err == nil {
		err = replaceStderr(null)
		null.Close()
	}
	pipe := os.NewFile(3, "ready")
	defer pipe.Close()
	if _, werr := pipe.WriteString(readyWord); werr != nil {
		err = errors.Join(err, werr)
	}
	return err
}
