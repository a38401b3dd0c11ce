package control

import (
	"fmt"
	"regexp"
	"strings"
)

// plausible is what the name of a command can look like. Any other word of a file may be a secret, where the file is none of ours.
var plausible = regexp.MustCompile(`^[a-z_]{1,40}$`)

// passOver answers an unknown command in the original's words, and lets whoever starts or reloads know where it stands.
func (c *call) passOver(name string) {
	secret := c.hushed || len(c.files) > 0 && !plausible.MatchString(name)
	remark := "there is no such command"
	if !secret {
		remark = fmt.Sprintf("there is no command %.100q", name)
		if near := Nearest(name, commandNames()); near != "" {
			remark += "; is it " + near + "?"
		}
	}
	if c.where != "" {
		remark = c.where + ": " + remark
	}
	if c.PassedOver != nil {
		c.PassedOver(remark)
	}
	if secret {
		c.printf("do_cmd: ignoring a command that there is not\n")
		return
	}
	c.printf("do_cmd: ignoring command starting with '%s'\n", name)
}

func commandNames() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// Nearest is the one of names that a mistyped word most likely means; empty: none is near.
func Nearest(word string, names []string) string {
	best, least := "", min(len(word)/3, 3)+1
	if len(word) > 40 {
		return ""
	}
	for _, name := range names {
		if d := distance(word, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is how many letters have to be put in, left out, or replaced to make one word of another, or to change places with the next one.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			other := 0
			if a[i-1] != b[j-1] {
				other = 1
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+other)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}

// strange is what a file is that cannot be a configuration, and had better not be read as one; empty: it may be one.
func strange(text string) string {
	switch {
	case strings.Contains(text, "\x00"):
		return "is binary"
	case strings.HasPrefix(text, "-----BEGIN "), strings.Contains(text, "\n-----BEGIN "):
		return "is PEM, as certificates and keys are"
	}
	return ""
}
