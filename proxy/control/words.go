package control

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// split reads the words of a command line: blanks and tabs separate them, a word with blanks stands in double quotes, or one with
// blanks and double quotes in single ones, and a word that begins with # begins a comment.
func split(line string) ([]string, error) {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			return words, nil
		}
		quote := line[0]
		if quote != '"' && quote != '\'' {
			end := strings.IndexAny(line, " \t")
			if end < 0 {
				end = len(line)
			}
			words, line = append(words, line[:end]), line[end:]
			continue
		}
		end := strings.IndexByte(line[1:], quote)
		if end < 0 {
			return nil, errors.New("a quote is not closed")
		}
		words, line = append(words, line[1:1+end]), line[end+2:]
	}
}

// sayable reports whether Quote can make a word of a command line that split reads back.
func sayable(word string) bool {
	words, err := split(Quote(word))
	return !strings.ContainsAny(word, "\r\n") && err == nil && len(words) == 1 && words[0] == word
}

// Quote makes a word of a command line that split reads back, unless it needs quotes and holds both kinds of them.
func Quote(word string) string {
	switch {
	case word != "" && !strings.ContainsAny(word, " \t#") && word[0] != '"' && word[0] != '\'':
		return word
	case strings.Contains(word, `"`):
		return `'` + word + `'`
	}
	return `"` + word + `"`
}

// number reads a decimal number in a range; what says what it is, for the error.
func number(word, what string, min, max int) (int, error) {
	n, err := strconv.Atoi(word)
	if err != nil || word[0] == '+' {
		return 0, fmt.Errorf("%q is no number; expected %s from %d to %d", word, what, min, max)
	}
	if n < min || n > max {
		return 0, fmt.Errorf("%d is out of range; expected %s from %d to %d", n, what, min, max)
	}
	return n, nil
}

// maxSeconds is the longest time that can be set: some 30 years.
const maxSeconds = 1_000_000_000

func seconds(word string, min int) (time.Duration, error) {
	n, err := number(word, "seconds", min, maxSeconds)
	return time.Duration(n) * time.Second, err
}

func inSeconds(d time.Duration) int { return int(d / time.Second) }
