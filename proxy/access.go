package proxy

import (
	"fmt"

	"edgepen/proxy/accesslog"
	"edgepen/proxy/logfile"
	"edgepen/proxy/trafficlog"
)

// compileAccessLog compiles the format of the access log, where there is one.
func (s *snapshot) compileAccessLog() (err error) {
	if s.AccessLog != "" {
		s.access, err = accesslog.NewFormat(s.AccessLogFormat)
	}
	if err != nil {
		return fmt.Errorf("access_log_format: %v", err)
	}
	return nil
}

// recordsCountries reports whether the access log says where clients are.
func (c *Config) recordsCountries() bool {
	if c.AccessLog == "" {
		return false
	}
	f, err := accesslog.NewFormat(c.AccessLogFormat)
	return err == nil && f.Asks("country")
}

// openAccessLog is openLog for the access log.
func (p *Proxy) openAccessLog(c Config, again bool) (*accesslog.Writer, error) {
	if c.AccessLog == "" {
		return nil, nil
	}
	if w := p.access.Load(); w != nil && w.Name() == c.AccessLog {
		if again {
			return w, w.Reopen()
		}
		return w, nil
	}
	return accesslog.Open(c.AccessLog, func(l logfile.Loss) { p.linesLost("access", c.AccessLog, l) })
}

// useAccessLog puts a log in the place of the one before.
func (p *Proxy) useAccessLog(w *accesslog.Writer, full FullAccessLog) {
	if w != nil {
		w.Blocks(full == AwaitRoom)
	}
	old := p.access.Swap(w)
	if old == nil || old == w {
		return
	}
	if err := old.Close(); err != nil {
		p.log.Error("access log", "why", err)
	}
}

// dropAccessLog closes a log that is not going to be used.
func (p *Proxy) dropAccessLog(w *accesslog.Writer) {
	if w != nil && w != p.access.Load() {
		w.Close() //nolint:errcheck // nothing was written
	}
}

// endAccessLog has nobody wait for it any more: the end does not.
func (p *Proxy) endAccessLog() {
	if w := p.access.Load(); w != nil {
		w.LetGo()
	}
}

// CheckOwn says whether what the configuration names could be written, for the user and within the root that we have now: the logs, and the
// status page.
func (p *Proxy) CheckOwn() error {
	c := p.Config()
	if c.Log != "" && !trafficlog.IsAddress(c.Log) {
		if err := CheckWritable(c.Log); err != nil {
			return fmt.Errorf("log file (-l): %v", err)
		}
	}
	if c.WebStats != "" {
		if err := CheckWritable(c.WebStats); err != nil {
			return fmt.Errorf("status page (-w): %v", err)
		}
	}
	if c.AccessLog == "" {
		return nil
	}
	return accesslog.Check(c.AccessLog)
}
