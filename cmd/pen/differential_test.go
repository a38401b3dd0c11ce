package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// difference is one deliberate deviation from the original: what a scenario observes under a title is not the same there.
type difference struct {
	scenario string // file of testdata/differential without .txtar
	observed string // title of the observation, and "> COMMAND" behind it where that is one of several replies
	reason   string // as the manual page words it under "DIFFERENCES FROM THE ORIGINAL PEN"
}

// TestDifferential runs every scenario of testdata/differential twice, once with the original and once with ours, and compares
// what they observed. What is not the same has to be a row of differences, and every row has to be true.
//
// A scenario is a script as TestScripts has them, where $PEN, $PENCTL, $PENLOG, $PENLOGD and $MERGELOGS are the programs of this
// run, "balance tested" starts the first, and "observe TITLE [FILE]" keeps what the last command printed, or what a file holds.
func TestDifferential(t *testing.T) {
	if _, err := os.Stat(original); err != nil {
		t.Skip("the original pen is not installed: there is nothing to compare with")
	}
	bin := buildPrograms(t)
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH")+string(os.PathListSeparator)+"/usr/sbin")
	theirs, ours := newRecords(), newRecords()
	t.Run("run", func(t *testing.T) {
		runScenarios(t, "original", theirs, filepath.Dir(original))
		runScenarios(t, "ours", ours, bin)
	})
	if t.Failed() {
		return
	}
	compareRecords(t, theirs, ours)
}

// runScenarios runs all scenarios with the programs of one directory, beside those with the others.
func runScenarios(t *testing.T, name string, kept *records, bin string) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		testscript.Run(t, testscript.Params{
			Dir:                filepath.Join("..", "..", "testdata", "differential"),
			RequireUniqueNames: true,
			Condition:          condition,
			Cmds:               commands(),
			Deadline:           time.Now().Add(runTime),
			Setup: func(e *testscript.Env) error {
				if err := setup(e, &certificates{dir: t.TempDir()}); err != nil {
					return err
				}
				for _, program := range []string{"pen", "penctl", "penlog", "penlogd", "mergelogs"} {
					e.Setenv(strings.ToUpper(program), filepath.Join(bin, program))
				}
				w := e.Values[worldKey{}].(*world)
				w.record = kept.of(strings.TrimPrefix(filepath.Base(e.WorkDir), "script-"))
				return nil
			},
		})
	})
}

// records is what all scenarios of one program observed.
type records struct {
	mu   sync.Mutex
	seen map[string]*record
}

func newRecords() *records { return &records{seen: map[string]*record{}} }

func (r *records) of(scenario string) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := &record{text: map[string]string{}}
	r.seen[scenario] = one
	return one
}

// record is what one scenario observed: text by title, and the titles in their order.
type record struct {
	titles []string
	text   map[string]string
}

// observe keeps what the last command printed, or a file, for the comparison: observe TITLE [FILE].
func observe(ts *testscript.TestScript, neg bool, args []string) {
	r := worldOf(ts).record
	if neg || r == nil || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: observe TITLE [FILE], in a differential scenario")
	}
	file := "stdout"
	if len(args) == 2 {
		file = args[1]
	}
	text := normal(ts, ts.ReadFile(file))
	r.add(ts, args[0])
	title := args[0]
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "> ") { // each reply is compared by itself
			title = r.add(ts, args[0]+" "+strings.TrimSpace(line))
			continue
		}
		r.text[title] += line
	}
}

// add begins an observation. The same command asked again has its number behind it.
func (r *record) add(ts *testscript.TestScript, title string) string {
	base := title
	for n := 2; slices.Contains(r.titles, title); n++ {
		if !strings.Contains(title, " > ") {
			ts.Fatalf("there are two observations called %q", title)
		}
		title = fmt.Sprintf("%s #%d", base, n)
	}
	r.titles = append(r.titles, title)
	r.text[title] = ""
	return title
}

// What is different in every run, whoever runs.
var (
	dates       = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`)
	unixTimes   = regexp.MustCompile(`\b[12]\d{9}\b`)
	descriptors = regexp.MustCompile(`\b(downfd|upfd) = \d+`)
	starting    = regexp.MustCompile(`(?m)^(Error Opening file .*GeoIP|.*: (Before|After): conns = |pen: no system log).*\n`)
	pageFDs     = regexp.MustCompile(`(<tr>\n<td>\d+</td>\n)<td>\d+</td>\n<td>\d+</td>\n((?:<td>\d+</td>\n){4}</tr>)`)
	pageAges    = regexp.MustCompile(`(<tr>\n<td>\d+</td>\n<td>[^<]+</td>\n)<td>\d+</td>\n((?:<td>\d+</td>\n){4}</tr>)`)
	clientPorts = regexp.MustCompile(`\b(from|port) (127\.\d+\.\d+\.\d+|\[::1\]):\d+`)
)

// normal is text without times, process ids, descriptors, directories and ports.
func normal(ts *testscript.TestScript, text string) string {
	text = strings.ReplaceAll(text, "\r", "")
	text = strings.ReplaceAll(text, ts.Getenv("WORK"), "$WORK")
	for n := 1; n <= 9; n++ {
		name := "PORT" + strconv.Itoa(n)
		text = regexp.MustCompile(`\b`+ts.Getenv(name)+`\b`).ReplaceAllLiteralString(text, "$"+name)
	}
	if pid, err := os.ReadFile(ts.MkAbs("tested.pid")); err == nil && len(pid) > 0 {
		text = regexp.MustCompile(`\b`+string(pid)+`\b`).ReplaceAllLiteralString(text, "$PID")
	}
	text = starting.ReplaceAllString(text, "")
	text = pageFDs.ReplaceAllString(text, "$1<td>FD</td>\n<td>FD</td>\n$2")
	text = pageAges.ReplaceAllString(text, "$1<td>AGE</td>\n$2")
	text = dates.ReplaceAllString(text, "DATE")
	text = unixTimes.ReplaceAllString(text, "TIME")
	text = descriptors.ReplaceAllString(text, "$1 = FD")

	return clientPorts.ReplaceAllString(text, "$1 $2:PORT")
}

func compareRecords(t *testing.T, theirs, ours *records) {
	unused := map[difference]bool{}
	for _, d := range differences {
		unused[d] = true
	}
	for scenario, their := range theirs.seen {
		our := ours.seen[scenario]
		if our == nil || !slices.Equal(our.titles, their.titles) {
			t.Errorf("%s: the programs have not observed the same things", scenario)
			continue
		}
		for _, title := range their.titles {
			at := slices.IndexFunc(differences, func(d difference) bool { return d.scenario == scenario && d.observed == title })
			switch same := their.text[title] == our.text[title]; {
			case at >= 0 && same:
				t.Errorf("%s, %s: not different any more", scenario, title)
			case at < 0 && !same:
				t.Errorf("%s, %s: the original:\n%s\nours:\n%s", scenario, title, their.text[title], our.text[title])
			}
			if at >= 0 {
				delete(unused, differences[at])
			}
		}
	}
	for d := range unused {
		if _, err := os.Stat(filepath.Join("..", "..", "testdata", "differential", d.scenario+".txtar")); err == nil && theirs.seen[d.scenario] == nil {
			continue // left out by -run
		}
		t.Errorf("nothing is observed that fits %+v", d)
	}
}

// TestDifferencesAreInTheManual holds the reasons to what users can read.
func TestDifferencesAreInTheManual(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "pen.1"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), ".Sh DIFFERENCES FROM THE ORIGINAL PEN\n")
	section, _, _ = strings.Cut(section, "\n.Sh ")
	text := plain(section)
	for _, d := range differences {
		if !strings.Contains(text, d.reason) {
			t.Errorf("%s, %s: the manual page does not say %q", d.scenario, d.observed, d.reason)
		}
	}
}

// plain is mdoc's text in one line, without its macros; of those in front of a word that mean a sign the sign stays.
func plain(page string) string {
	var words []string
	for line := range strings.Lines(page) {
		request := strings.HasPrefix(line, ".")
		for _, word := range strings.Fields(strings.TrimPrefix(line, ".")) {
			switch {
			case !request:
				words = append(words, word)
			case word == "Nm":
				words = append(words, "pen")
			case len(word) == 1 && strings.ContainsAny(word, ",.;:)") && len(words) > 0:
				words[len(words)-1] += word
			case regexp.MustCompile(`^[A-Z][a-z]$`).MatchString(word):
				continue
			default:
				words = append(words, word)
			}
		}
	}
	return strings.Join(words, " ")
}

// differences is all of them.
var differences = []difference{
	{"command-line", "no arguments", "A usage error prints a message and the usage on standard error, with status 2"},
	{"command-line", "-t 0", "A usage error prints a message and the usage on standard error, with status 2"},
	{"command-line", "unknown flag", "A usage error prints a message and the usage on standard error, with status 2"},
	{"command-line", "missing value", "A usage error prints a message and the usage on standard error, with status 2"},
	{"command-line", "unknown protocol", "A usage error prints a message and the usage on standard error, with status 2"},
	{"daemon", "a port in use", "A daemon's parent waits until everything is open"},
	{"file-with-mistakes", "a bad argument", "A configuration file holds as a whole or not at all; the original goes on after errors"},
	{"user", "groups", "gives up root's supplementary groups too"},
	{"refused-connect", "choices", "A refused connect fails over and blacklists, as the original's manual says; in its program only a time-out does."},
	{"tracking-ends", "choices", "seconds is a new one at once, as the flag says; the original knows it until its place is needed."},
	{"abuse-with-the-default-list", "choices", "The abuse server asks no access list."},
	{"control-acl", "denied > control_acl", "denies is told so instead of left to guess."},
	{"control-acl", "denied > mode", "denies is told so instead of left to guess."},
	{"control-acl", "unmatched, permit last > control_acl", "denies is told so instead of left to guess."},
	{"control-acl", "unmatched, permit last > mode", "denies is told so instead of left to guess."},
	{"control-acl", "denied by the last > control_acl", "denies is told so instead of left to guess."},
	{"control-acl", "denied by the last > mode", "denies is told so instead of left to guess."},
	{"penctl", "no arguments", "says more: the address and the reason, and what else it takes."},
	{"penctl", "no command", "says more: the address and the reason, and what else it takes."},
	{"penctl", "nobody there", "says more: the address and the reason, and what else it takes."},
	{"penctl", "nobody there by TCP", "says more: the address and the reason, and what else it takes."},
	{"penctl", "unknown", "end with status 1, as do the original's own error texts"},
	{"penctl", "out of range", "end with status 1, as do the original's own error texts"},
	{"status-page", "without a file > status", "stands a line more where no file is set."},
	{"status-page", "without a file again > status", "stands a line more where no file is set."},
	{"commands", "reply > status", "stands a line more where no file is set."},
	{"status-page", "empty > status", "The status page ends with the databases and their dates"},
	{"status-page", "with a client > status", "The status page ends with the databases and their dates"},
	{"usr1-page", "page", "The status page ends with the databases and their dates"},
	{"write", "servers", "writes every setting, TLS and time-outs too"},
	{"write", "number of lines", "writes every setting, TLS and time-outs too"},
	{"commands", "reply > block", "which the original's manual has and its program calls unknown, are accepted without effect"},
	{"commands", "reply > delayed_forward", "which the original's manual has and its program calls unknown, are accepted without effect"},
	{"commands", "reply > ssl_sni_path $WORK", "is an error, and one that can be makes listeners speak TLS also where there is no"},
	{"commands-with-mistakes", "reply > mode extra", "is an error, and so is a word too many behind any command"},
	{"commands-with-mistakes", "reply > mode ; mode", "is an error, and so is a word too many behind any command"},
	{"commands-with-mistakes", "reply > \tmode", "Tabs separate words as well"},
	{"commands-with-mistakes", "reply > no", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > no nonsense", "is an error, and so is a word too many behind any command"},
	{"commands-with-mistakes", "reply > no no hash", "is an error, and so is a word too many behind any command"},
	{"commands-with-mistakes", "reply > blacklist abc", "A word that should be a number and is none is an error, not 0"},
	{"commands-with-mistakes", "reply > blacklist -1", "a slip of the pen must not become a setting."},
	{"commands-with-mistakes", "reply > timeout 0", "a slip of the pen must not become a setting."},
	{"commands-with-mistakes", "reply > tracking -5", "a slip of the pen must not become a setting."},
	{"commands-with-mistakes", "reply > client_acl 10", "There are 256 lists, not 10"},
	{"commands-with-mistakes", "reply > client_acl abc", "A word that should be a number and is none is an error, not 0"},
	{"commands-with-mistakes", "reply > conn_max abc", "A word that should be a number and is none is an error, not 0"},
	{"commands-with-mistakes", "reply > debug abc", "A word that should be a number and is none is an error, not 0"},
	{"commands-with-mistakes", "reply > idle_timeout abc", "A word that should be a number and is none is an error, not 0"},
	{"commands-with-mistakes", "reply > acl", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > acl 1", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > acl 1 frobnicate", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > acl 1 permit", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > acl 1 permit 1.2.3", "a slip of the pen must not become a setting."},
	{"commands-with-mistakes", "reply > acl 1 permit 1.2.3.4.5", "a slip of the pen must not become a setting."},
	{"commands-with-mistakes", "reply > server", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > server 0 nonsense", "is an error, and so is a word too many behind any command"},
	{"commands-with-mistakes", "reply > server 0 port abc", "A word that should be a number and is none is an error, not 0"},
	{"commands-with-mistakes", "reply > server 0 max", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > server abc", "A word that should be a number and is none is an error, not 0"},
	{"commands-with-mistakes", "reply > server 5 address not-a-host.invalid", "Errors of commands begin with"},
	{"commands-with-mistakes", "reply > tcp_fastclose sideways", "a slip of the pen must not become a setting."},
	{"commands-with-mistakes", "reply > include", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > include /nonexistent/file", "Errors of commands begin with"},
	{"commands-with-mistakes", "reply > connection abc", "A word that should be a number and is none is an error, not 0"},
	{"commands-with-mistakes", "reply > write /nonexistent/file", "Errors of commands begin with"},
	{"commands-with-mistakes", "reply > acl 1 permit country", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > acl 1 permit country XX", "So is an unknown country."},
	{"commands-with-mistakes", "reply > acl 1 permit nonsense", "a slip of the pen must not become a setting."},
	{"commands-with-mistakes", "reply > acl 1 permit 1.2.3.4 nonsense", "a slip of the pen must not become a setting."},
	{"commands-with-mistakes", "reply > acl 1 permit ::1/200", "a slip of the pen must not become a setting."},
	{"commands-with-mistakes", "reply > acl 1 permit nonsense::x", "a slip of the pen must not become a setting."},
	{"commands-with-mistakes", "reply > no acl x", "A word that should be a number and is none is an error, not 0"},
	{"commands-with-mistakes", "reply > server 0 acl", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > server 0 port", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > server 0 address", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > close x", "A word that should be a number and is none is an error, not 0"},
	{"commands-with-mistakes", "reply > recent x", "A word that should be a number and is none is an error, not 0"},
	{"commands-with-mistakes", "reply > recent -1", "a slip of the pen must not become a setting."},
	{"commands-with-mistakes", "reply > pending_max", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > pending_max 0", "a slip of the pen must not become a setting."},
	{"commands-with-mistakes", "reply > pending_max abc", "A word that should be a number and is none is an error, not 0"},
	{"commands-with-mistakes", "reply > dsr_if", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > dsr_ip", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > no dsr_ip extra", "is an error, and so is a word too many behind any command"},
	{"commands-with-mistakes", "reply > transparent extra", "is an error, and so is a word too many behind any command"},
	{"commands-with-mistakes", "reply > no ascii extra", "is an error, and so is a word too many behind any command"},
	{"commands-with-mistakes", "reply > no ssl_option no_tlsv1", "is an error, and so is a word too many behind any command"},
	{"commands-with-mistakes", "reply > ssl_ciphers", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > ssl_option", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > ssl_option nonsense", "A cipher string with a mistake is an error, as is an unknown option"},
	{"commands-with-mistakes", "reply > ssl_sni_path", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > write", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > socket", "A command without what it needs is an error"},
	{"commands-with-mistakes", "reply > tarpit_acl 10", "There are 256 lists, not 10"},
	{"switched-off", "reply > idle_timeout", "What can be set can be switched off"},
	{"switched-off", "reply > tarpit_acl", "What can be set can be switched off"},
	{"switched-off", "where connections come from", "What can be set can be switched off"},
	{"commands-with-mistakes", "settings at the end", "a slip of the pen must not become a setting."},
	{"udp-refused", "answers", "A datagram that is refused makes its server fail, as a connect does, and goes to the next one."},
	{"udp-large", "more than 32768 bytes", "Datagrams of more than 32768 bytes and empty ones pass unharmed; the original cuts the former"},
}
