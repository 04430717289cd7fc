package nats_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"intray/infra/local/localtest"
	"intray/infra/nats"
	"intray/schema"
)

// bounded is a BUCKET stream of some bytes with its consumers.
type bounded struct {
	t        *testing.T
	operator *nats.Conn
	worker   *nats.Conn
	bytes    int64
	stream   jetstream.Stream
}

const boundedBytes = 64 << 10

func newBounded(t *testing.T, bytes int64) bounded {
	t.Helper()
	server := localtest.NATS(t)
	b := bounded{t: t, operator: connect(t, server, nats.UserOperator), worker: connect(t, server, nats.UserWorker), bytes: bytes}
	b.anew()
	return b
}

// anew makes the stream and its consumers anew.
func (b *bounded) anew() {
	b.t.Helper()
	js := b.operator.JetStream()
	if err := js.DeleteStream(b.t.Context(), schema.StreamBucket); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		b.t.Fatal(err)
	}
	if err := nats.Provision(b.t.Context(), b.operator, nats.StreamLimits{BucketBytes: b.bytes}); err != nil {
		b.t.Fatal(err)
	}
	stream, err := js.Stream(b.t.Context(), schema.StreamBucket)
	if err != nil {
		b.t.Fatal(err)
	}
	b.stream = stream
}

func (b bounded) state() jetstream.StreamState {
	b.t.Helper()
	info, err := b.stream.Info(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return info.State
}

// publish stores a message of about that size.
func (b bounded) publish(subject string, size int) error {
	_, err := b.operator.JetStream().Publish(b.t.Context(), subject, []byte(strings.Repeat("x", size)))
	return err
}

// acknowledge lets a consumer take and acknowledge n messages.
func (b bounded) acknowledge(name string, n int) {
	b.t.Helper()
	consumer, err := b.stream.Consumer(b.t.Context(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	batch, err := consumer.Fetch(n)
	if err != nil {
		b.t.Fatal(err)
	}
	taken := 0
	for m := range batch.Messages() {
		if err := m.DoubleAck(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
		taken++
	}
	if taken != n {
		b.t.Fatalf("%s took %d of %d messages", name, taken, n)
	}
}

func (b bounded) purge() nats.PurgeResult {
	b.t.Helper()
	p, err := b.worker.Purge(b.t.Context(), schema.StreamBucket)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// fill publishes messages of 1 kB until the stream refuses, and returns how many.
func (b bounded) fill(subject string) (n int) {
	for b.publish(subject, 1000) == nil {
		n++
	}
	return n
}

func TestPurgeStopsAtTheSlowestConsumer(t *testing.T) {
	b := newBounded(t, boundedBytes)
	b.fill(schema.SubjectCreatedDirect)
	if p := b.purge(); p.First != 0 || !p.Blocked {
		t.Errorf("before anything is acknowledged: %+v", p)
	}
	b.acknowledge(schema.ConsumerConfirm, 5)
	if p := b.purge(); p.First != 1 || p.Last != 5 || !p.Blocked || b.state().FirstSeq != 6 {
		t.Errorf("five are acknowledged: %+v, the first is %d", p, b.state().FirstSeq)
	}
	b.fill(schema.SubjectCreatedDirect)
	b.acknowledge(schema.ConsumerConfirm, 40)
	p := b.purge()
	if s := b.state(); p.Blocked || s.Bytes > boundedBytes*70/100 || s.Bytes < boundedBytes*67/100 || s.FirstSeq != p.Last+1 {
		t.Errorf("forty-five are acknowledged: %+v; %d bytes from %d on are left", p, s.Bytes, s.FirstSeq)
	}
	if p := b.purge(); p.First != 0 || p.Blocked { // 70 % is not over 80 %
		t.Errorf("purged once more: %+v", p)
	}
}

func TestPurgeKeepsWhatAnyDurableConsumerHasToRead(t *testing.T) {
	b := newBounded(t, boundedBytes)
	n := b.fill(schema.SubjectCreatedDirect)
	b.acknowledge(schema.ConsumerConfirm, n)
	other, err := b.stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "other", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	if p := b.purge(); p.First != 0 || !p.Blocked {
		t.Errorf("another durable consumer has read nothing: %+v", p)
	}
	if err := b.stream.DeleteConsumer(t.Context(), other.CachedInfo().Name); err != nil {
		t.Fatal(err)
	}
	if err := b.stream.DeleteConsumer(t.Context(), schema.ConsumerRemove); err != nil {
		t.Fatal(err)
	}
	if p := b.purge(); p.First != 0 || !p.Blocked {
		t.Errorf("a consumer is missing: %+v", p)
	}
	if err := nats.Provision(t.Context(), b.operator, nats.StreamLimits{BucketBytes: boundedBytes}); err != nil {
		t.Fatal(err)
	}
	// The new one has heard nothing, but of what it hears there is nothing either.
	if p := b.purge(); p.First != 1 || p.Blocked {
		t.Errorf("all is acknowledged: %+v", p)
	}
}

// Whatever the sizes, and however far each consumer is, nothing goes that one of
// them has still to acknowledge, and no more than is needed by one message.
func TestPurgeTakesNoMoreThanItMay(t *testing.T) {
	const size = 16 << 10
	b := newBounded(t, size)
	rapid.Check(t, func(rt *rapid.T) {
		b.anew()
		var subjects []string
		sizes := rapid.SampledFrom([][2]int{{100, 400}, {100, 3000}, {1000, 2000}}).Draw(rt, "sizes")
		for {
			subject := schema.SubjectCreatedDirect
			if rapid.IntRange(0, 4).Draw(rt, "kind") == 0 {
				subject = schema.SubjectRemovedDurable
			}
			if b.publish(subject, rapid.IntRange(sizes[0], sizes[1]).Draw(rt, "size")) != nil {
				break
			}
			subjects = append(subjects, subject)
		}
		floor := uint64(len(subjects)) // the first that is not acknowledged is after it
		for consumer, subject := range map[string]string{
			schema.ConsumerConfirm: schema.SubjectCreatedDirect, schema.ConsumerRemove: schema.SubjectRemovedDurable,
		} {
			var mine []uint64
			for i, s := range subjects {
				if s == subject {
					mine = append(mine, uint64(i)+1)
				}
			}
			n := rapid.IntRange(0, len(mine)).Draw(rt, consumer)
			if n > 0 {
				b.acknowledge(consumer, n)
			}
			if n < len(mine) {
				floor = min(floor, mine[n]-1)
			}
		}
		full := b.state()
		p := b.purge()
		left := b.state()
		if left.FirstSeq > floor+1 {
			rt.Fatalf("message %d is the first, though only those up to %d are acknowledged by all", left.FirstSeq, floor)
		}
		if p.Blocked != (left.Bytes > size/100*70) || (p.First != 0) != (left.FirstSeq > full.FirstSeq) {
			rt.Fatalf("%+v, but %d bytes are left from %d on", p, left.Bytes, left.FirstSeq)
		}
	})
}

func TestPurgeWithoutStreamOrServer(t *testing.T) {
	server := localtest.NATS(t)
	worker := connect(t, server, nats.UserWorker)
	if _, err := worker.Purge(t.Context(), schema.StreamBucket); !errors.Is(err, nats.ErrUnavailable) {
		t.Errorf("without the stream: %v", err)
	}
	provision(t, server)
	if p, err := worker.Purge(t.Context(), schema.StreamDocuments); err != nil || p.First != 0 || p.Blocked {
		t.Errorf("an empty stream: %+v, %v", p, err)
	}
	server.Stop()
	eventually(t, "the loss is noticed", func() bool { return !worker.Connected() })
	if _, err := worker.Purge(t.Context(), schema.StreamBucket); !errors.Is(err, nats.ErrUnavailable) {
		t.Errorf("without the server: %v", err)
	}
}
