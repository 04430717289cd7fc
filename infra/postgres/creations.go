package postgres

import (
	"context"
	"sync"
	"time"

	"intray/schema"
)

// A creationQueue stores the new documents of concurrent requests in batches, each with one
// statement and one commit. It never waits for a batch to fill: if no statement is running, a
// document is stored immediately. Documents that arrive while a statement is running form the next
// batch.
type creationQueue struct {
	mu      sync.Mutex
	waiting []*creation
	running bool // a statement is running
}

const (
	// maxCreationBatch is the largest number of documents in a batch. It limits how long the first of
	// them waits for the last.
	maxCreationBatch = 64
	// createTimeout is the timeout of a batch. It is longer than the server's statement_timeout.
	createTimeout = 20 * time.Second
)

// A creation is the request to store one new document.
type creation struct {
	ctx        context.Context
	document   schema.Document
	maxPending int

	done   chan struct{} // closed after result and err are set
	result createResult
	err    error
}

// create stores a document, in a batch with others if there are any, and waits for the result.
func (q *creationQueue) create(
	ctx context.Context, db *DB, d schema.Document, maxPending int,
) (createResult, error) {
	c := &creation{ctx: ctx, document: d, maxPending: maxPending, done: make(chan struct{})}
	q.mu.Lock()
	q.waiting = append(q.waiting, c)
	if !q.running {
		q.running = true
		go q.run(db)
	}
	q.mu.Unlock()
	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
		return createResult{}, ctx.Err()
	}
}

// run stores batches until no creation is waiting.
func (q *creationQueue) run(db *DB) {
	for {
		batch := q.nextBatch()
		if len(batch) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(batch[0].ctx), createTimeout)
		err := db.createBatch(ctx, batch)
		cancel()
		for _, c := range batch {
			c.err = err
			close(c.done)
		}
	}
}

// nextBatch removes the next batch from the queue, without the creations whose context has ended.
// All creations of a batch have the same limit. If there is none, nextBatch returns nil and sets
// running to false.
func (q *creationQueue) nextBatch() (batch []*creation) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(batch) < maxCreationBatch && len(q.waiting) > 0 &&
		(len(batch) == 0 || q.waiting[0].maxPending == batch[0].maxPending) {
		if first := q.waiting[0]; first.ctx.Err() == nil {
			batch = append(batch, first)
		}
		q.waiting = q.waiting[1:]
	}
	q.running = len(batch) > 0
	return batch
}

// createBatch stores the documents of a batch and sets their results.
func (db *DB) createBatch(ctx context.Context, batch []*creation) error {
	documents := make([]*schema.Document, len(batch))
	for i, c := range batch {
		documents[i] = &c.document
	}
	results, err := db.callCreateDocuments(ctx, documents, batch[0].maxPending, false)
	for i := range results {
		batch[i].result = results[i]
	}
	return err
}
