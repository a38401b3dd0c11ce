// Package control is the one language of the configuration file, the control port and the -o flag: a table of commands
// (penctl(1)), how a line of them is read, and the port that takes them. A command changes a proxy's settings through one
// Update, a file likewise as a whole: all of it or nothing.
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

	"edgepen/proxy"
)

// Interpreter runs commands against a proxy.
type Interpreter struct {
	Proxy *proxy.Proxy

	// Control is the control address as it was given, which "control" prints; empty for none.
	Control string
	// ConfigFile is where "write" writes to if it is not told; empty for nowhere.
	ConfigFile string
	// CommandLine is a command line that goes with a file of settings, for a comment in what "write" writes: the flags that
	// only the start can set; nil for none.
	CommandLine func(file string) string
	// Exit is called by "exit", where -X allows it.
	Exit func()
	// Reload does what HUP does; nil where nothing runs yet.
	Reload func() error
	// PassedOver is told of each unknown command, most often a mistyped one, and in which file and line it stands; nil: nobody is.
	PassedOver func(remark string)
}

// call is one command being run.
type call struct {
	*Interpreter
	*proxy.Draft
	cmd   *command
	words []string // what follows the command's name
	out   *strings.Builder
	files []string // the files being included, outermost first
	where string   // the file and line of the command; empty: it stands in none
	no    bool     // the command stood behind "no"
	// hushed: the words of unknown commands are not repeated, since the file may be none of ours, and whoever asks for it over
	// the control port need not be allowed to read it.
	hushed bool
	then   func() error
}

func (c *call) printf(format string, args ...any) { fmt.Fprintf(c.out, format, args...) }

// Run runs one command line and returns its reply, which may be empty. After an error nothing has changed.
func (i *Interpreter) Run(line string) (string, error) {
	words, err := split(line)
	if err != nil || len(words) == 0 {
		return "", err
	}
	c := &call{Interpreter: i, out: new(strings.Builder)}
	err = i.Proxy.Update(func(d *proxy.Draft) error {
		c.Draft = d
		return c.run(words)
	})
	if err == nil && c.then != nil {
		err = c.then()
	}
	if err != nil { // what was said on the way has not come true
		return "", err
	}
	return c.out.String(), nil
}

// Load runs the commands of a file, all or none, and returns their replies. An unknown command gets its reply and is
// passed over, as it always was; any other error names the file and the line and undoes the file.
func (i *Interpreter) Load(path string) (string, error) { return i.load(path, i.Proxy.Update) }

// LoadAgain is Load and at the same time the proxy's Reload. An empty path is a file with nothing in it.
func (i *Interpreter) LoadAgain(path string) (string, error) { return i.load(path, i.Proxy.Reload) }

func (i *Interpreter) load(path string, update func(func(*proxy.Draft) error) error) (string, error) {
	out := new(strings.Builder)
	err := update(func(d *proxy.Draft) error {
		if path == "" {
			return nil
		}
		return (&call{Interpreter: i, Draft: d, out: out}).include(path)
	})
	return out.String(), err
}

// run carries out one command.
func (c *call) run(words []string) error {
	name := words[0]
	c.words, c.no = words[1:], false
	if name == "no" {
		if len(words) < 2 {
			return errors.New(`"no" wants the setting to switch off: no NAME`)
		}
		name, c.words, c.no = words[1], words[2:], true
	}
	c.cmd = lookup(name)
	switch {
	case c.cmd == nil && c.no && (c.hushed || len(c.files) > 0 && !plausible.MatchString(name)):
		return errors.New("there is no such setting to switch off")
	case c.cmd == nil && c.no:
		return fmt.Errorf("no %s: there is no such setting", name)
	case c.cmd == nil:
		c.passOver(name)
		return nil
	case c.no && !c.cmd.no && deaf[name]:
		c.Warn(fmt.Sprintf("no %s has no effect, as in the original; usage: %s", name, c.cmd.usage()))
		return nil
	case c.no && !c.cmd.no:
		return fmt.Errorf("no %s: %s cannot be switched off; usage: %s", name, name, c.cmd.usage())
	}
	if n := c.cmd.takes(c.no); len(c.words) > n {
		return fmt.Errorf("%s: unexpected word %q; usage: %s", name, c.words[n], c.cmd.usage())
	}
	return c.cmd.run(c)
}

// maxDepth bounds how deeply files may include one another.
const maxDepth = 16

// maxFile bounds the size of a configuration file, in bytes.
const maxFile = 16 << 20

// include runs the commands of a file.
func (c *call) include(path string) error {
	whole, err := filepath.Abs(path)
	if err != nil {
		whole = path
	}
	if slices.Contains(c.files, whole) {
		return fmt.Errorf("%s includes itself", path)
	}
	if len(c.files) == maxDepth {
		return fmt.Errorf("%s: files include one another more than %d deep", path, maxDepth)
	}
	text, err := readFile(path)
	if err != nil {
		return err
	}
	if what := strange(text); what != "" {
		return fmt.Errorf("%s %s; expected a configuration file: a command in each line", path, what)
	}
	files := append(slices.Clone(c.files), whole)
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

func readFile(path string) (string, error) {
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
