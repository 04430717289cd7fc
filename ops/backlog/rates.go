package backlog

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/nats"
	"intray/schema"
)

// Since counts the documents that have become uploaded, classified, failed, rejected or deleted
// since at. It counts their events in the DOCUMENTS stream: for each status it creates a temporary
// consumer, reads its number of pending messages and deletes it. The connection's user must be the
// operator. The error wraps nats.ErrUnavailable.
func Since(ctx context.Context, conn *nats.Conn, at time.Time) (map[string]uint64, error) {
	if !conn.Connected() {
		return nil, fmt.Errorf("count events: %w", nats.ErrUnavailable)
	}
	counts := make(map[string]uint64)
	for _, status := range []string{"uploaded", "classified", "failed", "rejected", "deleted"} {
		c, err := conn.JetStream().CreateConsumer(ctx, schema.StreamDocuments, jetstream.ConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &at,
			FilterSubject: "documents." + status, AckPolicy: jetstream.AckNonePolicy,
			InactiveThreshold: 5 * time.Second, MemoryStorage: true, Replicas: 1,
		})
		if err != nil {
			return nil, fmt.Errorf("count events: %w", nats.Unavailable(err))
		}
		info := c.CachedInfo()
		counts[status] = info.NumPending
		// If the deletion fails, the server deletes the consumer after InactiveThreshold.
		_ = conn.JetStream().DeleteConsumer(ctx, schema.StreamDocuments, info.Name)
	}
	return counts, nil
}
