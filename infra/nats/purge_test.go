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

// smallStream is a small BUCKET stream with its consumers.
type smallStream struct {
	operator *nats.Conn
	worker   *nats.Conn
	maxBytes int64
	stream   jetstream.Stream
}

const smallBytes = 64 << 10

func newSmallStream(t *testing.T, maxBytes int64) *smallStream {
	t.Helper()
	server := localtest.NATS(t)
	s := &smallStream{
		operator: connect(t, server, nats.UserOperator),
		worker:   connect(t, server, nats.UserWorker),
		maxBytes: maxBytes,
	}
	s.recreate(t)
	return s
}

func (s *smallStream) provision(t *testing.T) {
	t.Helper()
	limits := nats.StreamLimits{BucketBytes: s.maxBytes}
	if err := nats.Provision(t.Context(), s.operator, limits); err != nil {
		t.Fatal(err)
	}
}

// recreate deletes the stream and creates it again, with its consumers.
func (s *smallStream) recreate(t *testing.T) {
	t.Helper()
	js := s.operator.JetStream()
	err := js.DeleteStream(t.Context(), schema.StreamBucket)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Fatal(err)
	}
	s.provision(t)
	if s.stream, err = js.Stream(t.Context(), schema.StreamBucket); err != nil {
		t.Fatal(err)
	}
}

func (s *smallStream) state(t *testing.T) jetstream.StreamState {
	t.Helper()
	return stateOf(t, s.stream)
}

// publish publishes a message with size bytes of data.
func (s *smallStream) publish(t *testing.T, subject string, size int) error {
	data := []byte(strings.Repeat("x", size))
	_, err := s.operator.JetStream().Publish(t.Context(), subject, data)
	return err
}

// fill publishes messages of 1000 bytes until the stream rejects one, and returns their number.
func (s *smallStream) fill(t *testing.T, subject string) (n int) {
	for s.publish(t, subject, 1000) == nil {
		n++
	}
	return n
}

// acknowledge fetches and acknowledges the next n messages of a consumer.
func (s *smallStream) acknowledge(t *testing.T, name string, n int) {
	t.Helper()
	consumer, err := s.stream.Consumer(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(n)
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := 0
	for m := range batch.Messages() {
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
		acknowledged++
	}
	if acknowledged != n {
		t.Fatalf("consumer %s: got %d messages, want %d", name, acknowledged, n)
	}
}

func (s *smallStream) purge(t *testing.T) nats.PurgeResult {
	t.Helper()
	p, err := s.worker.Purge(t.Context(), schema.StreamBucket)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// expectNothingPurged purges the stream and fails the test if a message was deleted, or if the
// result's Blocked differs from blocked.
func (s *smallStream) expectNothingPurged(t *testing.T, blocked bool) {
	t.Helper()
	if p := s.purge(t); p.First != 0 || p.Blocked != blocked {
		t.Errorf("Purge: got %+v, want no deleted message and Blocked %v", p, blocked)
	}
}

func TestPurgeStopsAtTheSlowestConsumer(t *testing.T) {
	s := newSmallStream(t, smallBytes)
	s.fill(t, schema.SubjectCreatedDirect)
	t.Run("nothing is acknowledged", func(t *testing.T) {
		s.expectNothingPurged(t, true)
	})
	t.Run("five messages are acknowledged", func(t *testing.T) {
		s.acknowledge(t, schema.ConsumerConfirm, 5)
		p := s.purge(t)
		if p.First != 1 || p.Last != 5 || !p.Blocked {
			t.Errorf("Purge: got %+v, want messages 1 to 5 deleted, and Blocked", p)
		}
		if first := s.state(t).FirstSeq; first != 6 {
			t.Errorf("got first message %d, want 6", first)
		}
	})
	t.Run("enough messages are acknowledged", func(t *testing.T) {
		s.fill(t, schema.SubjectCreatedDirect)
		s.acknowledge(t, schema.ConsumerConfirm, 40)
		p, left := s.purge(t), s.state(t)
		if p.Blocked || left.FirstSeq != p.Last+1 {
			t.Errorf("got %+v with first message %d; want Last + 1, and not Blocked",
				p, left.FirstSeq)
		}
		least, most := uint64(smallBytes*67/100), uint64(smallBytes*70/100)
		if left.Bytes < least || left.Bytes > most {
			t.Errorf("got %d bytes left, want %d to %d", left.Bytes, least, most)
		}
	})
	t.Run("a stream that is 70% full is not purged", func(t *testing.T) {
		s.expectNothingPurged(t, false)
	})
}

func TestPurgeWaitsForEveryDurableConsumer(t *testing.T) {
	s := newSmallStream(t, smallBytes)
	n := s.fill(t, schema.SubjectCreatedDirect)
	s.acknowledge(t, schema.ConsumerConfirm, n)
	t.Run("another durable consumer has pending messages", func(t *testing.T) {
		config := jetstream.ConsumerConfig{Durable: "other", AckPolicy: jetstream.AckExplicitPolicy}
		if _, err := s.stream.CreateConsumer(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		s.expectNothingPurged(t, true)
		if err := s.stream.DeleteConsumer(t.Context(), config.Durable); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a consumer that Provision creates is missing", func(t *testing.T) {
		if err := s.stream.DeleteConsumer(t.Context(), schema.ConsumerRemove); err != nil {
			t.Fatal(err)
		}
		s.expectNothingPurged(t, true)
	})
	t.Run("no consumer has pending messages", func(t *testing.T) {
		s.provision(t) // the new consumer has no messages of its subject
		if p := s.purge(t); p.First != 1 || p.Blocked {
			t.Errorf("Purge: got %+v, want message 1 deleted, and not Blocked", p)
		}
	})
}

// For random message sizes and consumer positions, Purge must not delete a message that a consumer
// has not acknowledged, and must report whether it reached its target.
func TestPurgeKeepsUnacknowledgedMessages(t *testing.T) {
	const size = 16 << 10
	s := newSmallStream(t, size)
	rapid.Check(t, func(rt *rapid.T) {
		s.recreate(t)
		var subjects []string
		sizes := rapid.SampledFrom([][2]int{{100, 400}, {100, 3000}, {1000, 2000}}).Draw(rt, "sizes")
		for {
			subject := schema.SubjectCreatedDirect
			if rapid.IntRange(0, 4).Draw(rt, "kind") == 0 {
				subject = schema.SubjectRemovedDurable
			}
			if s.publish(t, subject, rapid.IntRange(sizes[0], sizes[1]).Draw(rt, "size")) != nil {
				break
			}
			subjects = append(subjects, subject)
		}
		floor := uint64(len(subjects)) // all consumers have acknowledged the messages up to it
		for consumer, subject := range map[string]string{
			schema.ConsumerConfirm: schema.SubjectCreatedDirect,
			schema.ConsumerRemove:  schema.SubjectRemovedDurable,
		} {
			var sequences []uint64
			for i, other := range subjects {
				if other == subject {
					sequences = append(sequences, uint64(i)+1)
				}
			}
			n := rapid.IntRange(0, len(sequences)).Draw(rt, consumer)
			if n > 0 {
				s.acknowledge(t, consumer, n)
			}
			if n < len(sequences) {
				floor = min(floor, sequences[n]-1)
			}
		}
		full := s.state(t)
		p := s.purge(t)
		left := s.state(t)
		if left.FirstSeq > floor+1 {
			rt.Fatalf("got first message %d, want at most %d, the first that is not acknowledged",
				left.FirstSeq, floor+1)
		}
		if want := left.Bytes > size/100*70; p.Blocked != want {
			rt.Fatalf("got %+v with %d bytes left, want Blocked %v", p, left.Bytes, want)
		}
		if want := left.FirstSeq > full.FirstSeq; (p.First != 0) != want {
			rt.Fatalf("got %+v, want deleted messages %v", p, want)
		}
	})
}

// Purge reads the last message of the DOCUMENTS stream with a direct get, which requires a
// different permission than for BUCKET.
func TestPurgeDocumentsStream(t *testing.T) {
	server := localtest.NATS(t)
	operator := connect(t, server, nats.UserOperator)
	limits := nats.StreamLimits{DocumentsBytes: smallBytes}
	if err := nats.Provision(t.Context(), operator, limits); err != nil {
		t.Fatal(err)
	}
	stream, err := operator.JetStream().Stream(t.Context(), schema.StreamDocuments)
	if err != nil {
		t.Fatal(err)
	}
	s := &smallStream{operator: operator, stream: stream}
	n := s.fill(t, schema.SubjectDocumentUploaded)
	s.acknowledge(t, schema.ConsumerClassify, n-1)
	worker := connect(t, server, nats.UserWorker)
	for i, want := range []bool{true, false} {
		p, err := worker.Purge(t.Context(), schema.StreamDocuments)
		if got := p.First == 1 && p.Last > 0; err != nil || got != want {
			t.Errorf("Purge %d: got %+v, %v; want messages deleted %v", i+1, p, err, want)
		}
	}
	s.acknowledge(t, schema.ConsumerClassify, 1)
	s.fill(t, schema.SubjectDocumentUploaded)
	s.acknowledge(t, schema.ConsumerClassify, int(stateOf(t, stream).LastSeq)-n)
	p, err := worker.Purge(t.Context(), schema.StreamDocuments)
	if err != nil || p.Last == 0 || p.Blocked {
		t.Errorf("Purge with all messages acknowledged: got %+v, %v; want messages deleted", p, err)
	}
}

func stateOf(t *testing.T, stream jetstream.Stream) jetstream.StreamState {
	t.Helper()
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State
}

func TestPurgeEmptyStream(t *testing.T) {
	server := localtest.NATS(t)
	provision(t, server)
	p, err := connect(t, server, nats.UserWorker).Purge(t.Context(), schema.StreamDocuments)
	if err != nil || p.First != 0 || p.Blocked {
		t.Errorf("got %+v, %v; want no deleted message and not Blocked", p, err)
	}
}

func TestPurgeWithoutStreamOrServer(t *testing.T) {
	server := localtest.NATS(t)
	worker := connect(t, server, nats.UserWorker)
	expectUnavailable := func(t *testing.T) {
		t.Helper()
		_, err := worker.Purge(t.Context(), schema.StreamBucket)
		if !errors.Is(err, nats.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
	}
	t.Run("without the stream", expectUnavailable)
	server.Stop()
	eventually(t, "the worker loses its connection", func() bool { return !worker.Connected() })
	t.Run("without the server", expectUnavailable)
}
