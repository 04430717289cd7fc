package replay

import (
	"context"
	"fmt"
	"time"

	"intray/schema"
)

// pace is how a target's replayed events are published: window is how many may be
// queued for the consumer or in its hands, chunk how many are published at once.
type pace struct {
	window uint64
	chunk  int
}

var paces = map[string]pace{
	Confirm:  {window: 2048, chunk: 512},
	Classify: {window: 64, chunk: 16},
}

// chunkAt returns how many events are published at once: at a rate above 0, never
// more than a second's worth.
func (p pace) chunkAt(rate float64) int {
	if rate > 0 {
		return max(1, min(p.chunk, int(rate)))
	}
	return p.chunk
}

const (
	// pauseStep is the time between two checks of what a run waits for.
	pauseStep = 50 * time.Millisecond
	// reportInterval is the time between two reports of progress, and between two
	// checks whether the replay was paused or canceled.
	reportInterval = time.Second
)

// awaitTurn waits until n more events may be published.
func (r *run) awaitTurn(ctx context.Context, n uint64) error {
	defer func() { r.waiting = "" }()
	for {
		var err error
		if r.waiting, err = r.obstacle(ctx, n); err != nil || r.waiting == "" {
			return err
		}
		if err := r.pause(ctx); err != nil {
			return err
		}
	}
}

// obstacle returns what n more events must wait for, empty if for nothing: the rate,
// live events, which go first, or the consumer.
func (r *run) obstacle(ctx context.Context, n uint64) (string, error) {
	if r.replay.Rate > 0 {
		elapsed := time.Duration(float64(r.published) / r.replay.Rate * float64(time.Second))
		if time.Now().Before(r.began.Add(elapsed)) {
			return "the rate", nil
		}
	}
	target := r.replay.Target
	stream, _ := sourceOf(target)
	live, err := r.Conn.Lag(ctx, stream, target)
	if err != nil {
		return "", err
	}
	behind := live.Pending
	if target == Confirm { // what classify has in hand may wait for an AI that is unreachable
		behind += live.AckPending
	}
	if behind > r.MaxLag {
		return fmt.Sprintf("%d live events", behind), nil
	}
	replayed, err := r.Conn.Lag(ctx, schema.StreamReplay, target)
	if err != nil {
		return "", err
	}
	if replayed.Pending+replayed.AckPending+n > r.pace.window {
		return "the consumer", nil
	}
	return "", nil
}

// pause waits for pauseStep, and now and then checks whether the run is to go on.
func (r *run) pause(ctx context.Context) error {
	timer := time.NewTimer(pauseStep)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	if time.Since(r.advanced) < reportInterval {
		return nil
	}
	return r.advance(ctx, uint64(r.replay.Position), 0)
}
