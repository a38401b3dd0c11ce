package health

// A Standing is what the checks of a server have come to. The zero Standing is a server that nobody has checked, which counts as up.
type Standing struct {
	Checked bool // at least once
	Down    bool
	run     int // results in a row that speak against it
}

// After is the standing after one more check, and whether that has taken the server down or brought it up. It takes rise good checks in a row
// to bring a server up and fall failed ones to take it down: one result of the other kind begins the count anew.
func (s Standing) After(good bool, rise, fall int) (next Standing, changed bool) {
	s.Checked = true
	if good != s.Down {
		s.run = 0
		return s, false
	}
	need := fall
	if s.Down {
		need = rise
	}
	if s.run++; s.run < need {
		return s, false
	}
	return Standing{Checked: true, Down: !s.Down}, true
}

// String is the standing in a word.
func (s Standing) String() string {
	switch {
	case s.Down:
		return "down"
	case s.Checked:
		return "up"
	}
	return "unknown"
}
