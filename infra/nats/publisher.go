package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"intray/schema"
)

// Marker records in the database which documents' events are published; *postgres.DB does.
type Marker interface {
	// MarkPublished clears the mark of documents whose version and announcement are still those
	// that were published.
	MarkPublished(ctx context.Context, docs []schema.Document) error
}

// Publisher publishes the events of documents and clears their marks in the database. It is safe for
// concurrent use.
type Publisher struct {
	conn *Conn
	db   Marker
	log  *slog.Logger
}

// NewPublisher returns a Publisher.
func NewPublisher(conn *Conn, db Marker, log *slog.Logger) *Publisher {
	return &Publisher{conn: conn, db: db, log: log}
}

// Unpublished returns those of docs whose last transition is not published yet.
func Unpublished(docs []schema.Document) []schema.Document {
	var unpublished []schema.Document
	for _, d := range docs {
		if d.UnpublishedAt != nil {
			unpublished = append(unpublished, d)
		}
	}
	return unpublished
}

// Publish publishes the events of those of docs that are unpublished, clears the marks of those that
// the stream has stored, and returns how many these are, whatever the error.
func (p *Publisher) Publish(ctx context.Context, docs []schema.Document) (published int, err error) {
	stored, err := p.conn.Publish(ctx, Unpublished(docs))
	if len(stored) == 0 {
		return 0, err
	}
	if failed := p.db.MarkPublished(ctx, stored); failed != nil {
		err = errors.Join(err, fmt.Errorf("mark %d documents as published: %w", len(stored), failed))
	}
	return len(stored), err
}

// PublishTimeout bounds TryPublish. After this timeout somebody else may publish the event.
const PublishTimeout = 5 * time.Second

// TryPublish is Publish for those whose transitions are committed. It does not end with ctx, and it
// reports whether the events of all docs are published now. A failure is logged and no more: the
// sweeper publishes what has been unpublished for a while.
func (p *Publisher) TryPublish(ctx context.Context, docs []schema.Document) bool {
	docs = Unpublished(docs)
	if len(docs) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), PublishTimeout)
	defer cancel()
	published, err := p.Publish(ctx, docs)
	if err != nil {
		p.log.Warn("documents stay marked as unpublished for now",
			"documents", len(docs), "published", published, "error", err)
	}
	return published == len(docs)
}
