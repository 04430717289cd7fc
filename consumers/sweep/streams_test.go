package sweep

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/consumers/consumertest"
	"intray/schema"
)

// A stream is filled until it refuses messages. After the messages have been acknowledged, a round
// purges them and the stream accepts messages again.
func TestFullStreamIsPurgedOfAcknowledgedMessages(t *testing.T) {
	b := setup(t)
	b.LimitStream(schema.StreamBucket, 64<<10)
	event := consumertest.BucketEvent(consumertest.Created, "another", "a")
	js := b.Operator.JetStream()
	publish := func() error {
		_, err := js.Publish(t.Context(), schema.SubjectCreatedDirect, event)
		return err
	}
	refused := false
	for range 1000 {
		if refused = publish() != nil; refused {
			break
		}
	}
	if !refused {
		t.Fatal("got 1000 messages accepted, want the stream to be full")
	}
	stream, err := js.Stream(t.Context(), schema.StreamBucket)
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
	if n := state().Msgs; n != full.Msgs {
		t.Fatalf("got %d messages, want all %d unacknowledged ones kept", n, full.Msgs)
	}

	consumer, err := js.Consumer(t.Context(), schema.StreamBucket, schema.ConsumerConfirm)
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
	b.round(t, time.Now())
	left := state()
	if left.Bytes > 64<<10*70/100 || left.Bytes < 64<<10*65/100 || left.LastSeq != full.LastSeq {
		t.Errorf("got %d bytes up to message %d, want 65%% to 70%% of %d up to message %d",
			left.Bytes, left.LastSeq, 64<<10, full.LastSeq)
	}
	if err := publish(); err != nil {
		t.Errorf("got %v after the purge, want the message accepted", err)
	}
}
