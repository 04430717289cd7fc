package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// collector receives spans with OTLP as JSON.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	spans  []span
	header http.Header
}

// newCollector starts a collector, which stops at the end of the test.
func newCollector(t *testing.T) *collector {
	c := &collector{status: http.StatusOK}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		var request struct {
			ResourceSpans []struct{ ScopeSpans []struct{ Spans []span } }
		}
		err := json.NewDecoder(r.Body).Decode(&request)
		kind := r.Header.Get("Content-Type")
		if err != nil || r.URL.Path != "/v1/traces" || kind != "application/json" {
			t.Errorf("got %s %s with Content-Type %s (%v), want JSON for /v1/traces",
				r.Method, r.URL, kind, err)
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

func TestStepsOfADocumentAreOneTrace(t *testing.T) {
	c := newCollector(t)
	end, err := telemetry.StartTracing(telemetry.TraceConfig{
		Endpoint: c.URL + "/v1/traces",
		Headers:  map[string]string{"X-Key": "k"},
		Ratio:    1,
		Service:  "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	id := newID(t)
	hex := strings.ReplaceAll(id.String(), "-", "")
	from := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2},
	})
	at := time.Unix(1_700_000_000, 5)
	telemetry.FirstStep(id, "POST /x", at, from)
	telemetry.Step(id, "confirm", at, at.Add(time.Second), errors.New("failed"),
		attribute.Int64("bytes", 7))
	if !telemetry.Tracing() {
		t.Error("Tracing after StartTracing: got false, want true")
	}
	if err := end(t.Context()); err != nil {
		t.Fatal(err)
	}
	if telemetry.Tracing() {
		t.Error("Tracing after the end: got true, want false")
	}
	telemetry.Step(id, "step after the end", at, at, nil)

	if len(c.spans) != 2 {
		t.Fatalf("got spans %+v, want 2", c.spans)
	}
	first, second := c.spans[0], c.spans[1]
	t.Run("the request has the configured headers", func(t *testing.T) {
		if got := c.header.Get("X-Key"); got != "k" {
			t.Errorf("got X-Key %q, want k", got)
		}
	})
	t.Run("the first span is the parent", func(t *testing.T) {
		if first.TraceID != hex || second.TraceID != hex {
			t.Errorf("got traces %s and %s, want %s for both", first.TraceID, second.TraceID, hex)
		}
		if first.ParentSpanID != "" || second.ParentSpanID != first.SpanID ||
			second.SpanID == first.SpanID {
			t.Errorf("got spans\n%+v and\n%+v, want the first to be the parent", first, second)
		}
	})
	t.Run("the first span links to the client's trace", func(t *testing.T) {
		if len(first.Links) != 1 || first.Links[0].TraceID != from.TraceID().String() {
			t.Errorf("got links %+v, want one to %s", first.Links, from.TraceID())
		}
	})
	t.Run("a step has its times, its error and its attributes", func(t *testing.T) {
		start, end := second.StartTimeUnixNano, second.EndTimeUnixNano
		if start != "1700000000000000005" || end != "1700000001000000005" {
			t.Errorf("got times %s to %s, want 1700000000000000005 and a second later", start, end)
		}
		if second.Status.Code != 2 || second.Status.Message != "failed" {
			t.Errorf("got status %+v, want code 2 and the error", second.Status)
		}
		if a := second.Attributes[0]; a.Key != "bytes" || a.Value["intValue"] != "7" {
			t.Errorf("got attribute %+v, want bytes 7", a)
		}
	})
}

func TestRatio(t *testing.T) {
	c := newCollector(t)
	const n = 400
	config := telemetry.TraceConfig{Endpoint: c.URL + "/v1/traces", Ratio: 0.5}
	end, err := telemetry.StartTracing(config)
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
	if len(steps) < n/3 || len(steps) > n*2/3 { // more than six standard deviations from n/2
		t.Errorf("got %d of %d documents, want about half", len(steps), n)
	}
	for id, k := range steps {
		if k != 2 {
			t.Errorf("trace %s: got %d steps, want both", id, k)
		}
	}
}

func TestTracingIsOffWithoutAnEndpoint(t *testing.T) {
	if _, err := telemetry.StartTracing(telemetry.TraceConfig{}); err != nil {
		t.Fatal(err)
	}
	if telemetry.Tracing() {
		t.Error("Tracing: got true, want false")
	}
	id := uuid.New()
	step := func() { telemetry.Step(id, "confirm", time.Time{}, time.Time{}, nil) }
	if n := testing.AllocsPerRun(100, step); n > 0 {
		t.Errorf("Step: got %v allocations, want 0", n)
	}
}

func TestStartTracingRejectsInvalidConfig(t *testing.T) {
	for name, config := range map[string]telemetry.TraceConfig{
		"endpoint without a scheme": {Endpoint: "collector:4318", Ratio: 1},
		"ratio above 1":             {Endpoint: "http://c", Ratio: 2},
	} {
		if _, err := telemetry.StartTracing(config); err == nil {
			t.Errorf("%s: got success, want an error", name)
		}
	}
}

// The error must be logged once, without the password in the endpoint.
func TestFailureToSendIsLogged(t *testing.T) {
	c := newCollector(t)
	c.status = http.StatusServiceUnavailable
	var out bytes.Buffer
	address := strings.Replace(c.URL, "http://", "http://user:secret@", 1)
	end, err := telemetry.StartTracing(telemetry.TraceConfig{
		Endpoint: address + "/v1/traces",
		Ratio:    1,
		Log:      slog.New(slog.NewJSONHandler(&out, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	telemetry.Step(newID(t), "a", time.Now(), time.Now(), nil)
	if err := end(context.Background()); err != nil {
		t.Errorf("end: got %v, want nil", err)
	}
	if n := strings.Count(out.String(), "cannot send traces"); n != 1 {
		t.Errorf("got log\n%s\nwith %d failures, want 1", &out, n)
	}
	if strings.Contains(out.String(), "secret") {
		t.Errorf("got log\n%s\nwant it without the password", &out)
	}
}

func TestLogHandlerAddsTheTraceID(t *testing.T) {
	id := newID(t)
	valid := uuid.NullUUID{UUID: id, Valid: true}
	hex := `"trace_id":"` + strings.ReplaceAll(id.String(), "-", "") + `"`
	for name, test := range map[string]struct {
		log  func(*slog.Logger)
		want int
	}{
		"UUID":               {func(l *slog.Logger) { l.Info("x", "document_id", id) }, 1},
		"string":             {func(l *slog.Logger) { l.Info("x", "a", 1, "document_id", id.String()) }, 1},
		"valid NullUUID":     {func(l *slog.Logger) { l.Info("x", "document_id", valid) }, 1},
		"invalid NullUUID":   {func(l *slog.Logger) { l.Info("x", "document_id", uuid.NullUUID{}) }, 0},
		"logger's attribute": {func(l *slog.Logger) { l.With("document_id", id).Info("x") }, 1},
		"not a UUID":         {func(l *slog.Logger) { l.Info("x", "document_id", "none") }, 0},
		"another attribute":  {func(l *slog.Logger) { l.Info("x", "user_id", id) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			handler := telemetry.LogHandler(slog.NewJSONHandler(&out, nil))
			test.log(slog.New(handler).With("part", "p"))
			all, got := strings.Count(out.String(), "trace_id"), strings.Count(out.String(), hex)
			if got != test.want || all != test.want {
				t.Errorf("got %s, want %d times %s", &out, test.want, hex)
			}
		})
	}
}

func TestMetricsHandler(t *testing.T) {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "intray_test_total", Help: "h"})
	c.Add(3)
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	telemetry.MetricsHandler(c).ServeHTTP(w, r)
	text := w.Body.String()
	for _, want := range []string{
		"\nintray_test_total 3\n",
		"\nintray_build_info{commit=",
		"\ngo_goroutines ",
		"\nprocess_cpu_seconds_total ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("got\n%s\nwant %q in it", text, want)
		}
	}
}
