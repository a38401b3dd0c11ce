package getopt

import (
	"errors"
	"strings"
	"testing"
)

func options(log *[]string) []Option {
	note := func(name string) func(string) error {
		return func(v string) error {
			if v == "bad" {
				return errors.New("bad is no value")
			}
			*log = append(*log, name+v)
			return nil
		}
	}
	return []Option{
		{Letters: "b", Long: "blacklist", Arg: "SECONDS", Set: note("b=")},
		{Letters: "f", Long: "foreground", Set: note("f")},
		{Letters: "H", Long: "http", Set: note("H")},
		{Letters: "X", Set: note("X")},
		{Letters: "Oo", Long: "option", Arg: "COMMAND", Set: note("O=")},
		{Long: "self-signed", Arg: "[NAME,…]", Set: note("self=")},
		{Long: "self-check", Set: note("check")},
		{Long: "blank", Set: note("blank")},
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args  string
		posix bool
		want  string // what was set, then the operands; or the error
	}{
		{args: "-fHX 80 a b", want: "f H X : 80 a b"},
		{args: "-b30 80", want: "b=30 : 80"},
		{args: "-b 30 80", want: "b=30 : 80"},
		{args: "-fb30 80", want: "f b=30 : 80"},
		{args: "-fb 30 80", want: "f b=30 : 80"},
		{args: "-bf 80", want: "b=f : 80"},
		{args: "80 host1 -f", want: "f : 80 host1"},
		{args: "80 -- -f", want: ": 80 -f"},
		{args: "80 host1 -f", posix: true, want: ": 80 host1 -f"},
		{args: "-f 80 -H", posix: true, want: "f : 80 -H"},
		{args: "-o one -O two -othree", want: "O=one O=two O=three :"},
		{args: "- -f", want: "f : -"},
		{args: "-b -f 80", want: "b=-f : 80"},
		{args: "-b -- 80", want: "b=-- : 80"},
		{args: "--blacklist 30 --http", want: "b=30 H :"},
		{args: "--blacklist=30", want: "b=30 :"},
		{args: "--blacklist=", want: "b= :"},
		{args: "--fore --htt 80", want: "f H : 80"},
		{args: "--self-signed", want: "self= :"},
		{args: "--self-signed=a,b", want: "self=a,b :"},
		{args: "--self-signed 80", want: "self= : 80"},
		{args: "-q", want: "unknown flag -q"},
		{args: "-fq", want: "unknown flag -q"},
		{args: "-b", want: "-b wants a value: -b SECONDS"},
		{args: "--blacklist", want: "--blacklist wants a value: --blacklist SECONDS"},
		{args: "--http=yes", want: "--http takes no value"},
		{args: "--nothing", want: "unknown flag --nothing"},
		{args: "--self", want: "--self is ambiguous: --self-signed, --self-check"},
		{args: "--=x", want: "unknown flag --"},
		{args: "-b bad", want: "-b: bad is no value"},
		{args: "--blacklist=bad", want: "--blacklist: bad is no value"},
	} {
		var got []string
		operands, err := Parse(strings.Fields(c.args), options(&got), c.posix)
		said := strings.TrimSpace(strings.Join(append(append(got, ":"), operands...), " "))
		if err != nil {
			said = err.Error()
		}
		if said != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.args, said, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("-fb30\x00--http\x00--\x00-x")
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\x00")
		var got []string
		operands, err := Parse(args, options(&got), false)
		if err == nil && len(got)+len(operands) > len(line)+len(args) {
			t.Errorf("%q became %q and %q", args, got, operands)
		}
	})
}
