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

// read collects the sequences of a range.
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
		t.Errorf("the last of %v does not say so", sequences)
	}
	return sequences
}

func TestReadGivesARange(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	var middle time.Time
	for i := range 10 {
		subject := schema.SubjectCreatedDirect
		if i%2 == 1 {
			subject = schema.SubjectRemovedDurable
		}
		if _, err := operator.JetStream().Publish(t.Context(), subject, []byte(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if i == 4 {
			for m, err := range operator.Read(t.Context(), nats.Range{Stream: schema.StreamBucket, After: 4}) {
				if err != nil {
					t.Fatal(err)
				}
				middle = m.Time
			}
		}
	}
	bucket := schema.StreamBucket
	for name, c := range map[string]struct {
		r    nats.Range
		want []uint64
	}{
		"all":            {nats.Range{Stream: bucket}, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		"a subject":      {nats.Range{Stream: bucket, Subjects: []string{schema.SubjectsBucketRemoved}}, []uint64{2, 4, 6, 8, 10}},
		"sequences":      {nats.Range{Stream: bucket, After: 3, Through: 6}, []uint64{4, 5, 6}},
		"past the end":   {nats.Range{Stream: bucket, After: 8, Through: 99}, []uint64{9, 10}},
		"after the end":  {nats.Range{Stream: bucket, After: 10}, nil},
		"from a time":    {nats.Range{Stream: bucket, From: middle}, []uint64{5, 6, 7, 8, 9, 10}},
		"to a time":      {nats.Range{Stream: bucket, To: middle}, []uint64{1, 2, 3, 4, 5}},
		"both":           {nats.Range{Stream: bucket, After: 2, From: middle, Through: 7}, []uint64{5, 6, 7}},
		"in the future":  {nats.Range{Stream: bucket, From: time.Now().Add(time.Hour)}, nil},
		"nothing of it":  {nats.Range{Stream: bucket, Subjects: []string{schema.SubjectCreatedDurable}}, nil},
		"another stream": {nats.Range{Stream: schema.StreamReplay}, nil},
	} {
		if got := read(t, operator, c.r); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	stream, err := operator.JetStream().Stream(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is left behind", func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.Consumers == 2 // confirm and remove
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
		for m, err := range operator.Read(ctx, nats.Range{Stream: schema.StreamBucket, Follow: true}) {
			if last = err; err == nil {
				got <- m.Sequence
			}
		}
		ended <- last
	}()
	for i := range uint64(3) {
		if _, err := operator.JetStream().Publish(t.Context(), schema.SubjectCreatedDirect, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if sequence := <-got; sequence != i+1 {
			t.Errorf("got %d", sequence)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

func TestReplayPublishesEachIDOnce(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	messages := make([]nats.ReplayMessage, 300)
	for i := range messages {
		messages[i] = nats.ReplayMessage{Subject: nats.ReplaySubject("confirm", "x"), ID: fmt.Sprint("x:0:", i), Data: []byte("{}")}
	}
	for _, part := range [][]nats.ReplayMessage{messages[:3], messages[:200], messages} {
		if err := operator.Replay(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, operator, nats.Range{Stream: schema.StreamReplay}); len(got) != len(messages) {
		t.Errorf("%d messages are stored", len(got))
	}
	lag, err := operator.Lag(t.Context(), schema.StreamReplay, schema.ConsumerConfirm)
	if err != nil || lag.Pending != 300 || lag.AckPending != 0 {
		t.Errorf("lag %+v, %v", lag, err)
	}
	if lag, err := operator.Lag(t.Context(), schema.StreamReplay, schema.ConsumerClassify); err != nil || lag.Pending != 0 {
		t.Errorf("the other consumer's lag %+v, %v", lag, err)
	}
	if err := operator.PurgeReplay(t.Context(), nats.ReplaySubject("confirm", "x"), 100); err != nil {
		t.Fatal(err)
	}
	if got := read(t, operator, nats.Range{Stream: schema.StreamReplay}); len(got) != 200 || got[0] != 101 {
		t.Errorf("%d messages are left from %v on", len(got), got[:1])
	}
	if err := operator.PurgeReplay(t.Context(), nats.ReplaySubject("confirm", "other"), 0); err != nil {
		t.Fatal(err)
	}
	if err := operator.PurgeReplay(t.Context(), nats.ReplaySubject("confirm", "x"), 0); err != nil {
		t.Fatal(err)
	}
	if got := read(t, operator, nats.Range{Stream: schema.StreamReplay}); len(got) != 0 {
		t.Errorf("%d messages are left", len(got))
	}
}
