package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// logHandler writes messages as the original does, "YYYY-MM-DD HH:MM:SS: message", with what slog adds behind; or to
// syslog (facility user, tag pen) once the process is a daemon.
type logHandler struct {
	level *slog.LevelVar
	attrs string
	to    *logTarget
}

// logTarget is where messages go; handlers share it.
type logTarget struct {
	mu     sync.Mutex
	out    io.Writer
	syslog atomic.Pointer[syslog.Writer] // nil: to out
}

func newLog(out io.Writer) (*logHandler, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(slog.LevelWarn)
	return &logHandler{level: level, to: &logTarget{out: out}}, level
}

// useSyslog sends what comes from now on to the system's log, or where a socket is named, to that.
func (h *logHandler) useSyslog(socket string) error {
	network := "unixgram"
	if socket == "" {
		network = "" // the socket that the system has
	}
	w, err := syslog.Dial(network, socket, syslog.LOG_USER|syslog.LOG_DEBUG, "pen")
	if err != nil {
		return fmt.Errorf("no system log: %v", err)
	}
	h.to.syslog.Store(w)
	return nil
}

func (h *logHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		writeAttr(&b, a)
		return true
	})
	return h.to.write(r.Level, r.Time, b.String())
}

func writeAttr(b *strings.Builder, a slog.Attr) {
	v := a.Value.Resolve().String()
	if v == "" || strings.ContainsAny(v, " \t\r\n\"=") {
		v = fmt.Sprintf("%q", v)
	}
	fmt.Fprintf(b, " %s=%s", a.Key, v)
}

func (t *logTarget) write(level slog.Level, at time.Time, message string) error {
	if w := t.syslog.Load(); w != nil {
		switch {
		case level >= slog.LevelError:
			return w.Err(message)
		case level >= slog.LevelWarn:
			return w.Warning(message)
		}
		return w.Debug(message)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err := fmt.Fprintf(t.out, "%s: %s\n", at.Format(time.DateTime), message)
	return err
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		writeAttr(&b, a)
	}
	return &logHandler{level: h.level, attrs: b.String(), to: h.to}
}

// WithGroup is not used here.
func (h *logHandler) WithGroup(string) slog.Handler { return h }
