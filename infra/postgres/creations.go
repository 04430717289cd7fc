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

// creationQueue are the new documents of concurrent requests, which are stored by one statement and one
// commit. No request waits for others: one that comes while no statement is under way is stored at
// once, and all that come meanwhile are stored together next.
type creationQueue struct {
	mu      sync.Mutex
	waiting []*creation
	running bool // a statement is under way
}

const (
	// maxCreationBatch bounds what one statement stores, and so for how long it holds quotas.
	maxCreationBatch = 64
	// createTimeout is longer than the server lets a statement run.
	createTimeout = 20 * time.Second
)

// A creation is one new document.
type creation struct {
	ctx        context.Context
	document   schema.Document
	maxPending int64

	done   chan struct{} // closed when the following are set
	result createResult
	err    error
}

// A createAnswer is what the database says of a new document.
type createResult struct {
	// RemainingBytes is what was left of the quota before, in bytes. Without it nothing was decided.
	RemainingBytes sql.NullInt64 `db:"remaining_bytes"`
	// Pending is the limit on pending documents if it was reached, otherwise 0.
	Pending sql.NullInt64 `db:"pending"`
}

// create stores a document, with others if there are, and returns when that is done.
func (c *creationQueue) create(ctx context.Context, db *DB, d schema.Document, maxPending int) (createResult, error) {
	mine := &creation{ctx: ctx, document: d, maxPending: int64(maxPending), done: make(chan struct{})}
	c.mu.Lock()
	c.waiting = append(c.waiting, mine)
	if !c.running {
		c.running = true
		go c.run(db)
	}
	c.mu.Unlock()
	select {
	case <-mine.done:
		return mine.result, mine.err
	case <-ctx.Done():
		return createResult{}, ctx.Err()
	}
}

// run stores what waits, until nothing does.
func (c *creationQueue) run(db *DB) {
	for {
		together := c.nextBatch()
		if len(together) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(together[0].ctx), createTimeout)
		answers, err := db.createBatch(ctx, together)
		cancel()
		for i, one := range together {
			if one.err = err; err == nil {
				one.result = answers[i]
			}
			close(one.done)
		}
	}
}

// nextBatch takes from what waits, without those whose callers have gone. When it returns none, nothing is busy any more.
func (c *creationQueue) nextBatch() (together []*creation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(together) < maxCreationBatch && len(c.waiting) > 0 {
		if first := c.waiting[0]; first.ctx.Err() == nil {
			together = append(together, first)
		}
		c.waiting = c.waiting[1:]
	}
	c.running = len(together) > 0
	return together
}

func (db *DB) createBatch(ctx context.Context, together []*creation) ([]createResult, error) {
	stmt, err := db.prepare(ctx, `SELECT remaining_bytes, pending FROM create_documents($1, $2, $3, $4, $5, $6, $7)`)
	if err != nil {
		return nil, err
	}
	documents, maxPending := make([]*schema.Document, len(together)), make([]int64, len(together))
	for i, one := range together {
		documents[i], maxPending[i] = &one.document, one.maxPending
	}
	var answers []createResult
	if err := stmt.SelectContext(ctx, &answers,
		column(documents, func(d *schema.Document) uuid.UUID { return d.UserID }),
		column(documents, func(d *schema.Document) uuid.UUID { return d.ID }),
		column(documents, func(d *schema.Document) string { return d.Filename }),
		column(documents, func(d *schema.Document) string { return d.ContentType }),
		column(documents, func(d *schema.Document) int64 { return d.Size }),
		column(documents, func(d *schema.Document) time.Time { return d.CreatedAt }),
		array(maxPending)); err != nil {
		return nil, err
	}
	if len(answers) != len(together) {
		return nil, fmt.Errorf("%d answers for %d documents", len(answers), len(together))
	}
	return answers, nil
}
