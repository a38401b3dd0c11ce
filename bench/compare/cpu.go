package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc/PID/stat: USER_HZ is 100 on all of Linux's common architectures (proc(5)).
const tick = 10 * time.Millisecond

// process is what /proc/PID/stat tells, as far as it matters here.
type process struct {
	pid, parent, group int
	cpu                time.Duration // user and system, of all threads
	rss                int64         // KiB
	ended              bool          // only its parent has not collected it yet
}

// parseStat reads the content of /proc/PID/stat. The program's name stands in parentheses and may itself contain blanks and
// parentheses, so the fields are counted from the last one (proc(5): state is field 3).
func parseStat(stat string) (process, error) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return process{}, fmt.Errorf("no program name in parentheses: %.80q", stat)
	}
	fields := strings.Fields(stat[end+1:])
	const state = 3
	var failed error
	number := func(field int) int64 {
		if field-state >= len(fields) {
			failed = fmt.Errorf("field %d is missing", field)
			return 0
		}
		n, err := strconv.ParseInt(fields[field-state], 10, 64)
		failed = errors.Join(failed, err)
		return n
	}
	pid, err := strconv.Atoi(strings.TrimSpace(stat[:open]))
	p := process{
		ended:  len(fields) > 0 && (fields[0] == "Z" || fields[0] == "X"),
		pid:    pid,
		parent: int(number(4)),
		group:  int(number(5)),
		cpu:    time.Duration(number(14)+number(15)) * tick,
		rss:    number(24) * int64(os.Getpagesize()) / 1024,
	}
	return p, errors.Join(err, failed)
}

// readProcesses returns all processes under root, which is /proc. One that ends meanwhile is left out.
func readProcesses(root string) ([]process, error) {
	files, err := filepath.Glob(filepath.Join(root, "[0-9]*", "stat"))
	if err != nil {
		return nil, err
	}
	var all []process
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		p, err := parseStat(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// family picks the processes of a group and all their descendants, as far as they still run.
func family(all []process, group int) []process {
	members := map[int]bool{}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !members[p.pid] && (p.group == group || members[p.parent]) {
				members[p.pid], grown = true, true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p process) bool { return !members[p.pid] || p.ended })
}

// contenderProcesses returns the processes of a contender, in the order of their ids; having none is an error.
func contenderProcesses(group int) ([]process, error) {
	all, err := readProcesses("/proc")
	if err != nil {
		return nil, err
	}
	members := family(all, group)
	if len(members) == 0 {
		return nil, errors.New("the contender is gone")
	}
	slices.SortFunc(members, func(a, b process) int { return a.pid - b.pid })
	return members, nil
}

// cpuTime adds up what the processes have used so far. It is made to be quick, for it is read while a count of units runs on.
func cpuTime(members []process) (time.Duration, error) {
	var sum time.Duration
	for _, p := range members {
		cpu, err := processClock(p.pid)
		if err != nil {
			cpu, err = statTime(p.pid)
		}
		if err != nil {
			return 0, fmt.Errorf("process %d ended during the measurement", p.pid)
		}
		sum += cpu
	}
	return sum, nil
}

// statTime is the same time as processClock's, in ticks.
func statTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	p, err := parseStat(string(text))
	return p.cpu, err
}

// sameProcesses says whether two lists hold the same ids.
func sameProcesses(a, b []process) bool {
	return slices.EqualFunc(a, b, func(p, q process) bool { return p.pid == q.pid })
}

// memory adds up the contender's memory in KiB: Pss where the kernel tells it, which counts pages shared between processes once.
func memory(group int) (int64, error) {
	members, err := contenderProcesses(group)
	var sum int64
	for _, p := range members {
		sum += proportional(p)
	}
	return sum, err
}

// proportional is the process's Pss in KiB, or its resident set if the kernel does not tell.
func proportional(p process) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
	if err != nil {
		return p.rss
	}
	if kib, ok := parsePss(string(text)); ok {
		return kib
	}
	return p.rss
}

// parsePss finds the Pss line, in KiB, in the content of smaps_rollup.
func parsePss(text string) (kib int64, ok bool) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "Pss:" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
