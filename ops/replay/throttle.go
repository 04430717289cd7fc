package replay

import (
	"context"
	"fmt"
	"time"

	"intray/infra/nats"
	"intray/schema"
)

// limits are the publishing limits of a target: at most window events may wait for the consumer,
// and at most chunk events are published together.
type limits struct {
	window uint64
	chunk  int
}

var targetLimits = map[string]limits{
	Confirm:  {window: 2048, chunk: 512},
	Classify: {window: 64, chunk: 16},
}

// chunkAt returns how many events are published together. At a rate above 0 (events per
// second) it is at most the number of events of one second.
func (l limits) chunkAt(rate float64) int {
	if rate > 0 {
		return max(1, min(l.chunk, int(rate)))
	}
	return l.chunk
}

const (
	// pollInterval is how often a waiting run checks whether it can continue.
	pollInterval = 50 * time.Millisecond
	// reportInterval is how often a run reports its progress and checks whether the replay was paused
	// or canceled.
	reportInterval = time.Second
)

// awaitCapacity waits until n more events may be published.
func (r *run) awaitCapacity(ctx context.Context, n uint64) error {
	defer func() { r.waitsFor = "" }()
	for {
		var err error
		if r.waitsFor, err = r.blockedBy(ctx, n); err != nil || r.waitsFor == "" {
			return err
		}
		if err := r.poll(ctx); err != nil {
			return err
		}
	}
}

// blockedBy returns what prevents n more events from being published: the rate limit, live
// events, which have priority, or the consumer. It returns "" if nothing does.
func (r *run) blockedBy(ctx context.Context, n uint64) (string, error) {
	if r.replay.Rate > 0 {
		elapsed := time.Duration(float64(r.published) / r.replay.Rate * float64(time.Second))
		if time.Now().Before(r.startedAt.Add(elapsed)) {
			return "the rate limit", nil
		}
	}
	target := r.replay.Target
	stream, _ := sourceOf(target)
	live, err := r.Conn.Lag(ctx, stream, target)
	if err != nil {
		return "", err
	}
	if lag := waiting(target, live); lag > r.MaxLag {
		return fmt.Sprintf("%d live events", lag), nil
	}
	replayed, err := r.Conn.Lag(ctx, schema.StreamReplay, target)
	if err != nil {
		return "", err
	}
	if waiting(target, replayed)+n > r.limits.window {
		return "the consumer", nil
	}
	return "", nil
}

// waiting returns how many messages wait for the target. The unacknowledged messages of classify do
// not count: they may be waiting for an AI provider that is unreachable.
func waiting(target string, l nats.Lag) uint64 {
	if target == Classify {
		return l.Pending
	}
	return l.Pending + l.AckPending
}

// poll waits for pollInterval. Once per reportInterval it also reports the progress and fails
// with errStopped if the replay was paused or canceled.
func (r *run) poll(ctx context.Context) error {
	timer := time.NewTimer(pollInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	if time.Since(r.advancedAt) < reportInterval {
		return nil
	}
	return r.advance(ctx, uint64(r.replay.Position), 0)
}
