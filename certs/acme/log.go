package acme

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"

	acmeproto "github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// said are certmagic's warnings about what the package logs itself, in its own
// words, or that follow from it.
var said = []string{
	"could not get certificate from issuer",
	"job failed",
	"failed updating renewal info",
	"updating ARI",
	"ARI window or selected renewal time changed",
	"error while checking storage for updated ARI",
}

// zapLog is a logger for certmagic whose records go to log: progress at level
// debug, errors and warnings as warnings, with the name and the error alone.
func zapLog(log *slog.Logger) *zap.Logger { return zap.New(core{log, nil}) }

type core struct {
	log    *slog.Logger
	fields []zapcore.Field
}

func levelOf(level zapcore.Level) slog.Level {
	if level >= zapcore.WarnLevel {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Enabled is part of zapcore.Core, as are With, Check, Write and Sync.
func (c core) Enabled(level zapcore.Level) bool {
	return c.log.Enabled(context.Background(), levelOf(level))
}

func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{c.log, append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

func (c core) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

func (c core) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range append(c.fields[:len(c.fields):len(c.fields)], fields...) {
		f.AddTo(enc)
	}
	var attrs []slog.Attr
	for _, field := range [][2]string{{"identifier", "name"}, {"identifiers", "name"}, {"subject", "name"}, {"subjects", "name"}, {"error", "why"}} {
		if value, ok := enc.Fields[field[0]]; ok {
			attrs = append(attrs, slog.Any(field[1], value))
		}
	}
	level := levelOf(entry.Level)
	for _, message := range said {
		if strings.HasPrefix(entry.Message, message) {
			level = slog.LevelDebug
		}
	}
	c.log.LogAttrs(context.Background(), level, "ACME: "+entry.Message, attrs...)
	return nil
}

func (c core) Sync() error { return nil }

// quiet passes records on at level debug: what acmez calls an error may still
// be made good by the next challenge, and otherwise is in the error returned.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, _ slog.Level) bool {
	return q.Handler.Enabled(ctx, slog.LevelDebug)
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level, r.Message = slog.LevelDebug, "ACME: "+r.Message
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }
func (q quiet) WithGroup(name string) slog.Handler       { return quiet{q.Handler.WithGroup(name)} }

// refusal is why an issuance failed, in words for the operator.
type refusal struct {
	text string
	err  error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.err }

// words says what the CA said, or what kept it from saying something. RFC 8555
// section 6.7 has clients show the detail of a problem.
func words(err error) string { return clip(fullWords(err)) }

// clip keeps what a CA says within what a log line can hold.
func clip(text string) string {
	const most = 1000
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func fullWords(err error) string {
	var r *refusal
	var problem acmeproto.Problem
	var request *url.Error
	switch {
	case errors.As(err, &r):
		return r.text
	case errors.As(err, &problem):
		text := problem.Detail
		for _, sub := range problem.Subproblems {
			text += "; " + strings.TrimPrefix(sub.Identifier.Value+": ", ": ") + sub.Detail
		}
		if kind := strings.TrimPrefix(problem.Type, acmeproto.ProblemTypeNamespace); kind != "" {
			text += " (" + kind + ")"
		}
		return text
	case errors.As(err, &request):
		return request.URL + ": " + request.Err.Error()
	}
	return err.Error()
}
