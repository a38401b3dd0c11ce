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

// TestDifferential runs every scenario of testdata/differential twice, once with the original and once with ours, and compares
// what they observed. What is not the same has to be in the table of manuals, and all that is there has to be true.
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
	expected := observations()
	for scenario, their := range theirs.seen {
		our := ours.seen[scenario]
		if our == nil || !slices.Equal(our.titles, their.titles) {
			t.Errorf("%s: the programs have not observed the same things", scenario)
			continue
		}
		for _, title := range their.titles {
			known := expected[observation{scenario, title}]
			switch same := their.text[title] == our.text[title]; {
			case known && same:
				t.Errorf("%s, %s: not different any more; both:\n%s", scenario, title, our.text[title])
			case !known && !same:
				t.Errorf("%s, %s: the original:\n%s\nours:\n%s", scenario, title, their.text[title], our.text[title])
			}
			delete(expected, observation{scenario, title})
		}
	}
	for o := range expected {
		if _, err := os.Stat(filepath.Join("..", "..", "testdata", "differential", o.scenario+".txtar")); err == nil && theirs.seen[o.scenario] == nil {
			continue // left out by -run
		}
		t.Errorf("nothing is observed that fits %+v", o)
	}
}
