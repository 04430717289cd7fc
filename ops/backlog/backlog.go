// Package backlog measures how much work is queued in the streams and in the database.
// "intray status" prints it, and "intray consume" exports it as metrics.
package backlog

import (
	"context"
	"fmt"
	"time"

	"intray/infra/nats"
	"intray/schema"
)

// durables lists the durable consumers with their streams, in the order in which an upload
// passes them.
var durables = []struct{ Stream, Consumer string }{
	{schema.StreamBucket, schema.ConsumerConfirm},
	{schema.StreamDocuments, schema.ConsumerClassify},
	{schema.StreamBucket, schema.ConsumerRemove},
	{schema.StreamReplay, schema.ConsumerConfirm},
	{schema.StreamReplay, schema.ConsumerClassify},
}

var streams = []string{schema.StreamBucket, schema.StreamDocuments, schema.StreamReplay}

// Consumer is the state of one durable consumer.
type Consumer struct {
	Stream string `json:"stream"`
	Name   string `json:"consumer"`
	// Pending counts the messages that have not been delivered yet, and AckPending those that have
	// been delivered but not acknowledged. Redelivered counts those of AckPending that have been
	// delivered more than once.
	Pending     uint64 `json:"waiting"`
	AckPending  uint64 `json:"in_hand"`
	Redelivered uint64 `json:"redelivered"`
	// Pulls counts the open pull requests. It is 0 if no consumer process runs, or if all workers of
	// the running ones are busy.
	Pulls int `json:"pulls"`
}

// Stalled reports whether messages are pending and none is being handled or requested.
// It may be true for a moment for a busy consumer that is between two pull requests.
func (c Consumer) Stalled() bool { return c.Pending > 0 && c.AckPending == 0 && c.Pulls == 0 }

// Stream is the size of one stream.
type Stream struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	MaxBytes uint64 `json:"max_bytes"` // 0: unlimited
}

// Events is the state of the streams and of their durable consumers.
type Events struct {
	Consumers []Consumer
	Streams   []Stream
}

// ReadEvents reads the state of the streams and of their durable consumers. It fails with
// nats.ErrUnavailable if NATS cannot be reached, or if a stream or a consumer is missing.
// After an error it returns what it has read so far.
func ReadEvents(ctx context.Context, conn *nats.Conn) (Events, error) {
	var e Events
	if !conn.Connected() {
		return e, fmt.Errorf("read the streams: %w", nats.ErrUnavailable)
	}
	fail := func(name string, err error) (Events, error) {
		return e, fmt.Errorf("read %s: %w", name, nats.Unavailable(err))
	}
	for _, name := range streams {
		s, err := conn.JetStream().Stream(ctx, name)
		if err != nil {
			return fail("stream "+name, err)
		}
		info := s.CachedInfo()
		e.Streams = append(e.Streams, Stream{
			Name: name, Messages: info.State.Msgs, Bytes: info.State.Bytes,
			MaxBytes: uint64(max(0, info.Config.MaxBytes)),
		})
	}
	for _, d := range durables {
		c, err := conn.JetStream().Consumer(ctx, d.Stream, d.Consumer)
		if err != nil {
			return fail("consumer "+d.Consumer+" of stream "+d.Stream, err)
		}
		info := c.CachedInfo()
		e.Consumers = append(e.Consumers, Consumer{
			Stream: d.Stream, Name: d.Consumer, Pending: info.NumPending,
			AckPending:  uint64(max(0, info.NumAckPending)),
			Redelivered: uint64(max(0, info.NumRedelivered)), Pulls: info.NumWaiting,
		})
	}
	return e, nil
}

// Age returns the time that has passed since t. It is 0 if t is nil or later than now.
func Age(t *time.Time, now time.Time) time.Duration {
	if t == nil {
		return 0
	}
	return max(0, now.Sub(*t))
}
