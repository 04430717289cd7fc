package runner

import (
	"context"
	"log/slog"
	"time"

	"intray/infra/postgres"
	"intray/schema"
)

// Announcer tells documents' events; *nats.Conn does.
type Announcer interface {
	// Announce returns the documents whose events are stored, whatever its error.
	Announce(ctx context.Context, docs []schema.Document) ([]schema.Document, error)
}

// TellTimeout bounds Tell. The transition is committed by then, so the caller's
// own end does not stop it. What is unannounced for longer is in nobody's hands.
const TellTimeout = 5 * time.Second

// Tell announces those of docs that no event tells yet, clears their marks, and
// says whether all are told now. What fails is logged and no more: the transitions
// stand, and the sweeper tells what is still unannounced after 30 s.
func Tell(ctx context.Context, db *postgres.DB, announcer Announcer, log *slog.Logger, docs []schema.Document) bool {
	var untold []schema.Document
	for _, d := range docs {
		if d.UnpublishedAt != nil {
			untold = append(untold, d)
		}
	}
	if len(untold) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), TellTimeout)
	defer cancel()
	told, err := announcer.Announce(ctx, untold)
	if err != nil {
		log.Warn("documents stay unannounced for now", "documents", len(untold)-len(told), "error", err)
	}
	if len(told) == 0 {
		return false
	}
	if err := db.MarkPublished(ctx, told); err != nil {
		log.Warn("announced documents stay marked; they are told once more", "documents", len(told), "error", err)
	}
	return len(told) == len(untold)
}
