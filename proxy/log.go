package proxy

import (
	"encoding/hex"
	"time"

	"edgepen/proxy/logfile"
	"edgepen/proxy/trafficlog"
)

// openLog opens the request log that a configuration asks for. One that is open already is taken over, and, where files are
// to be opened again, goes on in a new file of the same name.
func (p *Proxy) openLog(c Config, again bool) (*trafficlog.Log, error) {
	if c.Log == "" {
		return nil, nil
	}
	if l := p.traffic.Load(); l != nil && l.Name() == c.Log {
		if again {
			return l, l.Reopen()
		}
		return l, nil
	}
	return trafficlog.Open(c.Log, func(l logfile.Loss) { p.linesLost("request", c.Log, l) })
}

// linesLost says how many lines of a log are lost, and why.
func (p *Proxy) linesLost(which, name string, l logfile.Loss) {
	args := []any{"log", name, "lines", l.Lines, "why", "they came faster than they could be written"}
	if l.Err != nil {
		args[len(args)-1] = l.Err
	}
	p.log.Error("lines of the "+which+" log are lost", args...)
}

// useLog puts a log in the place of the one before.
func (p *Proxy) useLog(l *trafficlog.Log) {
	old := p.traffic.Swap(l)
	if old == nil || old == l {
		return
	}
	if err := old.Close(); err != nil {
		p.log.Error("request log", "why", err)
	}
}

// dropLog closes a log that is not going to be used.
func (p *Proxy) dropLog(l *trafficlog.Log) {
	if l != nil && l != p.traffic.Load() {
		l.Close() //nolint:errcheck // nothing was written
	}
}

// record notes what a client sent to its server.
func (c *connection) record(data []byte) {
	if l := c.p.traffic.Load(); l != nil {
		l.Record(time.Now(), c.shown, c.shownServer(), data)
	}
}

// dumpLevel is the debug level from which on everything that passes is dumped (-dd).
const dumpLevel = 2

// dump writes what passes to the debug log, in hex or (-a) as text with a dot for what is none.
func (p *Proxy) dump(where, client string, ascii bool, data []byte) {
	text := ""
	if ascii {
		text = printable(data)
	} else {
		text = hex.Dump(data)
	}
	p.log.Debug(where+":\n"+text, "client", client)
}

func printable(data []byte) string {
	b := make([]byte, len(data))
	for i, ch := range data {
		if (ch < ' ' || ch > '~') && ch != '\n' {
			ch = '.'
		}
		b[i] = ch
	}
	return string(b)
}

// seen returns what is to look at the bytes from the client and from the server; nil where nobody wants to.
func (c *connection) seen(record bool) (up, down func([]byte)) {
	record = record && c.snap.Log != ""
	if c.snap.Debug < dumpLevel {
		if record {
			up = c.record
		}
		return up, nil
	}
	up = func(data []byte) {
		if record {
			c.record(data)
		}
		c.p.dump("client to server", c.shown, c.snap.ASCII, data)
	}
	return up, func(data []byte) { c.p.dump("server to client", c.shown, c.snap.ASCII, data) }
}
