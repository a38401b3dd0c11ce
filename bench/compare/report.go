package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report is what a comparison found. Its fields are what the JSON file holds.
type report struct {
	Date       string            `json:"date"`
	Kernel     string            `json:"kernel"`
	CPUs       int               `json:"cpus"`
	Go         string            `json:"go"`
	Command    string            `json:"command"`
	Rounds     int               `json:"rounds"`
	Duration   string            `json:"duration"`
	Versions   map[string]string `json:"versions"`
	Missing    []string          `json:"not_installed,omitempty"`
	Results    []*result         `json:"results"`
	contenders []contender
	workloads  []workload
}

// result is all samples of one contender in one workload.
type result struct {
	Workload  string   `json:"workload"`
	Contender string   `json:"contender"`
	Unit      string   `json:"unit"`
	Median    float64  `json:"median,omitempty"` // 0: no figure
	Samples   []sample `json:"samples"`
}

func newReport(opts options, found []contender, missing []string) *report {
	r := &report{
		Date: time.Now().Format(time.RFC3339), Kernel: kernel(), CPUs: runtime.NumCPU(), Go: runtime.Version(),
		Command: opts.line, Rounds: opts.rounds, Duration: opts.duration.String(),
		Versions: map[string]string{}, Missing: missing, contenders: found, workloads: opts.workloads,
	}
	for _, c := range found {
		r.Versions[c.name] = c.version
	}
	return r
}

// add takes in one sample.
func (r *report) add(w workload, c contender, s sample) {
	res := r.find(w.id, c.name)
	if res == nil {
		res = &result{Workload: w.id, Contender: c.name, Unit: w.unit.figure + " per " + w.unit.name}
		r.Results = append(r.Results, res)
	}
	res.Samples = append(res.Samples, s)
	res.Median, _, _ = res.figures()
}

// find returns nil if nothing was measured.
func (r *report) find(workload, contender string) *result {
	i := slices.IndexFunc(r.Results, func(res *result) bool { return res.Workload == workload && res.Contender == contender })
	if i < 0 {
		return nil
	}
	return r.Results[i]
}

// failure is the first error among the samples, "" for none and for no result.
func (res *result) failure() string {
	if res == nil {
		return ""
	}
	for _, s := range res.Samples {
		if s.Error != "" {
			return s.Error
		}
	}
	return ""
}

// figures returns zeros if any sample failed: a contender that makes errors gets no figure.
func (res *result) figures() (mid, low, high float64) {
	if res == nil || len(res.Samples) == 0 || res.failure() != "" {
		return 0, 0, 0
	}
	var all []float64
	for _, s := range res.Samples {
		all = append(all, s.Figure)
	}
	return median(all), slices.Min(all), slices.Max(all)
}

// median is the middle value, or the mean of the two in the middle; all must not be empty.
func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}

// best is the lowest figure of a peer and whose it is; 0 if there is none.
func (r *report) best(workload string) (figure float64, name string) {
	for _, c := range r.contenders {
		mid, _, _ := r.find(workload, c.name).figures()
		if c.peer && mid > 0 && (figure == 0 || mid < figure) {
			figure, name = mid, c.name
		}
	}
	return figure, name
}

// ratio is edgepen's figure as a multiple of the best peer's.
func (r *report) ratio(workload string) (float64, error) {
	res := r.find(workload, edgepen)
	mine, _, _ := res.figures()
	best, _ := r.best(workload)
	switch {
	case res == nil:
		return 0, errors.New("edgepen was not measured")
	case mine == 0:
		return 0, fmt.Errorf("edgepen has no figure: %s", res.failure())
	case best == 0:
		return 0, errors.New("no peer has a figure")
	}
	return mine / best, nil
}

// write writes base.md and base.json, or nothing if base is empty.
func (r *report) write(base string) error {
	if base == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(base+".json", append(text, '\n'), 0o644),
		os.WriteFile(base+".md", []byte(r.markdown()), 0o644))
}

// number prints three significant digits.
func number(f float64) string {
	if f <= 0 {
		return "–"
	}
	decimals := 2 - int(math.Floor(math.Log10(f)))
	return strconv.FormatFloat(f, 'f', max(0, decimals), 64)
}

// oneLine makes text fit for a cell or a list item.
func oneLine(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}
