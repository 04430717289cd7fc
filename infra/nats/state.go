package nats

import (
	"context"
	"fmt"
	"time"

	"intray/schema"
)

// A StreamState is what a stream holds.
type StreamState struct {
	FirstSequence, LastSequence uint64
	// FirstTime is when the oldest message was stored; zero if there is none.
	FirstTime time.Time
	Created   time.Time // in whole microseconds, as the database keeps it
}

// State returns what the stream holds at this moment. It fails with ErrUnavailable.
func (c *Conn) State(ctx context.Context, stream string) (StreamState, error) {
	if !c.Connected() {
		return StreamState{}, fmt.Errorf("look at stream %s: %w", stream, ErrUnavailable)
	}
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return StreamState{}, fmt.Errorf("look at stream %s: %w", stream, unavailable(err))
	}
	info := s.CachedInfo()
	state := StreamState{FirstSequence: info.State.FirstSeq, LastSequence: info.State.LastSeq, Created: schema.StoredTime(info.Created)}
	if info.State.Msgs > 0 {
		state.FirstTime = info.State.FirstTime.UTC()
	}
	return state, nil
}

// Lag is how far a durable consumer is behind its stream.
type Lag struct {
	Pending    uint64 // messages that were not delivered yet
	AckPending uint64 // messages that were delivered and not acknowledged yet
	AckFloor   uint64 // the sequence up to which all messages are acknowledged
}

// Lag returns the lag of a durable consumer. It fails with ErrUnavailable.
func (c *Conn) Lag(ctx context.Context, stream, consumer string) (Lag, error) {
	found, err := c.js.Consumer(ctx, stream, consumer)
	if err != nil {
		return Lag{}, fmt.Errorf("look at consumer %s of stream %s: %w", consumer, stream, unavailable(err))
	}
	info := found.CachedInfo()
	return Lag{Pending: info.NumPending, AckPending: uint64(max(0, info.NumAckPending)), AckFloor: info.AckFloor.Stream}, nil
}

// Idle reports whether a durable consumer has nothing to deliver and nothing in hand: it will
// receive no message that is in the stream now. It fails with ErrUnavailable.
func (c *Conn) Idle(ctx context.Context, stream, consumer string) (bool, error) {
	found, err := c.js.Consumer(ctx, stream, consumer)
	if err != nil {
		return false, fmt.Errorf("look at consumer %s of stream %s: %w", consumer, stream, unavailable(err))
	}
	info := found.CachedInfo()
	return info.NumPending == 0 && info.NumAckPending == 0, nil
}
