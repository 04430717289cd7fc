package nats

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/schema"
)

// StreamState is the state of a stream.
type StreamState struct {
	FirstSequence, LastSequence uint64
	// FirstTime is when the oldest message was stored; zero if there is none.
	FirstTime time.Time
	// Created is when the stream was created. It is in whole microseconds, like times in the database.
	Created time.Time
}

// State returns the current state of a stream. It returns ErrUnavailable if NATS is unreachable or
// the stream does not exist.
func (c *Conn) State(ctx context.Context, stream string) (StreamState, error) {
	if !c.Connected() {
		return StreamState{}, fmt.Errorf("get state of stream %s: %w", stream, ErrUnavailable)
	}
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return StreamState{}, fmt.Errorf("get state of stream %s: %w", stream, unavailable(err))
	}
	info := s.CachedInfo()
	state := StreamState{
		FirstSequence: info.State.FirstSeq,
		LastSequence:  info.State.LastSeq,
		Created:       schema.StoredTime(info.Created),
	}
	if info.State.Msgs > 0 {
		state.FirstTime = info.State.FirstTime.UTC()
	}
	return state, nil
}

// Lag is how far a durable consumer has fallen behind its stream.
type Lag struct {
	Pending    uint64 // messages that have not been delivered yet
	AckPending uint64 // messages that have been delivered but not acknowledged
	AckFloor   uint64 // all messages up to this sequence number are acknowledged
}

// Lag returns the lag of a durable consumer. It returns ErrUnavailable if NATS is unreachable, or
// if the stream or consumer does not exist.
func (c *Conn) Lag(ctx context.Context, stream, consumer string) (Lag, error) {
	info, err := c.consumerInfo(ctx, stream, consumer)
	if err != nil {
		return Lag{}, err
	}
	return Lag{
		Pending:    info.NumPending,
		AckPending: uint64(max(0, info.NumAckPending)),
		AckFloor:   info.AckFloor.Stream,
	}, nil
}

// Idle reports whether a durable consumer has no undelivered and no unacknowledged messages, so
// that it will not deliver any message that is in the stream now. Its errors are those of Lag.
func (c *Conn) Idle(ctx context.Context, stream, consumer string) (bool, error) {
	info, err := c.consumerInfo(ctx, stream, consumer)
	if err != nil {
		return false, err
	}
	return info.NumPending == 0 && info.NumAckPending == 0, nil
}

func (c *Conn) consumerInfo(
	ctx context.Context, stream, name string,
) (*jetstream.ConsumerInfo, error) {
	consumer, err := c.js.Consumer(ctx, stream, name)
	if err != nil {
		return nil, fmt.Errorf("get state of consumer %s of stream %s: %w",
			name, stream, unavailable(err))
	}
	return consumer.CachedInfo(), nil
}
