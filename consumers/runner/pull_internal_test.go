package runner

import (
	"testing"
	"time"

	"intray/consumers/consumertest"
	"intray/infra/nats"
	"intray/schema"
)

// A consumer that was deleted may be created again with a different AckWait.
func TestSourceLooksUpTheConsumerAgainAfterAnError(t *testing.T) {
	b := consumertest.New(t)
	s := source{conn: b.Conn, stream: schema.StreamBucket, consumer: schema.ConsumerConfirm}
	expectAckWait := func(want time.Duration) {
		t.Helper()
		if d, err := s.fetch(t.Context(), 1); err != nil || d.ackWait != want {
			t.Errorf("got AckWait %s, %v; want %s", d.ackWait, err, want)
		}
	}
	expectAckWait(nats.AckWait)

	js := b.Operator.JetStream()
	if err := js.DeleteConsumer(t.Context(), s.stream, s.consumer); err != nil {
		t.Fatal(err)
	}
	if _, err := s.fetch(t.Context(), 1); err == nil {
		t.Error("got no error without a consumer, want one")
	}

	if err := nats.Provision(t.Context(), b.Operator, nats.StreamLimits{}); err != nil {
		t.Fatal(err)
	}
	config := b.ConsumerInfo(s.stream, s.consumer).Config
	config.AckWait = 7 * time.Second
	if _, err := js.UpdateConsumer(t.Context(), s.stream, config); err != nil {
		t.Fatal(err)
	}
	expectAckWait(config.AckWait)
}
