// Package control is the one language of the configuration file, the control port and the -o flag: a table of commands
// (penctl(1)), how a line of them is read, and the port that takes them. A command changes a proxy's settings through one
// Update, a file likewise as a whole: all of it or nothing.
package control

import (
	"errors"
	"fmt"
	"strings"

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

// Load runs the commands of a file that has been read, all or none, and returns their replies. An unknown command gets its
// reply and is passed over, as it always was; any other error names the file and the line and undoes the file.
func (i *Interpreter) Load(path, text string) (string, error) {
	return i.load(i.Proxy.Update, func(c *call) error { return c.runAll(path, text) })
}

// LoadAgain reads a file, does what Load does and is at the same time the proxy's Reload. An empty path is a file with nothing in it.
func (i *Interpreter) LoadAgain(path string) (string, error) {
	return i.load(i.Proxy.Reload, func(c *call) error {
		if path == "" {
			return nil
		}
		return c.include(path)
	})
}

func (i *Interpreter) load(update func(func(*proxy.Draft) error) error, run func(*call) error) (string, error) {
	out := new(strings.Builder)
	err := update(func(d *proxy.Draft) error { return run(&call{Interpreter: i, Draft: d, out: out}) })
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
