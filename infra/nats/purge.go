package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Purge starts when a stream is more than purgeAbove percent full, and stops at purgeTo percent.
const purgeAbove, purgeTo = 80, 70

// PurgeResult is the result of Purge.
type PurgeResult struct {
	// Bytes is the size of the stream before Purge, and MaxBytes its limit.
	Bytes, MaxBytes uint64
	// First and Last are the sequence numbers of the oldest and the newest deleted message. Both are
	// 0 if no message was deleted.
	First, Last uint64
	// Blocked reports that the stream is still fuller than it should be, because a consumer has not
	// acknowledged the oldest messages.
	Blocked bool
}

// Purge makes room in a stream that is more than 80% full. It deletes the oldest messages until the
// stream is 70% full, but never a message that a durable consumer has not acknowledged. If one of
// the consumers that Provision creates is missing, Purge deletes nothing: the consumer may be about
// to be created again, and would then read the stream from its start.
//
// Purge returns ErrUnavailable if NATS is unreachable or the stream does not exist.
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
	floor, err := ackFloor(ctx, s, info)
	if err != nil {
		return fail(err)
	}
	// The sizes of the oldest messages are unknown. Each iteration estimates from the mean size of all
	// messages how many to delete.
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

// over reports whether a stream uses more than the given percentage of its limit.
func over(info *jetstream.StreamInfo, percent uint64) bool {
	return info.State.Bytes > percentOfMax(info, percent)
}

// percentOfMax returns the given percentage of a stream's limit, in bytes.
func percentOfMax(info *jetstream.StreamInfo, percent uint64) uint64 {
	return uint64(info.Config.MaxBytes) / 100 * percent
}

// surplus estimates from the mean message size how many messages, at least 1, must be deleted.
func surplus(info *jetstream.StreamInfo) uint64 {
	mean := max(1, info.State.Bytes/max(1, info.State.Msgs))
	return max(1, (info.State.Bytes-percentOfMax(info, purgeTo))/mean)
}

// ackFloor returns the sequence number up to which every durable consumer of the stream has
// acknowledged all messages of its subjects. It returns 0 if a consumer that Provision creates is
// missing. info must have been read before the call.
func ackFloor(
	ctx context.Context, s jetstream.Stream, info *jetstream.StreamInfo,
) (uint64, error) {
	missing := map[string]bool{}
	for _, c := range durableConsumers {
		if c.stream == info.Config.Name {
			missing[c.name] = true
		}
	}
	floor := info.State.LastSeq
	consumers := s.ListConsumers(ctx)
	for c := range consumers.Info() {
		ours := missing[c.Name]
		delete(missing, c.Name)
		if c.Config.Durable == "" {
			continue // a temporary consumer, such as that of Read
		}
		done, err := caughtUp(ctx, s, c, ours)
		if err != nil {
			return 0, err
		}
		if !done {
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

// caughtUp reports whether a consumer has acknowledged every message of its subjects. The
// acknowledgment floor alone does not show this: if a consumer receives only some of the stream's
// subjects, its floor stays at the last message of these subjects.
//
// The server updates the number of pending messages a moment after it stores a message. For a
// consumer that Provision creates, caughtUp therefore also compares the floor with the last stored
// message of the consumer's subject, which the worker has permission to read.
func caughtUp(
	ctx context.Context, s jetstream.Stream, c *jetstream.ConsumerInfo, ours bool,
) (bool, error) {
	if c.NumPending > 0 || c.NumAckPending > 0 || !ours {
		return c.NumPending == 0 && c.NumAckPending == 0, nil
	}
	last, err := s.GetLastMsgForSubject(ctx, c.Config.FilterSubject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("get the last message of %s: %w", c.Config.FilterSubject, err)
	}
	return last.Sequence <= c.AckFloor.Stream, nil
}
