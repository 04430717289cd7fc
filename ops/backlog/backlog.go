// Package backlog looks at what waits: in the streams for their consumers, and in
// the database. `intray status` shows it, and the consumers measure it.
package backlog

import (
	"context"
	"fmt"
	"time"

	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// Durables are the durable consumers with their streams, in the order of an upload.
var Durables = []struct{ Stream, Consumer string }{
	{schema.StreamBucket, schema.ConsumerConfirm},
	{schema.StreamDocuments, schema.ConsumerClassify},
	{schema.StreamBucket, schema.ConsumerRemove},
	{schema.StreamReplay, schema.ConsumerConfirm},
	{schema.StreamReplay, schema.ConsumerClassify},
}

// Streams are the streams.
var Streams = []string{schema.StreamBucket, schema.StreamDocuments, schema.StreamReplay}

// Consumer is what waits for one durable consumer.
type Consumer struct {
	Stream, Name string
	// Waiting messages were not delivered yet, InHand ones not acknowledged; of
	// these, Redelivered were delivered before.
	Waiting, InHand, Redelivered uint64
	// Pulls are the requests for messages that wait at this moment: 0 means that
	// nobody consumes, or that every worker is busy.
	Pulls int
}

// Stream is how full a stream is.
type Stream struct {
	Name            string
	Messages, Bytes uint64
	MaxBytes        uint64 // 0: no bound
	Oldest          time.Time
}

// Events is what JetStream holds.
type Events struct {
	Consumers []Consumer
	Streams   []Stream
}

// Look returns what JetStream holds. It fails with nats.ErrUnavailable, also where
// a stream or a consumer is missing.
func Look(ctx context.Context, conn *nats.Conn) (Events, error) {
	var e Events
	if !conn.Connected() {
		return e, fmt.Errorf("look at the streams: %w", nats.ErrUnavailable)
	}
	fail := func(name string, err error) (Events, error) {
		return e, fmt.Errorf("look at %s: %w", name, nats.Unavailable(err))
	}
	for _, name := range Streams {
		s, err := conn.JetStream().Stream(ctx, name)
		if err != nil {
			return fail("stream "+name, err)
		}
		info := s.CachedInfo()
		e.Streams = append(e.Streams, Stream{
			Name: name, Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: uint64(max(0, info.Config.MaxBytes)),
			Oldest: info.State.FirstTime.UTC(),
		})
	}
	for _, d := range Durables {
		c, err := conn.JetStream().Consumer(ctx, d.Stream, d.Consumer)
		if err != nil {
			return fail("consumer "+d.Consumer+" of stream "+d.Stream, err)
		}
		info := c.CachedInfo()
		e.Consumers = append(e.Consumers, Consumer{
			Stream: d.Stream, Name: d.Consumer, Waiting: info.NumPending, InHand: uint64(max(0, info.NumAckPending)),
			Redelivered: uint64(max(0, info.NumRedelivered)), Pulls: info.NumWaiting,
		})
	}
	return e, nil
}

// Age is how long ago a time is; 0 where there is none.
func Age(t *time.Time, now time.Time) time.Duration {
	if t == nil {
		return 0
	}
	return max(0, now.Sub(*t))
}

// Read looks at the database and at JetStream side by side. Each fails by itself:
// what the other gave stands.
func Read(ctx context.Context, db *postgres.DB, conn *nats.Conn) (b postgres.Backlog, e Events, dbErr, natsErr error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e, natsErr = Look(ctx, conn)
	}()
	b, dbErr = db.Backlog(ctx)
	<-done
	return b, e, dbErr, natsErr
}
