package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
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

// counted are the counts of messages by kind and outcome.
func counted(t *testing.T) map[string]float64 {
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

// TestOutcomesAreCounted is not parallel: what it reads is the whole process's.
func TestOutcomesAreCounted(t *testing.T) {
	b := consumertest.New(t)
	before := counted(t)
	var mu sync.Mutex
	postponed := false
	config := quick
	config.Batch = 1 // in a larger one what fails is handled again first
	stop := run(t, b, config, alwaysUp, each(func(m runner.Message[string]) error {
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
	publish(b, "fine", "fails", "later", "undecodable")
	awaitIdle(b)
	stop()
	after := counted(t)
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

func TestAFailureNamesItsDocument(t *testing.T) {
	b := consumertest.New(t)
	var mu sync.Mutex
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return out.Write(p)
	}), nil))
	const id = "0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b"
	fails := func(_ context.Context, batch []runner.Message[[]schema.BucketRecord]) []error {
		return []error{runner.Permanent(errors.New("no"))}[:len(batch)]
	}
	run, err := runner.New(b.Conn, b.DB, alwaysUp, schema.DecodeBucketEvent, fails, quick, log)
	if err != nil {
		t.Fatal(err)
	}
	stop := b.Go(run.Run)
	event, err := json.Marshal(map[string]any{"Records": []any{map[string]any{
		"eventName": "s3:ObjectCreated:Put", "s3": map[string]any{"object": map[string]any{"key": "documents/0193a5b07d/" + id}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	b.Publish(schema.SubjectCreatedDirect, event)
	awaitIdle(b)
	stop()
	if !strings.Contains(out.String(), `"msg":"message became a dead letter"`) || !strings.Contains(out.String(), `"document_id":"`+id+`"`) {
		t.Errorf("got the log\n%s\nwant a line that names what it is about", &out)
	}

	// What cannot be read names no document.
	out.Reset()
	unread, err := runner.New(b.Conn, b.DB, alwaysUp, schema.DecodeDocumentEvent, nil, quick, log)
	if err != nil {
		t.Fatal(err)
	}
	stop = b.Go(unread.Run)
	b.Publish(schema.SubjectCreatedDirect, []byte(`{}`))
	awaitIdle(b)
	stop()
	if !strings.Contains(out.String(), `"msg":"message became a dead letter"`) || strings.Contains(out.String(), "document_id\":") {
		t.Errorf("got the log\n%s\nwant a line that names what it is about", &out)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
