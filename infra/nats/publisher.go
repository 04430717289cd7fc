package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// Marker records in the database that document events are published. *postgres.DB implements it.
type Marker interface {
	// MarkPublished marks the documents as published, except those whose version or announcement has
	// changed in the database.
	MarkPublished(ctx context.Context, docs []schema.Document) error
}

// Publisher publishes document events and hints, and marks the documents as published in the
// database. It is safe for concurrent use.
type Publisher struct {
	conn  *Conn
	db    Marker
	log   *slog.Logger
	marks *marks // nil if TryPublish marks the documents itself
}

// NewPublisher returns a Publisher.
func NewPublisher(conn *Conn, db Marker, log *slog.Logger) *Publisher {
	return &Publisher{conn: conn, db: db, log: log}
}

// NewDeferringPublisher returns a Publisher whose TryPublish marks documents as published some time
// after it has returned, together with those of other calls. The caller must call Flush.
func NewDeferringPublisher(conn *Conn, db Marker, log *slog.Logger) *Publisher {
	return &Publisher{conn: conn, db: db, log: log, marks: newMarks(db, log)}
}

// Flush waits until the documents of all calls of TryPublish are marked as published. TryPublish
// must not be called after it. A Publisher from NewPublisher has nothing to flush.
func (p *Publisher) Flush() {
	if p.marks != nil {
		p.marks.flush()
	}
}

// Unpublished returns those of docs whose last transition has not been published yet.
func Unpublished(docs []schema.Document) []schema.Document {
	var unpublished []schema.Document
	for _, d := range docs {
		if d.UnpublishedAt != nil {
			unpublished = append(unpublished, d)
		}
	}
	return unpublished
}

// Publish publishes the events of those of docs that are unpublished. When the stream has stored
// the events, Publish marks their documents as published. It returns the number of documents whose
// events are stored, even if it also returns an error.
func (p *Publisher) Publish(
	ctx context.Context, docs []schema.Document,
) (published int, err error) {
	stored, err := p.conn.Publish(ctx, Unpublished(docs))
	return len(stored), errors.Join(err, p.mark(ctx, stored))
}

// mark marks documents whose events are stored.
func (p *Publisher) mark(ctx context.Context, docs []schema.Document) error {
	if len(docs) == 0 {
		return nil
	}
	if err := p.db.MarkPublished(ctx, docs); err != nil {
		return fmt.Errorf("mark %d documents as published: %w", len(docs), err)
	}
	return nil
}

// markLater marks documents whose events are stored, later if the Publisher defers marks and they
// are few. Documents whose object is gone are marked immediately, because that deletes them.
func (p *Publisher) markLater(ctx context.Context, docs []schema.Document) error {
	if p.marks == nil || len(docs) > maxDeferred {
		return p.mark(ctx, docs)
	}
	var gone, others []schema.Document
	for _, d := range docs {
		if d.GoneAt != nil {
			gone = append(gone, d)
		} else {
			others = append(others, d)
		}
	}
	p.marks.add(others)
	return p.mark(ctx, gone)
}

// Hint publishes a hint for each of the users after a commit (Conn.Hint).
func (p *Publisher) Hint(h schema.Hint, users ...uuid.UUID) { p.conn.Hint(h, users...) }

// hintQuotas publishes a hint for the owners of those of docs whose last transition has changed
// what they are charged.
func (p *Publisher) hintQuotas(docs []schema.Document) {
	for _, d := range docs {
		uploaded := d.Status == schema.StatusUploaded && d.UploadedAt != nil &&
			d.UploadedAt.Equal(d.ChangedAt) // false if it is classified again
		if uploaded || d.Status == schema.StatusQuarantined || d.GoneAt != nil {
			p.Hint(schema.HintQuota, d.UserID)
		}
	}
}

// PublishTimeout is how long TryPublish runs at most. After that time, another process may publish
// the events.
const PublishTimeout = 5 * time.Second

// TryPublish is Publish for documents whose transitions are committed, and reports whether the
// events of all docs are published. It continues when ctx is canceled. It logs an error instead of
// returning it, because the sweeper publishes events that have been unpublished for some time. It
// also publishes hints for the quotas that the transitions have changed.
func (p *Publisher) TryPublish(ctx context.Context, docs []schema.Document) bool {
	docs = Unpublished(docs)
	if len(docs) == 0 {
		return true
	}
	p.hintQuotas(docs)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), PublishTimeout)
	defer cancel()
	stored, err := p.conn.Publish(ctx, docs)
	if err = errors.Join(err, p.markLater(ctx, stored)); err != nil {
		p.log.Warn("failed to publish document events; the sweeper will publish them",
			"documents", len(docs), "published", len(stored), "error", err)
	}
	return len(stored) == len(docs)
}
