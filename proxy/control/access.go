package control

import (
	"fmt"
	"slices"
	"strings"

	"edgepen/proxy"
	"edgepen/proxy/accesslog"
)

// fullWords are the words of access_log_full by their number.
var fullWords = []string{proxy.DropLines: "drop", proxy.AwaitRoom: "block"}

func (c *call) accessLog() error {
	switch {
	case c.no:
		c.AccessLog = ""
	case len(c.words) > 0:
		c.AccessLog = c.words[0]
	case c.AccessLog != "":
		c.printf("%s\n", c.AccessLog)
	}
	return nil
}

func (c *call) accessLogFormat() error {
	switch {
	case c.no:
		c.AccessLogFormat = accesslog.Combined
		return nil
	case len(c.words) == 0:
		c.printf("%s\n", c.AccessLogFormat)
		return nil
	}
	format := c.words[0]
	if _, err := accesslog.NewFormat(format); err != nil {
		return fmt.Errorf("access_log_format: %v", err)
	}
	if !sayable(format) {
		return fmt.Errorf("access_log_format: %s has both kinds of quotes, which no line of commands can hold", format)
	}
	c.AccessLogFormat = format
	return nil
}

func (c *call) accessLogFull() error {
	if len(c.words) == 0 {
		c.printf("%s\n", fullWords[c.AccessLogFull])
		return nil
	}
	n := slices.Index(fullWords, c.words[0])
	if n < 0 {
		return fmt.Errorf("access_log_full: unknown word %q; expected %s", c.words[0], strings.Join(fullWords, " or "))
	}
	c.AccessLogFull = proxy.FullAccessLog(n)
	return nil
}
