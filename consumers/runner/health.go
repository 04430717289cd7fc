package runner

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"intray/infra/minio"
	"intray/infra/postgres"
)

// health logs each change between good and bad once, however many workers report it.
type health struct {
	log   *slog.Logger
	mu    sync.Mutex
	isBad bool
}

func (h *health) bad(message string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.isBad {
		h.log.Warn("consumer is held up", "cause", message, "error", err)
	}
	h.isBad = true
}

func (h *health) good() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isBad {
		h.log.Info("consumer goes on")
	}
	h.isBad = false
}

// Probe returns nil if PostgreSQL and MinIO answer.
func Probe(ctx context.Context, db *postgres.DB, objects *minio.Objects) error {
	if err := db.Ping(ctx); err != nil {
		return err
	}
	return ProbeStorage(ctx, objects)
}

// ProbeStorage returns nil if MinIO answers, whatever it says about a key that nobody uses.
func ProbeStorage(ctx context.Context, objects *minio.Objects) error {
	if _, err := objects.Stat(ctx, "documents/probe"); errors.Is(err, minio.ErrUnavailable) {
		return err
	}
	return nil
}
