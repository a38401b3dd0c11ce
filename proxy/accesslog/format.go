package accesslog

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The formats that have names.
const (
	Common   = "common"
	Combined = "combined"
	JSON     = "json"
)

// Format makes lines of records. It is immutable.
type Format struct {
	json    bool
	pieces  []piece
	headers []string
	asks    map[string]bool // fields of ours that it has
}

// piece is a part of a line: text as it is, or a field.
type piece struct {
	literal string
	name    string              // in JSON, ready to be written
	of      func(*Record) value // nil: a header
	header  int
	quoted  bool // it stands between double quotes: blanks need no escape
}

// NewFormat compiles a format: one of the names, or a string of directives as Apache's LogFormat has them.
func NewFormat(s string) (*Format, error) {
	switch s {
	case Common:
		s = `%h %l %u %t "%r" %>s %b`
	case Combined:
		s = `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"`
	case JSON:
		return newJSON(), nil
	}
	if !strings.Contains(s, "%") {
		return nil, fmt.Errorf("%.100q is no format; expected common, combined, json, or a string with directives, as in %%h %%t \"%%r\" %%>s", s)
	}
	p := parser{s: s, f: &Format{asks: map[string]bool{}}}
	if err := p.parse(); err != nil {
		return nil, err
	}
	return p.f, nil
}

func newJSON() *Format {
	f := &Format{json: true, headers: []string{"referer", "user-agent"}, asks: map[string]bool{}}
	for _, field := range fields() {
		if field.json {
			f.pieces = append(f.pieces, piece{name: `"` + field.name + `":`, of: field.of})
			f.asks[field.name] = true
		}
		if field.name == "host" {
			f.pieces = append(f.pieces, piece{name: `"referer":`, header: 0}, piece{name: `"user_agent":`, header: 1})
		}
	}
	return f
}

// Headers names the fields of requests that Record.Headers is to have, in its order and in lower case.
func (f *Format) Headers() []string { return f.headers }

// Asks reports whether one of our fields, by its name in JSON, is part of the format: some cost something to find out.
func (f *Format) Asks(name string) bool { return f.asks[name] }

// parser reads a format string.
type parser struct {
	s      string
	at     int
	quoted bool
	f      *Format
}

// fail names a position, counted from 1.
func (p *parser) fail(at int, format string, args ...any) error {
	return fmt.Errorf("at character %d: %s", utf8.RuneCountInString(p.s[:at])+1, fmt.Sprintf(format, args...))
}

func (p *parser) parse() error {
	for p.at < len(p.s) {
		if p.s[p.at] == '%' {
			if err := p.directive(); err != nil {
				return err
			}
			continue
		}
		end := strings.IndexByte(p.s[p.at:], '%')
		if end < 0 {
			end = len(p.s) - p.at
		}
		if err := p.literal(p.s[p.at : p.at+end]); err != nil {
			return err
		}
		p.at += end
	}
	return nil
}

// literal takes text as it is. What is no text would make more lines of one.
func (p *parser) literal(s string) error {
	for i, r := range s {
		if r == utf8.RuneError || r != '\t' && !unicode.IsPrint(r) {
			return p.fail(p.at+i, "a control character")
		}
	}
	p.f.pieces = append(p.f.pieces, piece{literal: s})
	if strings.Count(s, `"`)%2 == 1 {
		p.quoted = !p.quoted
	}
	return nil
}

// directive takes what begins with a percent sign.
func (p *parser) directive() error {
	start := p.at
	rest := p.s[p.at+1:]
	switch {
	case rest == "":
		return p.fail(start, "%% without a letter behind it; %%%% is a percent sign")
	case rest[0] == '%':
		p.at += 2
		p.f.pieces = append(p.f.pieces, piece{literal: "%"})
		return nil
	case rest[0] == '{':
		return p.named(rest)
	case strings.HasPrefix(rest, ">s"), strings.HasPrefix(rest, "<s"):
		p.at, rest = p.at+1, rest[1:]
	}
	of := letters()[rest[0]]
	if of == nil {
		return p.fail(start, "%q is unknown; expected one of %s, %%{NAME}i for a field of the request, or %%{NAME}x for one of ours", "%"+firstRune(rest), known())
	}
	p.at += 2
	p.f.pieces = append(p.f.pieces, piece{of: of, quoted: p.quoted})
	return nil
}

func firstRune(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return s[:n]
}

// known lists the directives that are a letter.
func known() string {
	var all []string
	for l := range letters() {
		all = append(all, "%"+string(l))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// named takes {NAME}i or {NAME}x.
func (p *parser) named(rest string) error {
	name, behind, closed := strings.Cut(rest[1:], "}")
	switch {
	case !closed:
		return p.fail(p.at, "%%{ without a }")
	case strings.HasPrefix(behind, "i"):
		return p.header(name)
	case !strings.HasPrefix(behind, "x"):
		return p.fail(p.at+len(name)+3, "expected i or x behind %%{%s}: a field of the request, or one of ours", name)
	}
	all := fields()
	i := slices.IndexFunc(all, func(f field) bool { return f.name == name })
	if i < 0 {
		var names []string
		for _, f := range all {
			names = append(names, f.name)
		}
		return p.fail(p.at+2, "there is no field %.100q; expected one of %s", name, strings.Join(names, " "))
	}
	p.f.asks[name] = true
	p.f.pieces = append(p.f.pieces, piece{of: all[i].of, quoted: p.quoted})
	p.at += len("%{}x") + len(name)
	return nil
}

func (p *parser) header(name string) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r >= 0x7f || r <= ' ' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}) {
		return p.fail(p.at+2, "%.100q is no name of a field", name)
	}
	i := slices.Index(p.f.headers, strings.ToLower(name))
	if i < 0 {
		if i = len(p.f.headers); i == MaxHeaders {
			return p.fail(p.at, "more than %d different fields of requests", MaxHeaders)
		}
		p.f.headers = append(p.f.headers, strings.ToLower(name))
	}
	p.f.pieces = append(p.f.pieces, piece{header: i, quoted: p.quoted})
	p.at += len("%{}i") + len(name)
	return nil
}

func (p *piece) value(r *Record) value {
	if p.of == nil {
		return ofBytes(r.Headers[p.header])
	}
	return p.of(r)
}

// Append appends the line of a record to dst, with the LF at its end and no other.
func (f *Format) Append(dst []byte, r *Record) []byte {
	if f.json {
		dst = f.appendJSON(dst, r)
	} else {
		dst = f.appendText(dst, r)
	}
	return append(dst, '\n')
}
