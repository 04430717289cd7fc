package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"intray/infra/postgres"
	"intray/schema"
)

const (
	// announceTimeout bounds one announcement, its mark in the database included.
	announceTimeout = 5 * time.Second
	// announcing is how many announcements are under way at once at most. What
	// finds no place is told by the sweeper.
	announcing = 64
)

// announcer tells documents' events in the background, so that no answer waits
// for NATS, and clears their marks itself. The documents of one call are of one
// user.
type announcer struct {
	db      *postgres.DB
	to      Announcer
	log     *slog.Logger
	slots   chan struct{}
	running sync.WaitGroup
}

func newAnnouncer(db *postgres.DB, to Announcer, log *slog.Logger) *announcer {
	return &announcer{db: db, to: to, log: log, slots: make(chan struct{}, announcing)}
}

// Announce returns at once and reports nothing announced, so that its caller
// clears no mark.
func (a *announcer) Announce(ctx context.Context, docs []schema.Document) ([]schema.Document, error) {
	var untold []schema.Document
	for _, d := range docs {
		if d.UnpublishedAt != nil {
			untold = append(untold, d)
		}
	}
	if len(untold) == 0 {
		return nil, nil
	}
	select {
	case a.slots <- struct{}{}:
	default:
		a.log.Debug("documents stay unannounced for now", "documents", len(untold))
		return nil, nil
	}
	// The transition is committed: the client's leaving does not stop this.
	ctx = context.WithoutCancel(ctx)
	a.running.Go(func() {
		defer func() { <-a.slots }()
		ctx, cancel := context.WithTimeout(ctx, announceTimeout)
		defer cancel()
		a.tell(ctx, untold)
	})
	return nil, nil
}

func (a *announcer) tell(ctx context.Context, docs []schema.Document) {
	told, err := a.to.Announce(ctx, docs)
	if err != nil {
		a.log.Warn("documents stay unannounced for now", "documents", len(docs)-len(told), "error", err)
	}
	if len(told) == 0 {
		return
	}
	if err := a.db.ForUser(told[0].UserID).MarkPublished(ctx, told); err != nil {
		a.log.Warn("announced documents stay marked; they are told once more", "documents", len(told), "error", err)
	}
}
