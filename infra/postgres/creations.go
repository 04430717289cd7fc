package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

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
	maxPending int64

	done   chan struct{} // closed after result and err are set
	result createResult
	err    error
}

// A createResult is what the database returns for a new document.
type createResult struct {
	// RemainingBytes is the rest of the quota before the document is charged. If it is NULL, the
	// document was not stored and the caller has to call create_document.
	RemainingBytes sql.NullInt64 `db:"remaining_bytes"`
	// Pending is the limit on pending documents if the limit was reached, otherwise 0.
	Pending sql.NullInt64 `db:"pending"`
	// Now is the time of the transaction, which is when the document was created.
	Now time.Time `db:"now"`
}

// create stores a document, in a batch with others if there are any, and waits for the result.
func (q *creationQueue) create(
	ctx context.Context, db *DB, d schema.Document, maxPending int,
) (createResult, error) {
	c := &creation{ctx: ctx, document: d, maxPending: int64(maxPending), done: make(chan struct{})}
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
// If there is none, it returns nil and sets running to false.
func (q *creationQueue) nextBatch() (batch []*creation) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(batch) < maxCreationBatch && len(q.waiting) > 0 {
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
	stmt, err := db.prepare(ctx, `
		SELECT remaining_bytes, pending, now() AS now FROM create_documents(
			$1, $2, $3, $4, $5, array_fill(now(), ARRAY[cardinality($6::bigint[])]), $6)`)
	if err != nil {
		return err
	}
	documents, maxPending := make([]*schema.Document, len(batch)), make([]int64, len(batch))
	for i, c := range batch {
		documents[i], maxPending[i] = &c.document, c.maxPending
	}
	var results []createResult
	if err := stmt.SelectContext(ctx, &results,
		column(documents, func(d *schema.Document) uuid.UUID { return d.UserID }),
		column(documents, func(d *schema.Document) uuid.UUID { return d.ID }),
		column(documents, func(d *schema.Document) string { return d.Filename }),
		column(documents, func(d *schema.Document) string { return d.ContentType }),
		column(documents, func(d *schema.Document) int64 { return d.Size }),
		array(maxPending)); err != nil {
		return err
	}
	if len(results) != len(batch) {
		return fmt.Errorf("create_documents returned %d rows for %d documents",
			len(results), len(batch))
	}
	for i, c := range batch {
		c.result = results[i]
	}
	return nil
}
