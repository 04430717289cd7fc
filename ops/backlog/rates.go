package backlog

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/nats"
	"intray/schema"
)

// Since returns how many documents reached each status since at, by the number of
// their events: uploaded, classified, failed, rejected, deleted. The connection's
// user is the operator: Since creates a consumer for each status, reads its number
// of messages, and deletes it again. It fails with nats.ErrUnavailable.
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
		// One that stays is deleted by the server after InactiveThreshold.
		_ = conn.JetStream().DeleteConsumer(ctx, schema.StreamDocuments, info.Name)
	}
	return counts, nil
}
