package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"intray/schema"
)

// Marker records in the database that document events are published. *postgres.DB implements it.
type Marker interface {
	// MarkPublished marks the documents as published, except those whose version or announcement has
	// changed in the database.
	MarkPublished(ctx context.Context, docs []schema.Document) error
}

// Publisher publishes document events and marks the documents as published in the database. It is
// safe for concurrent use.
type Publisher struct {
	conn *Conn
	db   Marker
	log  *slog.Logger
}

// NewPublisher returns a Publisher.
func NewPublisher(conn *Conn, db Marker, log *slog.Logger) *Publisher {
	return &Publisher{conn: conn, db: db, log: log}
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
	if len(stored) == 0 {
		return 0, err
	}
	if failed := p.db.MarkPublished(ctx, stored); failed != nil {
		err = errors.Join(err, fmt.Errorf("mark %d documents as published: %w", len(stored), failed))
	}
	return len(stored), err
}

// PublishTimeout is how long TryPublish runs at most. After that time, another process may publish
// the events.
const PublishTimeout = 5 * time.Second

// TryPublish calls Publish for documents whose transitions are committed, and reports whether the
// events of all docs are published. It continues when ctx is canceled. It logs an error instead of
// returning it, because the sweeper publishes events that have been unpublished for some time.
func (p *Publisher) TryPublish(ctx context.Context, docs []schema.Document) bool {
	docs = Unpublished(docs)
	if len(docs) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), PublishTimeout)
	defer cancel()
	published, err := p.Publish(ctx, docs)
	if err != nil {
		p.log.Warn("failed to publish document events; the sweeper will publish them",
			"documents", len(docs), "published", published, "error", err)
	}
	return published == len(docs)
}
