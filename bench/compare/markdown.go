package main

import (
	"fmt"
	"slices"
	"strings"
)

// markdown is the report for people.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# edgepen and its peers, side by side\n\n")
	fmt.Fprintf(&b, "%s, %s, %d CPUs, %s; rounds: %d of %s\n\n    %s\n\n", r.Date, r.Kernel, r.CPUs, r.Go, r.Rounds, r.Duration, r.Command)
	for _, c := range r.contenders {
		if v := r.Versions[c.name]; v != "" {
			fmt.Fprintf(&b, "- %s: %s\n", c.name, oneLine(v))
		}
	}
	if len(r.Missing) > 0 {
		fmt.Fprintf(&b, "- not installed: %s\n", strings.Join(r.Missing, ", "))
	}
	b.WriteString("\nMedian of the rounds (lowest–highest). Lower is better; under about 10 % is a tie.\n\n")
	r.table(&b)
	r.notes(&b)
	return b.String()
}

// table writes one row a workload, one column a contender.
func (r *report) table(b *strings.Builder) {
	header := []string{"workload", "unit"}
	for _, c := range r.contenders {
		header = append(header, c.name)
	}
	header = append(header, "edgepen / best peer")
	row(b, header)
	row(b, slices.Repeat([]string{"---"}, len(header)))
	for _, w := range r.workloads {
		cells := []string{w.id + " " + w.title, w.unit.figure + " / " + w.unit.name}
		for _, c := range r.contenders {
			cells = append(cells, r.cell(w, c))
		}
		row(b, append(cells, r.ratioCell(w)))
	}
}

func row(b *strings.Builder, cells []string) {
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

func (r *report) cell(w workload, c contender) string {
	mid, low, high := r.find(w.id, c.name).figures()
	if mid == 0 {
		return "–"
	}
	return fmt.Sprintf("%s (%s–%s)", number(mid), number(low), number(high))
}

func (r *report) ratioCell(w workload) string {
	ratio, err := r.ratio(w.id)
	if err != nil {
		return "–"
	}
	_, name := r.best(w.id)
	return fmt.Sprintf("%.2f (%s)", ratio, name)
}

// notes tells why figures are missing and what TLS was negotiated.
func (r *report) notes(b *strings.Builder) {
	r.section(b, "No figure", (*result).failure)
	r.section(b, "Negotiated", func(res *result) string {
		if res.failure() != "" {
			return ""
		}
		return res.Samples[0].TLS
	})
}

// section lists what tell says of the results, with the workloads of a contender of which it says the same in one line.
func (r *report) section(b *strings.Builder, title string, tell func(*result) string) {
	var lines []string
	workloads := map[string][]string{}
	for _, res := range r.Results {
		text := oneLine(tell(res))
		if text == "" {
			continue
		}
		line := res.Contender + ": " + text
		if workloads[line] == nil {
			lines = append(lines, line)
		}
		workloads[line] = append(workloads[line], res.Workload)
	}
	if len(lines) > 0 {
		fmt.Fprintf(b, "\n## %s\n\n", title)
	}
	for _, line := range lines {
		fmt.Fprintf(b, "- %s (%s)\n", line, strings.Join(workloads[line], ", "))
	}
}
