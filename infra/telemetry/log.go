package telemetry

import (
	"context"
	"log/slog"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
)

// LogHandler returns a handler that passes records on to h and adds the attribute trace_id to
// records with the attribute document_id. The attribute connects a document's log lines with its
// trace.
func LogHandler(h slog.Handler) slog.Handler { return logHandler{h} }

type logHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (l logHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		id, ok := documentOf(a)
		if ok {
			r = r.Clone()
			r.AddAttrs(traceID(id))
		}
		return !ok
	})
	return l.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if id, ok := documentOf(a); ok {
			attrs = append(attrs[:len(attrs):len(attrs)], traceID(id))
			break
		}
	}
	return logHandler{l.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (l logHandler) WithGroup(name string) slog.Handler {
	return logHandler{l.Handler.WithGroup(name)}
}

func traceID(document uuid.UUID) slog.Attr {
	return slog.String("trace_id", trace.TraceID(document).String())
}

// documentOf returns the document ID in an attribute. It returns false if there is none.
func documentOf(a slog.Attr) (uuid.UUID, bool) {
	if a.Key != "document_id" {
		return uuid.Nil, false
	}
	switch v := a.Value.Any().(type) {
	case uuid.UUID:
		return v, v != uuid.Nil
	case uuid.NullUUID:
		return v.UUID, v.Valid
	case *uuid.UUID:
		if v != nil {
			return *v, *v != uuid.Nil
		}
	case string:
		id, err := uuid.Parse(v)
		return id, err == nil
	}
	return uuid.Nil, false
}
