package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strconv"
	"strings"

	"edgepen/cmd/pen/getopt"
	"edgepen/proxy"
	"edgepen/proxy/control"
)

// options is what a command line asks for beside the proxy's own settings, which go to the proxy at once: the order of
// flags counts, since -o runs commands between them.
type options struct {
	in     *control.Interpreter
	stdout io.Writer
	stderr io.Writer
	log    *slog.Logger // from serve on

	help, version, demo bool
	check, explain      bool
	foreground          bool
	windowsService      bool
	config              string // -F
	configText          string // what was read there
	readOnce            bool   // and cannot be read again
	control             string // -C
	chroot              string // -j
	user                string // -u
	pidFile             string // -p
	listen              []proxy.Listener
	redirects           []proxy.Listener
	emergency, abuse    string   // -e, -B: they may need the listening port, which is not known yet
	passedOver          []string // unknown commands of -F and -o
}

// flag is a row of the table of flags.
type flag struct {
	getopt.Option
	group string // heading in the help text
	help  string
}

// on makes a flag without a value, with one that does.
func on(letters, long, group, help string, do func()) flag {
	return flag{getopt.Option{Letters: letters, Long: long, Set: func(string) error { do(); return nil }}, group, help}
}

func with(letters, long, arg, group, help string, set func(string) error) flag {
	return flag{getopt.Option{Letters: letters, Long: long, Arg: arg, Set: set}, group, help}
}

// text is a flag that stores its value.
func text(letters, long, arg, group, help string, to *string) flag {
	return with(letters, long, arg, group, help, func(v string) error {
		if v == "" {
			return errors.New("an empty value; expected " + arg)
		}
		*to = v
		return nil
	})
}

// do runs the command that a flag stands for. Its error is the flag's, and so without the command's name.
func (o *options) do(line string) error {
	_, err := o.in.Run(line)
	if err == nil {
		return nil
	}
	name, _, _ := strings.Cut(line, " ")
	if text, ok := strings.CutPrefix(err.Error(), name+": "); ok {
		return errors.New(text)
	}
	return err
}

// setting is a flag that sets the setting of the same long name, a command.
func (o *options) setting(letters, long, arg, command, group, help string) flag {
	return with(letters, long, arg, group, help, func(v string) error {
		return o.do(command + " " + control.Quote(v))
	})
}

// toggle is a flag that runs a command.
func (o *options) toggle(letters, long, command, group, help string) flag {
	return with(letters, long, "", group, help, func(string) error {
		return o.do(command)
	})
}

// edit is a flag that changes the proxy's configuration.
func (o *options) edit(letters, long, arg, group, help string, change func(c *proxy.Config, v string) error) flag {
	return with(letters, long, arg, group, help, func(v string) error {
		return o.in.Proxy.Update(func(d *proxy.Draft) error { return change(&d.Config, v) })
	})
}

// count is a flag whose value is a number from low on; what is below min becomes min, as the original does.
func (o *options) count(letters, long, group, help string, low, min int, field func(*proxy.Config) *int) flag {
	return o.edit(letters, long, "N", group, help, func(c *proxy.Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("%q is no number; expected one from %d to %d", v, low, math.MaxInt32)
		}
		if err != nil || n < low || n > math.MaxInt32 {
			return fmt.Errorf("%s is out of range; expected a number from %d to %d", v, low, math.MaxInt32)
		}
		*field(c) = max(n, min)
		return nil
	})
}

// obsolete is a flag that has lost its meaning.
func (o *options) obsolete(letters, arg string) flag {
	return with(letters, "", arg, "Accepted without effect", "obsolete", func(string) error {
		fmt.Fprintf(o.stderr, "pen: -%s is obsolete and has no effect\n", letters)
		return nil
	})
}

// replies is where the replies of commands go: the standard output, unless the access log is there, whose lines others read.
func (o *options) replies() io.Writer {
	if o.in.Proxy.Config().AccessLog == "-" {
		return o.stderr
	}
	return o.stdout
}

// runCommand is -o: a command, run now, with its reply.
func (o *options) runCommand(line string) error {
	in := *o.in
	in.PassedOver = func(remark string) { o.passedOver = append(o.passedOver, "-O: "+remark) }
	reply, err := in.Run(line)
	io.WriteString(o.replies(), reply) //nolint:errcheck // nobody listens
	if err != nil {
		return commandError{fmt.Errorf("%s: %v", line, err)}
	}
	return nil
}

// commandError is the error of a control command on the command line.
type commandError struct{ error }

// addRedirect reads --redirect.
func (o *options) addRedirect(v string) error {
	if _, _, err := proxy.SplitListen(v); err != nil {
		return err
	}
	o.redirects = append(o.redirects, proxy.Listener{Address: v, TLS: proxy.Redirect})
	return nil
}

// addListener reads --listen: an address and, after a comma, tls or plain.
func (o *options) addListener(v string) error {
	address, how, _ := strings.Cut(v, ",")
	use, ok := map[string]proxy.TLSUse{"": proxy.TLSIfCertificate, "tls": proxy.TLSAlways, "plain": proxy.TLSNever, "redirect": proxy.Redirect}[how]
	if !ok {
		return fmt.Errorf("%q: unknown word %q after the comma; expected tls, plain or redirect", v, how)
	}
	if _, _, err := proxy.SplitListen(address); err != nil {
		return err
	}
	o.listen = append(o.listen, proxy.Listener{Address: address, TLS: use})
	return nil
}

// parse reads a command line; the operands are left.
func (o *options) parse(args []string, posix bool) ([]string, error) {
	flags := o.flags()
	plain := make([]getopt.Option, len(flags))
	for i, f := range flags {
		plain[i] = f.Option
	}
	operands, err := getopt.Parse(args, plain, posix)
	if unknown, ok := errors.AsType[getopt.Unknown](err); ok {
		var names []string
		for _, f := range plain {
			names = append(names, f.Long)
		}
		if near := control.Nearest(string(unknown), names); near != "" {
			err = fmt.Errorf("%v; is it --%s?", err, near)
		}
	}
	return operands, err
}
