package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"intray/infra/telemetry"
)

func newID(t *testing.T) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

type span struct {
	TraceID, SpanID, ParentSpanID, Name string
	StartTimeUnixNano, EndTimeUnixNano  string
	Attributes                          []struct {
		Key   string
		Value map[string]string
	}
	Links  []struct{ TraceID, SpanID string }
	Status struct {
		Code    int
		Message string
	}
}

// collector takes spans as OTLP's JSON.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	spans  []span
	header http.Header
}

func newCollector(t *testing.T) *collector {
	c := &collector{status: http.StatusOK}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		var request struct {
			ResourceSpans []struct{ ScopeSpans []struct{ Spans []span } }
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		c.header = r.Header
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
		w.WriteHeader(c.status)
	}))
	t.Cleanup(c.Close)
	return c
}

func TestOneTraceForADocument(t *testing.T) {
	c := newCollector(t)
	end, err := telemetry.StartTracing(telemetry.TraceConfig{Endpoint: c.URL + "/v1/traces", Headers: map[string]string{"X-Key": "k"}, Ratio: 1, Service: "test"})
	if err != nil {
		t.Fatal(err)
	}
	id := newID(t)
	hex := strings.ReplaceAll(id.String(), "-", "")
	from := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	at := time.Unix(1_700_000_000, 5)
	telemetry.FirstStep(id, "POST /x", at, from)
	telemetry.Step(id, "confirm", at, at.Add(time.Second), errors.New("no"), attribute.Int64("bytes", 7))
	if !telemetry.Tracing() {
		t.Error("it does not trace")
	}
	if err := end(t.Context()); err != nil {
		t.Fatal(err)
	}
	if telemetry.Tracing() {
		t.Error("it goes on")
	}
	telemetry.Step(id, "late", at, at, nil)
	if len(c.spans) != 2 || c.header.Get("X-Key") != "k" {
		t.Fatalf("spans %+v, header %v", c.spans, c.header)
	}
	first, second := c.spans[0], c.spans[1]
	if first.TraceID != hex || second.TraceID != hex || first.ParentSpanID != "" || second.ParentSpanID != first.SpanID || second.SpanID == first.SpanID {
		t.Errorf("%+v\n%+v, want one trace %s with the first as the parent", first, second, hex)
	}
	if len(first.Links) != 1 || first.Links[0].TraceID != from.TraceID().String() {
		t.Errorf("links %+v", first.Links)
	}
	if second.Status.Code != 2 || second.Status.Message != "no" || second.StartTimeUnixNano != "1700000000000000005" || second.EndTimeUnixNano != "1700000001000000005" {
		t.Errorf("%+v", second)
	}
	if a := second.Attributes[0]; a.Key != "bytes" || a.Value["intValue"] != "7" {
		t.Errorf("attribute %+v", a)
	}
}

func TestRatio(t *testing.T) {
	c := newCollector(t)
	const n = 400
	end, err := telemetry.StartTracing(telemetry.TraceConfig{Endpoint: c.URL + "/v1/traces", Ratio: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		id := newID(t)
		telemetry.FirstStep(id, "a", time.Now(), trace.SpanContext{})
		telemetry.Step(id, "b", time.Now(), time.Now(), nil)
	}
	if err := end(t.Context()); err != nil {
		t.Fatal(err)
	}
	steps := map[string]int{}
	for _, s := range c.spans {
		steps[s.TraceID]++
	}
	if len(steps) < n/3 || len(steps) > n*2/3 { // seven standard deviations
		t.Errorf("%d of %d documents are traced", len(steps), n)
	}
	for id, k := range steps {
		if k != 2 {
			t.Errorf("%d steps of %s", k, id)
		}
	}
}

func TestNoAddressNoTrace(t *testing.T) {
	if _, err := telemetry.StartTracing(telemetry.TraceConfig{}); err != nil || telemetry.Tracing() {
		t.Errorf("error %v, tracing %v", err, telemetry.Tracing())
	}
	for _, c := range []telemetry.TraceConfig{{Endpoint: "collector:4318", Ratio: 1}, {Endpoint: "http://c", Ratio: 2}} {
		if _, err := telemetry.StartTracing(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	id := uuid.New()
	if n := testing.AllocsPerRun(100, func() { telemetry.Step(id, "confirm", time.Time{}, time.Time{}, nil) }); n > 0 {
		t.Errorf("a step that is not traced allocates %v times", n)
	}
}

func TestACollectorThatFailsIsToldOnce(t *testing.T) {
	c := newCollector(t)
	c.status = http.StatusServiceUnavailable
	var out bytes.Buffer
	end, err := telemetry.StartTracing(telemetry.TraceConfig{Endpoint: strings.Replace(c.URL, "http://", "http://user:secret@", 1) + "/v1/traces", Ratio: 1, Log: slog.New(slog.NewJSONHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	telemetry.Step(newID(t), "a", time.Now(), time.Now(), nil)
	if err := end(context.Background()); err != nil {
		t.Errorf("the end fails: %v", err)
	}
	if n := strings.Count(out.String(), "traces cannot be sent"); n != 1 || strings.Contains(out.String(), "secret") {
		t.Errorf("the log says\n%s", &out)
	}
}

func TestLogsNameTheTrace(t *testing.T) {
	id := newID(t)
	hex := `"trace_id":"` + strings.ReplaceAll(id.String(), "-", "") + `"`
	for name, line := range map[string]func(*slog.Logger){
		"as an id":          func(l *slog.Logger) { l.Info("x", "document_id", id) },
		"as text":           func(l *slog.Logger) { l.Info("x", "a", 1, "document_id", id.String()) },
		"where it may lack": func(l *slog.Logger) { l.Info("x", "document_id", uuid.NullUUID{UUID: id, Valid: true}) },
		"of the logger":     func(l *slog.Logger) { l.With("document_id", id).Info("x") },
	} {
		var out bytes.Buffer
		line(slog.New(telemetry.LogHandler(slog.NewJSONHandler(&out, nil))).With("part", "p"))
		if strings.Count(out.String(), hex) != 1 {
			t.Errorf("%s: %s", name, &out)
		}
	}
	var out bytes.Buffer
	log := slog.New(telemetry.LogHandler(slog.NewJSONHandler(&out, nil)))
	log.Info("x", "document_id", "no id", "user_id", id)
	log.Info("x", "document_id", uuid.NullUUID{})
	if strings.Contains(out.String(), "trace_id") {
		t.Errorf("without a document: %s", &out)
	}
}

func TestMetrics(t *testing.T) {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "intray_test_total", Help: "h"})
	c.Add(3)
	w := httptest.NewRecorder()
	telemetry.MetricsHandler(c).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	text, _ := io.ReadAll(w.Body)
	for _, want := range []string{"\nintray_test_total 3\n", "\nintray_build_info{commit=", "\ngo_goroutines ", "\nprocess_cpu_seconds_total "} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
