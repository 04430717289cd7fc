package sweep

import (
	"context"
	"errors"

	"intray/schema"
)

// purgeStreams makes room in the streams of events: a full one refuses what comes.
func (s *Sweeper) purgeStreams(ctx context.Context) error {
	return errors.Join(s.makeRoom(ctx, schema.StreamBucket), s.makeRoom(ctx, schema.StreamDocuments))
}

func (s *Sweeper) makeRoom(ctx context.Context, stream string) error {
	p, err := s.streams.Purge(ctx, stream)
	if p.First > 0 {
		s.log.Info("stream purged of what every consumer has acknowledged",
			"stream", stream, "first_sequence", p.First, "last_sequence", p.Last,
			"bytes_before", p.Bytes, "max_bytes", p.MaxBytes)
	}
	if err != nil {
		return err
	}
	if p.Blocked && !s.held[stream] {
		s.log.Warn("stream is nearly full of what its consumers have still to acknowledge",
			"stream", stream, "bytes", p.Bytes, "max_bytes", p.MaxBytes)
	}
	s.held[stream] = p.Blocked
	return nil
}
