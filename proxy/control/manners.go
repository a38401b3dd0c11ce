package control

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"edgepen/httpx"
	"edgepen/proxy"
)

// hsts is "hsts SECONDS [includesubdomains] [preload]"; commas may stand for blanks.
func (c *call) hsts() error {
	if c.no {
		c.HSTS = proxy.HSTS{}
		return nil
	}
	words := strings.FieldsFunc(strings.ToLower(strings.Join(c.words, ",")), func(r rune) bool { return r == ',' })
	if len(words) == 0 {
		if c.HSTS.On {
			c.printf("%s\n", strings.Join(hstsWords(c.HSTS), " "))
		}
		return nil
	}
	age, err := number(words[0], "seconds", 0, 1<<31-1)
	if err != nil {
		return fmt.Errorf("hsts: %v", err)
	}
	h := proxy.HSTS{On: true, MaxAge: time.Duration(age) * time.Second}
	for _, w := range words[1:] {
		switch w {
		case "includesubdomains":
			h.Subdomains = true
		case "preload":
			h.Preload = true
		default:
			return fmt.Errorf("hsts: unknown word %q; expected includesubdomains or preload", w)
		}
	}
	c.HSTS = h
	return nil
}

// hstsWords is what hsts reads.
func hstsWords(h proxy.HSTS) []string {
	words := []string{fmt.Sprint(int(h.MaxAge / time.Second))}
	if h.Subdomains {
		words = append(words, "includesubdomains")
	}
	if h.Preload {
		words = append(words, "preload")
	}
	return words
}

// bodyMax is "body_max [BYTES]".
func (c *call) bodyMax() error {
	if len(c.words) > 0 {
		n, err := number(c.words[0], "bytes", 0, math.MaxInt)
		if err != nil {
			return fmt.Errorf("body_max: %v", err)
		}
		c.BodyMax = n
	}
	c.printf("%d\n", c.BodyMax)
	return nil
}

// framing is the fields that no response can do without, or that are ours.
var framing = []string{"content-length", "transfer-encoding", "connection", "trailer", "upgrade"}

// responseRemove is "response_remove NAME…".
func (c *call) responseRemove() error {
	switch {
	case c.no:
		c.RemoveFields = nil
		return nil
	case len(c.words) == 0:
		c.printf("%s\n", strings.Join(c.RemoveFields, " "))
		return nil
	}
	var names []string
	for _, name := range strings.FieldsFunc(strings.ToLower(strings.Join(c.words, ",")), func(r rune) bool { return r == ',' }) {
		if !httpx.IsFieldName(name) {
			return fmt.Errorf("response_remove: %q is no name of a field", name)
		}
		if slices.Contains(framing, name) {
			return fmt.Errorf("response_remove: %s says where a response ends: it cannot be left out", name)
		}
		names = append(names, name)
	}
	c.RemoveFields = union(c.RemoveFields, names)
	return nil
}
