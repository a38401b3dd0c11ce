// Package getopt reads command lines by the rules of GNU getopt_long(3): flags cluster ("-Ur", "-fHX"), a flag's value
// may be attached ("-b30", "--blacklist=30") or be the next word, flags and operands may mix, "--" ends the flags, a long
// name may be shortened as long as it stays unambiguous, and with POSIXLY_CORRECT the first operand ends the flags.
package getopt

import (
	"fmt"
	"slices"
	"strings"
)

// Unknown is the error of a long name that there is not.
type Unknown string

// Error names the flag.
func (u Unknown) Error() string { return "unknown flag --" + string(u) }

// Option is a flag.
type Option struct {
	Letters string // one-letter names, "" for none
	Long    string // name after "--", "" for none
	// Arg names the value in the usage; "" for a flag without one, "[…]" for one whose value may be left out (it is then
	// always attached: "--name=value").
	Arg string
	Set func(value string) error // called in the order of the command line
}

func (o *Option) required() bool { return o.Arg != "" && o.Arg[0] != '[' }

// Parse sets the options that args holds and returns the operands. posix stops at the first operand. An error names the
// flag it is about.
func Parse(args []string, options []Option, posix bool) (operands []string, err error) {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--":
			return append(operands, args...), nil
		case strings.HasPrefix(word, "--"):
			args, err = long(word[2:], args, options)
		case len(word) > 1 && word[0] == '-':
			args, err = cluster(word[1:], args, options)
		case posix:
			return append(append(operands, word), args...), nil
		default:
			operands = append(operands, word)
		}
		if err != nil {
			return nil, err
		}
	}
	return operands, nil
}

// cluster sets the flags of a word such as "fHX" or "b30" and returns the words that are left.
func cluster(word string, args []string, options []Option) ([]string, error) {
	for i := range len(word) {
		letter := word[i]
		at := slices.IndexFunc(options, func(o Option) bool { return strings.IndexByte(o.Letters, letter) >= 0 })
		if at < 0 {
			return nil, fmt.Errorf("unknown flag -%c", letter)
		}
		o := &options[at]
		value := ""
		if o.required() {
			if value = word[i+1:]; value == "" {
				if len(args) == 0 {
					return nil, fmt.Errorf("-%c wants a value: -%c %s", letter, letter, o.Arg)
				}
				value, args = args[0], args[1:]
			}
		}
		if err := o.Set(value); err != nil {
			return nil, fmt.Errorf("-%c: %w", letter, err)
		}
		if o.required() {
			break
		}
	}
	return args, nil
}

// long sets the flag of a word such as "blacklist=30" and returns the words that are left.
func long(word string, args []string, options []Option) ([]string, error) {
	name, value, attached := strings.Cut(word, "=")
	o, err := find(name, options)
	if err != nil {
		return nil, err
	}
	switch {
	case attached && o.Arg == "":
		return nil, fmt.Errorf("--%s takes no value", o.Long)
	case !attached && o.required() && len(args) == 0:
		return nil, fmt.Errorf("--%s wants a value: --%s %s", o.Long, o.Long, o.Arg)
	case !attached && o.required():
		value, args = args[0], args[1:]
	}
	if err := o.Set(value); err != nil {
		return nil, fmt.Errorf("--%s: %w", o.Long, err)
	}
	return args, nil
}

// find is the option with a long name, or the only one whose name begins so.
func find(name string, options []Option) (*Option, error) {
	var found []*Option
	for i := range options {
		o := &options[i]
		if o.Long == name && name != "" {
			return o, nil
		}
		if o.Long != "" && strings.HasPrefix(o.Long, name) {
			found = append(found, o)
		}
	}
	if name == "" || len(found) == 0 {
		return nil, Unknown(name)
	}
	if len(found) > 1 {
		var names []string
		for _, o := range found {
			names = append(names, "--"+o.Long)
		}
		return nil, fmt.Errorf("--%s is ambiguous: %s", name, strings.Join(names, ", "))
	}
	return found[0], nil
}
