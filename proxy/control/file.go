package control

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// maxDepth bounds how deeply files may include one another.
const maxDepth = 16

// maxFile bounds the size of a configuration file, in bytes.
const maxFile = 16 << 20

// include runs the commands of a file.
func (c *call) include(path string) error {
	if slices.Contains(c.files, absolute(path)) {
		return fmt.Errorf("%s includes itself", path)
	}
	if len(c.files) == maxDepth {
		return fmt.Errorf("%s: files include one another more than %d deep", path, maxDepth)
	}
	text, err := readFile(path)
	if err != nil {
		return err
	}
	return c.runAll(path, text)
}

// runAll runs the commands of a file that has been read.
func (c *call) runAll(path, text string) error {
	if what := strange(text); what != "" {
		return fmt.Errorf("%s %s; expected a configuration file: a command in each line", path, what)
	}
	files := append(slices.Clone(c.files), absolute(path))
	text = strings.ReplaceAll(text, "\r\n", "\n")
	for n, line := range strings.Split(strings.ReplaceAll(text, "\r", "\n"), "\n") {
		words, err := split(line)
		if err == nil && len(words) > 0 {
			where := fmt.Sprintf("%s:%d", path, n+1)
			err = (&call{Interpreter: c.Interpreter, Draft: c.Draft, out: c.out, files: files, where: where, hushed: c.hushed}).run(words)
		}
		if err != nil && c.hushed {
			err = errors.New("there is a mistake in this line; -F and -o say which")
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %v", path, n+1, err)
		}
	}
	return nil
}

func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// streamTime is how long a pipe may take to say all it has to say, at the start.
const streamTime = 10 * time.Second

// ReadFirst reads a configuration file at the start, when it may be a pipe or a device as well. once: it is one of those, which
// cannot be read again.
func ReadFirst(path string) (text string, once bool, err error) {
	info, err := os.Stat(path)
	if err != nil || path == os.DevNull || info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) == 0 {
		text, err = readFile(path)
		return text, false, err
	}
	type result struct {
		text string
		err  error
	}
	read := make(chan result, 1)
	go func() { // which waits for as long as nobody writes, and ends with the process then
		text, err := readStream(path)
		read <- result{text, err}
	}()
	select {
	case r := <-read:
		return r.text, true, r.err
	case <-time.After(streamTime):
		return "", true, fmt.Errorf("configuration file %s: it has no end after %v; is there somebody who writes to it?", path, streamTime)
	}
}

func readStream(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", cannotRead(path, err)
	}
	defer f.Close()
	return readAll(path, f)
}

// readFile reads a regular file, or what is always empty. Anything else might hold up everybody who waits for the lock.
func readFile(path string) (string, error) {
	if path == os.DevNull { // also where a changed root has none
		return "", nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", cannotRead(path, err)
	}
	defer f.Close()
	info, err := f.Stat() // of what was opened: the path may be another file's by now
	if err != nil {
		return "", cannotRead(path, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return "", fmt.Errorf("configuration file %s: expected a regular file of at most %d bytes", path, maxFile)
	}
	return readAll(path, f)
}

func readAll(path string, f *os.File) (string, error) {
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1)) // the size that the system says is 0 in /proc
	if err != nil {
		return "", cannotRead(path, err)
	}
	if len(text) > maxFile {
		return "", fmt.Errorf("configuration file %s has more than %d bytes", path, maxFile)
	}
	return string(text), nil
}

// cannotRead names the file once.
func cannotRead(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("cannot read configuration file %s: %v", path, err)
}
