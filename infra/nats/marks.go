package nats

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"intray/schema"
)

const (
	// markDelay is how long a document waits at most until it is marked as published. Most documents
	// that are uploaded are classified within that time. Their first event then needs no mark, because
	// a later version has replaced it.
	markDelay = 200 * time.Millisecond
	// maxDeferred is the largest number of documents of one call that are marked later. More documents
	// are marked together anyway.
	maxDeferred = 64
)

// marks marks documents as published in batches, shortly after their events are stored. If the
// process ends before that, the documents stay marked as unpublished, and the sweeper publishes
// their events again.
type marks struct {
	db  Marker
	log *slog.Logger

	all      sync.WaitGroup // of run
	flushing chan struct{}  // closed by flush

	mu      sync.Mutex
	waiting []schema.Document
	running bool
}

func newMarks(db Marker, log *slog.Logger) *marks {
	return &marks{db: db, log: log, flushing: make(chan struct{})}
}

// add adds documents whose events are stored.
func (m *marks) add(docs []schema.Document) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting = append(m.waiting, docs...)
	if !m.running && len(m.waiting) > 0 {
		m.running = true
		m.all.Go(m.run)
	}
}

// flush marks the documents that are waiting without a delay. No document may be added after it is
// called.
func (m *marks) flush() {
	close(m.flushing)
	m.all.Wait()
}

// run marks documents until none is waiting.
func (m *marks) run() {
	for {
		timer := time.NewTimer(markDelay)
		select {
		case <-timer.C:
		case <-m.flushing:
		}
		timer.Stop()
		batch := m.next()
		if len(batch) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), PublishTimeout)
		if err := m.db.MarkPublished(ctx, batch); err != nil {
			m.log.Warn("failed to mark documents as published; the sweeper will publish them again",
				"documents", len(batch), "error", err)
		}
		cancel()
	}
}

// next removes the waiting documents. If there is none, it returns nil and sets running to false.
func (m *marks) next() []schema.Document {
	m.mu.Lock()
	defer m.mu.Unlock()
	batch := m.waiting
	m.waiting, m.running = nil, len(batch) > 0
	return batch
}
