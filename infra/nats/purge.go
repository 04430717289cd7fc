package nats

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// A stream that is fuller than purgeAbove of its size, in percent, is purged down
// to purgeTo.
const purgeAbove, purgeTo = 80, 70

// PurgeResult says what Purge did to a stream.
type PurgeResult struct {
	// Bytes is what the stream held before, and MaxBytes what it may hold.
	Bytes, MaxBytes uint64
	// First and Last are the sequences of the oldest and the newest message that
	// went; both are 0 where none did.
	First, Last uint64
	// Blocked says that the stream stays fuller than it should be, because a consumer
	// has not acknowledged what is oldest.
	Blocked bool
}

// Purge makes room in a stream that is more than 80 % full: the oldest messages go
// until it is 70 % full, but none that a durable consumer has still to
// acknowledge. As long as one of this package's consumers is missing, none go at
// all: it may be about to be made anew, and to read the stream from its start.
//
// It fails with ErrUnavailable while NATS is away or the stream is missing.
func (c *Conn) Purge(ctx context.Context, stream string) (PurgeResult, error) {
	fail := func(err error) (PurgeResult, error) {
		return PurgeResult{}, fmt.Errorf("purge stream %s: %w", stream, unavailable(err))
	}
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return fail(err)
	}
	info := s.CachedInfo()
	p := PurgeResult{Bytes: info.State.Bytes}
	if info.Config.MaxBytes <= 0 {
		return p, nil
	}
	p.MaxBytes = uint64(info.Config.MaxBytes)
	if !over(info, purgeAbove) {
		return p, nil
	}
	// The consumers are looked at after the stream: one with nothing left then has
	// acknowledged all that the stream held.
	floor, err := acknowledged(ctx, s, info)
	if err != nil {
		return fail(err)
	}
	// How large the oldest messages are is not known: a first guess by the mean of
	// all is followed by others.
	for over(info, purgeTo) && floor >= info.State.FirstSeq {
		before := min(floor+1, info.State.FirstSeq+surplus(info))
		if err := s.Purge(ctx, jetstream.WithPurgeSequence(before)); err != nil {
			return fail(err)
		}
		if p.First == 0 {
			p.First = info.State.FirstSeq
		}
		p.Last = before - 1
		if info, err = s.Info(ctx); err != nil {
			return p, fmt.Errorf("purge stream %s: %w", stream, unavailable(err))
		}
	}
	p.Blocked = over(info, purgeTo)
	return p, nil
}

// over reports whether a stream holds more than this much of its size.
func over(info *jetstream.StreamInfo, percent uint64) bool {
	return info.State.Bytes > target(info, percent)
}

func target(info *jetstream.StreamInfo, percent uint64) uint64 {
	return uint64(info.Config.MaxBytes) / 100 * percent
}

// surplus is how many messages, at least 1, are too many by the mean of their sizes.
func surplus(info *jetstream.StreamInfo) uint64 {
	mean := max(1, info.State.Bytes/max(1, info.State.Msgs))
	return max(1, (info.State.Bytes-target(info, purgeTo))/mean)
}

// acknowledged returns the sequence up to which every durable consumer of the
// stream has acknowledged what concerns it; 0 where one that must be there is not.
// info was read before.
func acknowledged(ctx context.Context, s jetstream.Stream, info *jetstream.StreamInfo) (uint64, error) {
	missing := map[string]bool{}
	for _, c := range consumersOf {
		if c.stream == info.Config.Name {
			missing[c.name] = true
		}
	}
	floor := info.State.LastSeq
	consumers := s.ListConsumers(ctx)
	for c := range consumers.Info() {
		delete(missing, c.Name)
		if c.Config.Durable == "" {
			continue // somebody who looks in
		}
		// The floor of a consumer that hears a part of the subjects stays behind at
		// the last one that it heard.
		if c.NumPending > 0 || c.NumAckPending > 0 {
			floor = min(floor, c.AckFloor.Stream)
		}
	}
	if err := consumers.Err(); err != nil {
		return 0, err
	}
	if len(missing) > 0 {
		return 0, nil
	}
	return floor, nil
}
