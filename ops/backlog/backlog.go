// Package backlog reads what is queued: in the streams for their consumers, and in
// the database. `intray status` shows it, and the consumers export it as metrics.
package backlog

import (
	"context"
	"fmt"
	"time"

	"intray/infra/nats"
	"intray/schema"
)

// durables are the durable consumers with their streams, in the order of an upload.
var durables = []struct{ Stream, Consumer string }{
	{schema.StreamBucket, schema.ConsumerConfirm},
	{schema.StreamDocuments, schema.ConsumerClassify},
	{schema.StreamBucket, schema.ConsumerRemove},
	{schema.StreamReplay, schema.ConsumerConfirm},
	{schema.StreamReplay, schema.ConsumerClassify},
}

var streams = []string{schema.StreamBucket, schema.StreamDocuments, schema.StreamReplay}

// Consumer is what is queued for one durable consumer.
type Consumer struct {
	Stream string `json:"stream"`
	Name   string `json:"consumer"`
	// Waiting messages were not delivered yet, InHand ones not acknowledged. Of
	// these, Redelivered were delivered before.
	Waiting     uint64 `json:"waiting"`
	InHand      uint64 `json:"in_hand"`
	Redelivered uint64 `json:"redelivered"`
	// Pulls are the pull requests that are open at this moment: 0 means that nobody
	// consumes, or that every worker is busy.
	Pulls int `json:"pulls"`
}

// Stalled reports whether messages are queued and nobody handles or requests any.
// Between two pulls a busy consumer looks stalled for a moment.
func (c Consumer) Stalled() bool { return c.Waiting > 0 && c.InHand == 0 && c.Pulls == 0 }

// Stream is how full a stream is.
type Stream struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	MaxBytes uint64 `json:"max_bytes"` // 0: no bound
}

// Events is what JetStream holds.
type Events struct {
	Consumers []Consumer
	Streams   []Stream
}

// ReadEvents returns what JetStream holds. It fails with nats.ErrUnavailable, also
// where a stream or a consumer is missing; what it had read until then is returned.
func ReadEvents(ctx context.Context, conn *nats.Conn) (Events, error) {
	var e Events
	if !conn.Connected() {
		return e, fmt.Errorf("look at the streams: %w", nats.ErrUnavailable)
	}
	fail := func(name string, err error) (Events, error) {
		return e, fmt.Errorf("look at %s: %w", name, nats.Unavailable(err))
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
			Stream: d.Stream, Name: d.Consumer, Waiting: info.NumPending,
			InHand:      uint64(max(0, info.NumAckPending)),
			Redelivered: uint64(max(0, info.NumRedelivered)), Pulls: info.NumWaiting,
		})
	}
	return e, nil
}

// Age returns how long ago t was; 0 if t is nil or later than now.
func Age(t *time.Time, now time.Time) time.Duration {
	if t == nil {
		return 0
	}
	return max(0, now.Sub(*t))
}
