package nats_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"intray/infra/local/localtest"
	"intray/infra/nats"
	"intray/schema"
)

// read returns the sequence numbers of the messages in a range.
func read(t *testing.T, c *nats.Conn, r nats.Range) (sequences []uint64) {
	t.Helper()
	last := false
	for m, err := range c.Read(t.Context(), r) {
		if err != nil {
			t.Fatal(err)
		}
		sequences, last = append(sequences, m.Sequence), m.Last
	}
	if len(sequences) > 0 && r.To.IsZero() && !last {
		t.Errorf("messages %v: got Last false for the last one, want true", sequences)
	}
	return sequences
}

func TestReadRange(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	var middle time.Time // when message 5 was stored
	for i := range 10 {
		subject := schema.SubjectCreatedDirect
		if i%2 == 1 {
			subject = schema.SubjectRemovedDurable
		}
		_, err := operator.JetStream().Publish(t.Context(), subject, []byte(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if i == 4 {
			fifth := nats.Range{Stream: schema.StreamBucket, After: 4}
			for m, err := range operator.Read(t.Context(), fifth) {
				if err != nil {
					t.Fatal(err)
				}
				middle = m.Time
			}
		}
	}
	bucket := schema.StreamBucket
	removed, durable := []string{schema.SubjectsBucketRemoved}, []string{schema.SubjectCreatedDurable}
	for name, test := range map[string]struct {
		r    nats.Range
		want []uint64
	}{
		"whole stream":         {nats.Range{Stream: bucket}, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		"one subject":          {nats.Range{Stream: bucket, Subjects: removed}, []uint64{2, 4, 6, 8, 10}},
		"unused subject":       {nats.Range{Stream: bucket, Subjects: durable}, nil},
		"sequence numbers":     {nats.Range{Stream: bucket, After: 3, Through: 6}, []uint64{4, 5, 6}},
		"past the end":         {nats.Range{Stream: bucket, After: 8, Through: 99}, []uint64{9, 10}},
		"after the end":        {nats.Range{Stream: bucket, After: 10}, nil},
		"from a time":          {nats.Range{Stream: bucket, From: middle}, []uint64{5, 6, 7, 8, 9, 10}},
		"to a time":            {nats.Range{Stream: bucket, To: middle}, []uint64{1, 2, 3, 4, 5}},
		"numbers and a time":   {nats.Range{Stream: bucket, After: 2, From: middle, Through: 7}, []uint64{5, 6, 7}},
		"from a future time":   {nats.Range{Stream: bucket, From: time.Now().Add(time.Hour)}, nil},
		"another empty stream": {nats.Range{Stream: schema.StreamReplay}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := read(t, operator, test.r); !slices.Equal(got, test.want) {
				t.Errorf("got messages %v, want %v", got, test.want)
			}
		})
	}
	t.Run("temporary consumers are deleted", func(t *testing.T) {
		stream, err := operator.JetStream().Stream(t.Context(), bucket)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "only confirm and remove are left", func() bool {
			info, err := stream.Info(t.Context())
			return err == nil && info.State.Consumers == 2
		})
	})
}

func TestReadFollows(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan uint64)
	ended := make(chan error, 1)
	go func() {
		var last error
		endless := nats.Range{Stream: schema.StreamBucket, Follow: true}
		for m, err := range operator.Read(ctx, endless) {
			if last = err; err == nil {
				got <- m.Sequence
			}
		}
		ended <- last
	}()
	for i := range uint64(3) {
		_, err := operator.JetStream().Publish(t.Context(), schema.SubjectCreatedDirect, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if sequence := <-got; sequence != i+1 {
			t.Errorf("got message %d, want %d", sequence, i+1)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: got %v, want context.Canceled", err)
	}
}

func TestReplay(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	subject := nats.ReplaySubject("confirm", "x")
	messages := make([]nats.ReplayMessage, 300)
	for i := range messages {
		messages[i] = nats.ReplayMessage{
			Subject: subject, ID: fmt.Sprint("x:0:", i), Data: []byte("{}"),
		}
	}
	for _, list := range [][]nats.ReplayMessage{messages[:3], messages[:200], messages} {
		if err := operator.Replay(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	stored := func() []uint64 { return read(t, operator, nats.Range{Stream: schema.StreamReplay}) }
	purge := func(t *testing.T, subject string, through uint64) {
		t.Helper()
		if err := operator.PurgeReplay(t.Context(), subject, through); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("each message ID is stored once", func(t *testing.T) {
		if got := stored(); len(got) != len(messages) {
			t.Errorf("got %d stored messages, want %d", len(got), len(messages))
		}
	})
	t.Run("only the target's consumer has pending messages", func(t *testing.T) {
		for consumer, want := range map[string]uint64{
			schema.ConsumerConfirm: 300, schema.ConsumerClassify: 0,
		} {
			lag, err := operator.Lag(t.Context(), schema.StreamReplay, consumer)
			if err != nil || lag.Pending != want || lag.AckPending != 0 {
				t.Errorf("consumer %s: got lag %+v, %v; want %d pending", consumer, lag, err, want)
			}
		}
	})
	t.Run("PurgeReplay deletes up to a sequence number", func(t *testing.T) {
		purge(t, subject, 100)
		if got := stored(); len(got) != 200 || got[0] != 101 {
			t.Errorf("got %d messages, want 200 that begin with 101", len(got))
		}
	})
	t.Run("PurgeReplay keeps other subjects", func(t *testing.T) {
		purge(t, nats.ReplaySubject("confirm", "other"), 0)
		if got := stored(); len(got) != 200 {
			t.Errorf("got %d messages, want 200", len(got))
		}
	})
	t.Run("PurgeReplay deletes all messages of a subject", func(t *testing.T) {
		purge(t, subject, 0)
		if got := stored(); len(got) != 0 {
			t.Errorf("got %d messages, want 0", len(got))
		}
	})
}
