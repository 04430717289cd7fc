package api

import (
	"context"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// maxPublishing is how many calls of NATS are in flight at once. The sweeper publishes what comes
// while all are.
const maxPublishing = 64

// publisher publishes documents' events in the background, so that no response waits for NATS.
type publisher struct {
	conn    *nats.Conn
	db      *postgres.DB
	log     *slog.Logger
	running errgroup.Group
}

func newPublisher(conn *nats.Conn, db *postgres.DB, log *slog.Logger) *publisher {
	p := &publisher{conn: conn, db: db, log: log}
	p.running.SetLimit(maxPublishing)
	return p
}

// TryPublish starts to publish the events of docs, which are one user's, and returns at once. It
// reports whether there is nothing to publish.
func (p *publisher) TryPublish(ctx context.Context, docs []schema.Document) bool {
	docs = nats.Unpublished(docs)
	if len(docs) == 0 {
		return true
	}
	started := p.running.TryGo(func() error {
		nats.NewPublisher(p.conn, p.db.ForUser(docs[0].UserID), p.log).TryPublish(ctx, docs)
		return nil
	})
	if !started {
		p.log.Debug("documents stay marked as unpublished for now", "documents", len(docs))
	}
	return false
}

// wait returns when everything that was started has ended.
func (p *publisher) wait() { _ = p.running.Wait() } // failures are logged
