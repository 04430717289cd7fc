package runner

import (
	"context"
	"log/slog"
	"sync"

	"intray/infra/minio"
	"intray/infra/postgres"
)

// health logs when the consumer pauses and when it resumes. It logs each once, even if several
// workers report it.
type health struct {
	log      *slog.Logger
	mu       sync.Mutex
	isPaused bool
}

// paused records that the consumer is paused, for a reason that is a constant text.
func (h *health) paused(reason string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.isPaused {
		h.log.Warn("consumer paused", "reason", reason, "error", err)
	}
	h.isPaused = true
}

// resumed records that the consumer is working.
func (h *health) resumed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isPaused {
		h.log.Info("consumer resumed")
	}
	h.isPaused = false
}

// Probe returns nil if PostgreSQL accepts writes and MinIO is available.
func Probe(ctx context.Context, db *postgres.DB, objects *minio.Objects) error {
	if err := db.Writable(ctx, 0); err != nil {
		return err
	}
	return objects.Probe(ctx)
}
