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

// sender sends spans as JSON with OTLP over HTTP
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp). OpenTelemetry's own exporter would add
// dependencies on gRPC, its gateway and their generated code, which is more than this short file
// justifies.
type sender struct {
	config  TraceConfig
	client  *http.Client
	failing atomic.Bool
}

const sendTimeout = 10 * time.Second

func newSender(c TraceConfig) (*sender, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		// The error does not contain the URL, which may include a password.
		return nil, errors.New("the trace endpoint is not an http or https URL")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	client := &http.Client{Timeout: sendTimeout, Transport: transport}
	return &sender{config: c, client: client}, nil
}

// ExportSpans implements sdktrace.SpanExporter. If it cannot send spans, it drops them. It logs the
// first failure and the first success after failures.
func (s *sender) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := s.send(ctx, spans)
	switch failedBefore := s.failing.Swap(err != nil); {
	case err != nil && !failedBefore:
		s.config.Log.Warn("cannot send traces; they are dropped until sending succeeds", "error", err)
	case err == nil && failedBefore:
		s.config.Log.Info("traces are sent again")
	}
	return nil
}

func (s *sender) send(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	body, err := json.Marshal(request(spans))
	if err != nil {
		return fmt.Errorf("encode %d spans: %w", len(spans), err)
	}
	r, err := http.NewRequestWithContext(
		ctx, http.MethodPost, s.config.Endpoint, bytes.NewReader(body))
	if err != nil {
		return errors.New("the trace endpoint is invalid")
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range s.config.Headers {
		r.Header.Set(name, value)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		var outer *url.Error // its message contains the URL
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return fmt.Errorf("send %d spans: %w", len(spans), err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("send %d spans: got status %s", len(spans), resp.Status)
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

// request returns an ExportTraceServiceRequest for JSON, in which IDs are hexadecimal and 64-bit
// numbers are strings.
func request(spans []sdktrace.ReadOnlySpan) object {
	if len(spans) == 0 {
		return object{}
	}
	all := make(list, len(spans))
	for i, s := range spans {
		all[i] = span(s)
	}
	scope := object{"name": spans[0].InstrumentationScope().Name}
	return object{"resourceSpans": list{object{
		"resource":   object{"attributes": attributes(spans[0].Resource().Attributes())},
		"scopeSpans": list{object{"scope": scope, "spans": all}},
	}}}
}

// span returns one span of a request.
func span(s sdktrace.ReadOnlySpan) object {
	span := object{
		"traceId":           s.SpanContext().TraceID().String(),
		"spanId":            s.SpanContext().SpanID().String(),
		"name":              s.Name(),
		"kind":              int(s.SpanKind()),
		"flags":             1,
		"startTimeUnixNano": nanos(s.StartTime()),
		"endTimeUnixNano":   nanos(s.EndTime()),
		"attributes":        attributes(s.Attributes()),
	}
	if s.Parent().SpanID().IsValid() {
		span["parentSpanId"] = s.Parent().SpanID().String()
	}
	links := list{}
	for _, l := range s.Links() {
		links = append(links, object{
			"traceId": l.SpanContext.TraceID().String(),
			"spanId":  l.SpanContext.SpanID().String(),
		})
	}
	if len(links) > 0 {
		span["links"] = links
	}
	if s.Status().Code == codes.Error {
		span["status"] = object{"code": 2, "message": s.Status().Description}
	}
	return span
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
