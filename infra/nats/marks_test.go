package nats

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// recordedMarks is a Marker that records the numbers of documents of its calls.
type recordedMarks struct {
	mu    sync.Mutex
	calls []int
	err   error
	takes time.Duration
}

func (r *recordedMarks) MarkPublished(_ context.Context, docs []schema.Document) error {
	time.Sleep(r.takes) //nolint:forbidigo // the clock of synctest is not real
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, len(docs))
	return r.err
}

func (r *recordedMarks) expect(t *testing.T, what string, want ...int) {
	t.Helper()
	synctest.Wait()
	r.expectNow(t, what, want...)
}

// expectNow is like expect, but does not wait for calls that are in progress.
func (r *recordedMarks) expectNow(t *testing.T, what string, want ...int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.calls, want) {
		t.Errorf("%s: got calls with %v documents, want %v", what, r.calls, want)
	}
}

func documents(n int) []schema.Document {
	docs := make([]schema.Document, n)
	for i := range docs {
		docs[i].ID = uuid.New()
	}
	return docs
}

func TestMarksAreDeferredAndMadeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &recordedMarks{}
		p := NewDeferringPublisher(nil, db, slog.New(slog.DiscardHandler))
		mark := func(docs ...schema.Document) {
			t.Helper()
			if err := p.markLater(t.Context(), docs); err != nil {
				t.Error(err)
			}
		}
		mark(documents(1)...)
		mark(documents(2)...)
		db.expect(t, "before the delay")
		time.Sleep(markDelay) //nolint:forbidigo // the clock of synctest is not real
		db.expect(t, "after the delay", 3)
		now := time.Now()
		mark(append(documents(2), schema.Document{GoneAt: &now})...)
		db.expect(t, "with a document that is gone", 3, 1)
		mark(documents(maxDeferred + 1)...)
		db.expect(t, "with many documents", 3, 1, maxDeferred+1)
		db.takes = time.Second
		p.Flush()
		db.expectNow(t, "after Flush", 3, 1, maxDeferred+1, 2)
	})
}

func TestFailedMarksAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &recordedMarks{err: errors.New("unavailable")}
		p := NewDeferringPublisher(nil, db, slog.New(slog.DiscardHandler))
		if err := p.markLater(t.Context(), documents(1)); err != nil {
			t.Errorf("got %v, want no error", err)
		}
		time.Sleep(markDelay) //nolint:forbidigo // the clock of synctest is not real
		db.expect(t, "after the delay", 1)
		p.Flush()
		db.expect(t, "after Flush", 1)
	})
}
