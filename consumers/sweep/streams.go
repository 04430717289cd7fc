package sweep

import (
	"context"
	"errors"

	"intray/schema"
)

// purgeStreams purges the streams of events if they are nearly full, because a full stream refuses
// new messages.
func (s *Sweeper) purgeStreams(ctx context.Context) error {
	return errors.Join(
		s.purgeStream(ctx, schema.StreamBucket), s.purgeStream(ctx, schema.StreamDocuments),
	)
}

// purgeStream removes acknowledged messages from a stream that is nearly full.
func (s *Sweeper) purgeStream(ctx context.Context, stream string) error {
	p, err := s.streams.Purge(ctx, stream)
	if p.First > 0 {
		s.log.Info("purged acknowledged messages from stream",
			"stream", stream, "first_sequence", p.First, "last_sequence", p.Last,
			"bytes_before", p.Bytes, "max_bytes", p.MaxBytes)
	}
	if err != nil {
		return err
	}
	if p.Blocked && !s.blocked[stream] {
		s.log.Warn("stream is nearly full of unacknowledged messages",
			"stream", stream, "bytes", p.Bytes, "max_bytes", p.MaxBytes)
	}
	s.blocked[stream] = p.Blocked
	return nil
}
