package acl

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sort"
	"strings"
)

// MaxLines is how many lines a file of addresses may have, of at most
// maxLine bytes each.
const (
	MaxLines = 5_000_000
	maxLine  = 4096
)

// FileSet is the addresses in a file. It does not change, and may be used by many
// lists and goroutines at the same time.
type FileSet struct {
	name string
	// Sorted, and none within another; the numbers are those of the lines.
	v4 []packed
	v6 []prefix
}

// Name is the name that the set was read under.
func (f *FileSet) Name() string { return f.name }

// Len is the number of prefixes in the set, not counting those within others. A
// set without any matches nobody.
func (f *FileSet) Len() int { return len(f.v4) + len(f.v6) }

// find returns the prefix of the set that holds an address, and its line, the
// first one that says so.
func (f *FileSet) find(addr netip.Addr) (p netip.Prefix, line int, ok bool) {
	addr = addr.Unmap().WithZone("")
	a := addressOf(addr)
	var found prefix
	if addr.Is4() {
		if i := sort.Search(len(f.v4), func(i int) bool { return a.less(f.v4[i].prefix().address) == 1 }); i > 0 {
			found, ok = f.v4[i-1].prefix(), true
		}
	} else if i := sort.Search(len(f.v6), func(i int) bool { return a.less(f.v6[i].address) == 1 }); i > 0 {
		found, ok = f.v6[i-1], true
	}
	if !ok || !found.contains(a) {
		return netip.Prefix{}, 0, false
	}
	p, _ = addr.Prefix(found.length())
	return p, found.tag(), true
}

// parsePath reads the path of a file entry: any that a configuration can hold.
func parsePath(word string) (string, error) {
	if word == "" || strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r == 0x7f || r == '"' }) {
		return "", fmt.Errorf("file %q: expected a path without double quotes and control characters", word)
	}
	return word, nil
}

// ParseFile reads a list of addresses: on each line one address or one prefix,
// ADDRESS/LENGTH, IPv4 or IPv6. IPv4-mapped prefixes are the IPv4 prefixes in
// them. Blanks around it and what follows # are left out, lines may end in CR LF,
// and may be empty. A file in which nothing is said at all is an error, since a
// disk that is full or a download that fails leaves just that, and it would let
// in whom it kept out; with a comment it is a list of nobody. What is given twice, or within another prefix, counts once.
//
// name is what the set is called and what errors begin with; they tell the line
// and what was expected: besides the form of a line, that no address has bits
// outside its prefix, and at most MaxLines lines. While a million lines are read,
// less than 64 MiB are used.
func ParseFile(name string, r io.Reader) (*FileSet, error) {
	return parseLines(name, r, MaxLines)
}

func parseLines(name string, r io.Reader, limit int) (*FileSet, error) {
	lines := bufio.NewReaderSize(r, max(maxLine, 1<<16))
	var v4 chunks[packed]
	var v6 chunks[prefix]
	blank := true // nothing is said, not even in a comment
	for n := 1; ; n++ {
		text, err := lines.ReadSlice('\n')
		switch {
		case err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%s:%d: %v", name, n, err)
		case len(text) > maxLine:
			return nil, fmt.Errorf("%s:%d: a line of more than %d bytes; expected one address or ADDRESS/LENGTH", name, n, maxLine)
		case len(text) == 0 && blank:
			return nil, fmt.Errorf("%s:%d: the file is empty; if that is meant, say so in it by a comment: a line that begins with #", name, n)
		case len(text) == 0:
			return newFileSet(name, &v4, &v6), nil
		case n > limit:
			return nil, fmt.Errorf("%s has more than %d lines", name, limit)
		}
		blank = blank && len(bytes.Trim(text, " \t\r\n")) == 0
		text, _, _ = bytes.Cut(text, []byte("#"))
		if text = bytes.Trim(text, " \t\r\n"); len(text) == 0 {
			continue
		}
		p, is4, ok := parseLine(text)
		switch {
		case !ok || !p.isMasked():
			return nil, fmt.Errorf("%s:%d: %s", name, n, badLine(string(text)))
		case is4:
			v4.add(p.tagged(n).packed())
		default:
			v6.add(p.tagged(n))
		}
	}
}

// newFileSet sorts and merges.
func newFileSet(name string, v4 *chunks[packed], v6 *chunks[prefix]) *FileSet {
	f := &FileSet{name: name, v4: v4.join(), v6: v6.join()}
	slices.Sort(f.v4)
	f.v4 = outermost(f.v4, packed.prefix)
	slices.SortFunc(f.v6, prefix.compare)
	f.v6 = outermost(f.v6, func(p prefix) prefix { return p })
	return f
}

// outermost keeps, of sorted prefixes, those that are not within another. Where
// that is much less, what is left over is given back.
func outermost[T any](list []T, prefixOf func(T) prefix) []T {
	kept := list[:0]
	for _, p := range list {
		if n := len(kept); n == 0 || !prefixOf(kept[n-1]).contains(prefixOf(p).address) {
			kept = append(kept, p)
		}
	}
	if len(kept) < cap(kept)/2 {
		return slices.Clone(kept)
	}
	return kept
}

// badLine says what is wrong with a line that has something on it.
func badLine(text string) string {
	if len(text) > 100 {
		text = text[:100] + "…"
	}
	if p, err := netip.ParsePrefix(text); err == nil && p != p.Masked() {
		return fmt.Sprintf("%s has bits outside its prefix: expected %s", text, p.Masked())
	}
	return fmt.Sprintf("%q is not an address or a prefix: expected one a line, as 192.0.2.0/24 or 2001:db8::/32", text)
}

// chunks is a slice that grows without being copied, since twice the space would
// be too much for long files.
type chunks[T any] struct {
	full [][]T
	last []T
}

func (c *chunks[T]) add(v T) {
	if len(c.last) == cap(c.last) {
		if c.last != nil {
			c.full = append(c.full, c.last)
		}
		c.last = make([]T, 0, min(1<<15, max(64, 2*len(c.last))))
	}
	c.last = append(c.last, v)
}

// join returns all of it in one piece.
func (c *chunks[T]) join() []T {
	return slices.Concat(append(c.full, c.last)...)
}
