package telemetry

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TraceConfig configures tracing.
type TraceConfig struct {
	// Endpoint is the URL of an OTLP receiver over HTTP, such as http://collector:4318/v1/traces. If
	// it is empty, nothing is traced.
	Endpoint string
	// Headers are added to each request, for example to authenticate it.
	Headers map[string]string
	// Ratio is the fraction of documents that are traced, from 0 to 1. With the same ratio, all
	// processes trace the same documents.
	Ratio float64
	// Service is the name of the process.
	Service string
	// Log receives a message when sending spans fails, and when it succeeds again. If it is nil,
	// nothing is logged.
	Log *slog.Logger
}

// tracer is nil if tracing is off. Step then costs a single atomic load.
var tracer atomic.Pointer[trace.Tracer]

// StartTracing starts to send the steps of documents. The returned function stops it and sends the
// remaining spans. No caller of Step waits for a span to be sent: spans that are created faster
// than they can be sent are dropped.
func StartTracing(c TraceConfig) (end func(context.Context) error, err error) {
	if c.Endpoint == "" {
		return func(context.Context) error { return nil }, nil
	}
	if math.IsNaN(c.Ratio) || c.Ratio < 0 || c.Ratio > 1 {
		return nil, fmt.Errorf("the ratio of traced documents is %g, want 0 to 1", c.Ratio)
	}
	sender, err := newSender(c)
	if err != nil {
		return nil, err
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(sender),
		sdktrace.WithIDGenerator(idGenerator{}),
		sdktrace.WithSampler(sampler{c.Ratio}),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.namespace", "intray"),
			attribute.String("service.name", "intray-"+c.Service),
		)),
	)
	t := provider.Tracer("intray")
	tracer.Store(&t)
	return func(ctx context.Context) error {
		tracer.Store(nil)
		if err := provider.Shutdown(ctx); err != nil {
			return fmt.Errorf("send the last spans: %w", err)
		}
		return nil
	}, nil
}

// Tracing reports whether tracing is on. If it is off, callers need not collect the arguments of
// Step.
func Tracing() bool { return tracer.Load() != nil }

// FirstStep starts a document's trace with the request for its upload URL, which took from began
// until now. from is the trace of the client that sent the request; it may be empty. The step has a
// link to it.
func FirstStep(document uuid.UUID, name string, began time.Time, from trace.SpanContext) {
	t := tracer.Load()
	if t == nil {
		return
	}
	options := []trace.SpanStartOption{
		trace.WithTimestamp(began),
		trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(documentID(document)),
	}
	if from.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: from}))
	}
	ctx := context.WithValue(context.Background(), documentKey{}, document)
	_, span := (*t).Start(ctx, name, options...)
	span.End()
}

// Step adds a step to a document's trace. The step took from began to ended. err is its error, or
// nil.
func Step(
	document uuid.UUID, name string, began, ended time.Time, err error,
	attributes ...attribute.KeyValue,
) {
	t := tracer.Load()
	if t == nil {
		return
	}
	parent := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID:    trace.TraceID(document),
		SpanID:     firstSpanID(document),
		TraceFlags: trace.FlagsSampled,
		Remote:     true,
	})
	ctx := trace.ContextWithRemoteSpanContext(context.Background(), parent)
	_, span := (*t).Start(ctx, name,
		trace.WithTimestamp(began),
		trace.WithAttributes(append(attributes, documentID(document))...))
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End(trace.WithTimestamp(ended))
}

func documentID(id uuid.UUID) attribute.KeyValue {
	return attribute.String("document_id", id.String())
}

// firstSpanID returns the ID of the first span of a document's trace, which is the second half of
// the document's ID. The trace's ID is the document's ID. Therefore every process can compute both,
// and messages need not carry them (docs/adr/0014-traces.md).
func firstSpanID(document uuid.UUID) (id trace.SpanID) {
	copy(id[:], document[8:]) // never zero, because the two highest bits of this half are 10
	return id
}

// documentKey is the context key with which FirstStep passes the document ID to idGenerator.
type documentKey struct{}

// idGenerator derives the IDs of a document's first span from the document's ID, and returns random
// IDs for other spans.
type idGenerator struct{}

// NewIDs implements sdktrace.IDGenerator.
func (idGenerator) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	document, _ := ctx.Value(documentKey{}).(uuid.UUID)
	return trace.TraceID(document), firstSpanID(document)
}

// NewSpanID implements sdktrace.IDGenerator.
func (idGenerator) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1) // never zero
	return id
}

// sampler selects documents by the last 32 bits of their IDs, which are random. The sampler of the
// SDK uses the last 64 bits, two of which are fixed in a UUID.
type sampler struct{ ratio float64 }

// ShouldSample implements sdktrace.Sampler.
func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	fraction := float64(binary.BigEndian.Uint32(p.TraceID[12:])) / (1 << 32)
	if fraction < s.ratio {
		return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
	}
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}

// Description implements sdktrace.Sampler.
func (s sampler) Description() string { return fmt.Sprintf("documents:%g", s.ratio) }
