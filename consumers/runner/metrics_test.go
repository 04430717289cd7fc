package runner_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/schema"
)

// counterValues returns the values of the message counters, by name, kind and outcome.
func counterValues(t *testing.T) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(runner.Metrics()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "intray_events_total" && f.GetName() != "intray_redeliveries_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				if l.GetName() == "kind" || l.GetName() == "outcome" {
					name += " " + l.GetValue()
				}
			}
			counts[name] += m.GetCounter().GetValue()
		}
	}
	return counts
}

// This test must not run in parallel with others: the metrics are those of the whole process.
func TestOutcomesAreCounted(t *testing.T) {
	b := consumertest.New(t)
	before := counterValues(t)
	var mu sync.Mutex
	postponed := false
	config := fastConfig
	config.Batch = 1 // in a larger batch, failed messages would be handled again first
	stop := runInBatches(t, b, config, handleEach(func(m runner.Message[string]) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case m.Event == "fails":
			return errors.New("no")
		case m.Event == "later" && !postponed:
			postponed = true
			return runner.Postpone(errors.New("not yet"), time.Millisecond)
		}
		return nil
	}))
	publish(b, "ok", "fails", "later", "undecodable")
	awaitIdle(b)
	stop()
	after := counterValues(t)
	for name, want := range map[string]float64{
		"intray_events_total bucket.created.direct done":      2,
		"intray_events_total bucket.created.direct retried":   2,
		"intray_events_total bucket.created.direct postponed": 1,
		"intray_events_total bucket.created.direct dead":      2,
		"intray_redeliveries_total":                           3,
	} {
		if got := after[name] - before[name]; got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestDeadLetterLogIncludesTheDocumentID(t *testing.T) {
	const id = "0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b"
	const message = `"msg":"message dead-lettered"`
	b := consumertest.New(t)
	t.Run("if the event names a document", func(t *testing.T) {
		handle := func(_ context.Context, batch []runner.Message[[]schema.BucketRecord]) []error {
			return []error{runner.Permanent(errors.New("no"))}[:len(batch)]
		}
		const key = "documents/0193a5b07d/" + id
		event := consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, key)
		got := logOf(t, b, schema.DecodeBucketEvent, handle, event)
		want := `"document_id":"` + id + `"`
		if !strings.Contains(got, message) || !strings.Contains(got, want) {
			t.Errorf("got log\n%s\nwant a line with %s and %s", got, message, want)
		}
	})
	t.Run("but not if the event cannot be decoded", func(t *testing.T) {
		got := logOf(t, b, schema.DecodeDocumentEvent, nil, []byte(`{}`))
		if !strings.Contains(got, message) || strings.Contains(got, `"document_id":`) {
			t.Errorf("got log\n%s\nwant a line with %s and no document_id", got, message)
		}
	})
}

// logOf returns the JSON log of a runner that handles one event.
func logOf[T any](
	t *testing.T, b *consumertest.Bundle, decode func([]byte) (T, error), handle runner.Handler[T],
	event []byte,
) string {
	t.Helper()
	var mu sync.Mutex
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return out.Write(p)
	}), nil))
	r, err := runner.New(b.Conn, b.DB, decode, handle, fastConfig, log)
	if err != nil {
		t.Fatal(err)
	}
	stop := b.Go(r.Run)
	b.Publish(schema.SubjectCreatedDirect, event)
	awaitIdle(b)
	stop()
	return out.String()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
