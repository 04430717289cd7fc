package api

import (
	"context"
	"log/slog"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// maxPublishing is the maximum number of concurrent publish calls. While it is reached, further
// events are left to the sweeper.
const maxPublishing = 64

// publisher publishes document events in the background, so that no response waits for NATS.
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

// TryPublish starts publishing the events of docs, which all belong to one user, and returns
// immediately. It reports whether there was nothing to publish.
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
		p.log.Debug("left events to the sweeper because too many are being published",
			"documents", len(docs))
	}
	return false
}

// Hint publishes a hint for each of the users after a commit.
func (p *publisher) Hint(h schema.Hint, users ...uuid.UUID) { p.conn.Hint(h, users...) }

// wait waits until all publish calls that were started have returned. They log their own errors.
func (p *publisher) wait() { _ = p.running.Wait() }
