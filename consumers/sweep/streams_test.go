package sweep

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/consumers/consumertest"
	"intray/infra/nats"
	"intray/schema"
)

// TestRoomIsMadeInStreams lets the streams fill up, with nobody who reads, until
// they refuse; then what is read is purged and they take more.
func TestRoomIsMadeInStreams(t *testing.T) {
	b := setup(t)
	if err := nats.Provision(t.Context(), b.Operator, nats.StreamLimits{BucketBytes: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	event := consumertest.BucketEvent(consumertest.Created, "another", "a")
	fill := func() (refused bool) {
		t.Helper()
		for range 1000 {
			if _, err := b.Operator.JetStream().Publish(t.Context(), schema.SubjectCreatedDirect, event); err != nil {
				return true
			}
		}
		return false
	}
	if !fill() {
		t.Fatal("the stream does not fill up")
	}
	stream, err := b.Operator.JetStream().Stream(t.Context(), schema.StreamBucket)
	if err != nil {
		t.Fatal(err)
	}
	state := func() jetstream.StreamState {
		t.Helper()
		info, err := stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.State
	}
	full := state()
	b.round(t, time.Now())
	if state().Msgs != full.Msgs {
		t.Fatal("what nobody has read was purged")
	}

	consumer, err := b.Operator.JetStream().Consumer(t.Context(), schema.StreamBucket, schema.ConsumerConfirm)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(int(full.Msgs))
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// A replica that does not sweep does not purge either.
	release, ok, err := b.DB.TryLock(t.Context(), lockName)
	if err != nil || !ok {
		t.Fatalf("TryLock = %v, %v", ok, err)
	}
	if b.sweeper.term(t.Context(), nil) || state().Msgs != full.Msgs {
		t.Error("purged by one that does not sweep")
	}
	release()
	b.round(t, time.Now())
	if left := state(); left.Bytes > 64<<10*70/100 || left.Bytes < 64<<10*65/100 || left.LastSeq != full.LastSeq {
		t.Errorf("%d of %d bytes are left, up to message %d of %d", left.Bytes, full.Bytes, left.LastSeq, full.LastSeq)
	}
	if _, err := b.Operator.JetStream().Publish(t.Context(), schema.SubjectCreatedDirect, event); err != nil {
		t.Error(err)
	}
}
