package telemetry

import (
	"context"
	"encoding/binary"
	"errors"
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

// TraceConfig says where traces go.
type TraceConfig struct {
	// Endpoint is the URL that takes spans by OTLP over HTTP, such as
	// http://collector:4318/v1/traces. Empty: nothing is traced.
	Endpoint string
	// Headers go with each request, such as a key.
	Headers map[string]string
	// Ratio is the part of the documents that are traced, 0 to 1; every process
	// chooses the same ones.
	Ratio float64
	// Service names the process.
	Service string
	// Log is told when spans cannot be sent, and when they can again.
	Log *slog.Logger
}

// tracer is nil where nothing is traced, which costs a step the look at it.
var tracer atomic.Pointer[trace.Tracer]

// StartTracing has the steps of documents sent from now on, until the returned function
// sends what is left. Spans that come faster than they can be sent are dropped: no
// work waits for them.
func StartTracing(c TraceConfig) (end func(context.Context) error, err error) {
	if c.Endpoint == "" {
		return func(context.Context) error { return nil }, nil
	}
	if math.IsNaN(c.Ratio) || c.Ratio < 0 || c.Ratio > 1 {
		return nil, errors.New("the ratio of traced documents is from 0 to 1")
	}
	sender, err := newSender(c)
	if err != nil {
		return nil, err
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(sender), sdktrace.WithIDGenerator(ids{}), sdktrace.WithSampler(sampler{c.Ratio}),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.namespace", "intray"), attribute.String("service.name", "intray-"+c.Service))),
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

// Tracing reports whether steps are sent: where they are not, what they would be made
// of need not be gathered.
func Tracing() bool { return tracer.Load() != nil }

// FirstStep is the first step of a document's trace: its upload URL is asked for. from
// is the trace of whoever asked, which the step links to; it may be empty.
func FirstStep(document uuid.UUID, name string, began time.Time, from trace.SpanContext) {
	t := tracer.Load()
	if t == nil {
		return
	}
	options := []trace.SpanStartOption{trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(documentID(document))}
	if from.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: from}))
	}
	_, span := (*t).Start(context.WithValue(context.Background(), documentKey{}, document), name, options...)
	span.End()
}

// Step adds a step to a document's trace, which took from began to ended. Its error
// may be nil.
func Step(document uuid.UUID, name string, began, ended time.Time, err error, attributes ...attribute.KeyValue) {
	t := tracer.Load()
	if t == nil {
		return
	}
	parent := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(document), SpanID: firstSpan(document), TraceFlags: trace.FlagsSampled, Remote: true,
	})
	_, span := (*t).Start(trace.ContextWithRemoteSpanContext(context.Background(), parent), name,
		trace.WithTimestamp(began), trace.WithAttributes(append(attributes, documentID(document))...))
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End(trace.WithTimestamp(ended))
}

func documentID(id uuid.UUID) attribute.KeyValue { return attribute.String("document_id", id.String()) }

// A document's trace has the document's id, and the id of its first span is made of
// it: so every process knows both, and nothing has to carry them
// (docs/adr/0014-traces.md).
func firstSpan(document uuid.UUID) (id trace.SpanID) {
	copy(id[:], document[8:]) // its two highest bits are 10, so it is never zero
	return id
}

type documentKey struct{}

// ids gives the first span of a document its ids, and all others random ones.
type ids struct{}

// NewIDs implements sdktrace.IDGenerator.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	document, _ := ctx.Value(documentKey{}).(uuid.UUID)
	return trace.TraceID(document), firstSpan(document)
}

// NewSpanID implements sdktrace.IDGenerator.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1) // never zero
	return id
}

// sampler chooses documents by the last bits of their ids, which are random. The
// SDK's own looks at the bits before them too, of which two are fixed in a UUID.
type sampler struct{ ratio float64 }

// ShouldSample implements sdktrace.Sampler.
func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	drawn := float64(binary.BigEndian.Uint32(p.TraceID[12:])) / (1 << 32)
	if drawn < s.ratio {
		return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
	}
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}

// Description implements sdktrace.Sampler.
func (s sampler) Description() string { return fmt.Sprintf("documents:%g", s.ratio) }
