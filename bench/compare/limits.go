package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// limit is the most that edgepen may use in a workload, as a multiple of the best peer's figure.
type limit struct {
	workload string
	most     float64
}

// String is the limit as parseLimits reads it.
func (l limit) String() string { return fmt.Sprintf("%s<=%v", l.workload, l.most) }

// parseLimits reads a list such as "W1<=1.0,W9<=0.85".
func parseLimits(text string) ([]limit, error) {
	var limits []limit
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "<=")
		name = strings.TrimSpace(name)
		most, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if !ok || name == "" || err != nil || most <= 0 || math.IsInf(most, 0) || math.IsNaN(most) {
			return nil, fmt.Errorf("%q is no limit, expected something like W1<=1.0", part)
		}
		limits = append(limits, limit{name, most})
	}
	return limits, nil
}

// judge returns an error that names every limit which edgepen exceeds, or for which there is no ratio.
func judge(limits []limit, rep *report) error {
	var failed []error
	for _, l := range limits {
		ratio, err := rep.ratio(l.workload)
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", l.workload, err))
		case ratio > l.most:
			failed = append(failed, fmt.Errorf("%s: edgepen uses %.2f times the best peer's, the limit is %.2f", l.workload, ratio, l.most))
		}
	}
	return errors.Join(failed...)
}
