package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// sender sends spans by OTLP over HTTP, as JSON
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp). OpenTelemetry's own exporter
// would bring gRPC, its gateway and their generated code for a request of forty lines.
type sender struct {
	config  TraceConfig
	client  *http.Client
	failing atomic.Bool
}

const sendTimeout = 10 * time.Second

func newSender(c TraceConfig) (*sender, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New("the address for traces is no http(s) URL") // it may hold a password
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &sender{config: c, client: &http.Client{Timeout: sendTimeout, Transport: http.DefaultTransport.(*http.Transport).Clone()}}, nil
}

// ExportSpans implements sdktrace.SpanExporter. Spans that cannot be sent are lost;
// that is logged when it begins and when it ends.
func (s *sender) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := s.send(ctx, spans)
	switch was := s.failing.Swap(err != nil); {
	case err != nil && !was:
		s.config.Log.Warn("traces cannot be sent and are dropped", "error", err)
	case err == nil && was:
		s.config.Log.Info("traces are sent again")
	}
	return nil
}

func (s *sender) send(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	body, err := json.Marshal(request(spans))
	if err != nil {
		return fmt.Errorf("encode %d spans: %w", len(spans), err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.config.Endpoint, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address for traces cannot be used")
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range s.config.Headers {
		r.Header.Set(name, value)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		var failed *url.Error // its text holds the address
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return fmt.Errorf("send %d spans: %w", len(spans), err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("send %d spans: answered %s", len(spans), resp.Status)
	}
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (s *sender) Shutdown(context.Context) error {
	s.client.CloseIdleConnections()
	return nil
}

type (
	object = map[string]any
	list   = []any
)

// request is an ExportTraceServiceRequest in JSON: ids are hexadecimal, 64-bit
// numbers are strings.
func request(spans []sdktrace.ReadOnlySpan) object {
	if len(spans) == 0 {
		return object{}
	}
	all := make(list, len(spans))
	for i, s := range spans {
		span := object{
			"traceId": s.SpanContext().TraceID().String(), "spanId": s.SpanContext().SpanID().String(),
			"name": s.Name(), "kind": int(s.SpanKind()), "flags": 1,
			"startTimeUnixNano": nanos(s.StartTime()), "endTimeUnixNano": nanos(s.EndTime()),
			"attributes": attributes(s.Attributes()),
		}
		if s.Parent().SpanID().IsValid() {
			span["parentSpanId"] = s.Parent().SpanID().String()
		}
		links := list{}
		for _, l := range s.Links() {
			links = append(links, object{"traceId": l.SpanContext.TraceID().String(), "spanId": l.SpanContext.SpanID().String()})
		}
		if len(links) > 0 {
			span["links"] = links
		}
		if s.Status().Code == codes.Error {
			span["status"] = object{"code": 2, "message": s.Status().Description}
		}
		all[i] = span
	}
	return object{"resourceSpans": list{object{
		"resource":   object{"attributes": attributes(spans[0].Resource().Attributes())},
		"scopeSpans": list{object{"scope": object{"name": spans[0].InstrumentationScope().Name}, "spans": all}},
	}}}
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func attributes(all []attribute.KeyValue) list {
	values := make(list, len(all))
	for i, a := range all {
		value := object{"stringValue": a.Value.String()}
		if a.Value.Type() == attribute.INT64 {
			value = object{"intValue": strconv.FormatInt(a.Value.AsInt64(), 10)}
		}
		values[i] = object{"key": string(a.Key), "value": value}
	}
	return values
}
