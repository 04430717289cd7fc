package backlog

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/nats"
	"intray/schema"
)

// Since returns how many documents reached a status since the time, as told by
// their events: uploaded, classified, failed, rejected, deleted. The user is the
// operator: it makes a consumer for each, reads nothing, and drops it again. It
// fails with nats.ErrUnavailable.
func Since(ctx context.Context, conn *nats.Conn, at time.Time) (map[string]uint64, error) {
	if !conn.Connected() {
		return nil, fmt.Errorf("count events: %w", nats.ErrUnavailable)
	}
	counts := make(map[string]uint64)
	for _, status := range []string{"uploaded", "classified", "failed", "rejected", "deleted"} {
		c, err := conn.JetStream().CreateConsumer(ctx, schema.StreamDocuments, jetstream.ConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &at, FilterSubject: "documents." + status,
			AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: 5 * time.Second, MemoryStorage: true, Replicas: 1,
		})
		if err != nil {
			return nil, fmt.Errorf("count events: %w", nats.Unavailable(err))
		}
		info := c.CachedInfo()
		counts[status] = info.NumPending
		// One that stays is dropped by the server when nobody has used it for a while.
		_ = conn.JetStream().DeleteConsumer(ctx, schema.StreamDocuments, info.Name)
	}
	return counts, nil
}
