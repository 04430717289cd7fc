package replay_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/ops/replay"
	"intray/schema"
)

var benchEvents = flag.Int("replay.events", 20_000, "how many events BenchmarkLiveWhileReplaying replays")

// benchDocuments is how many documents the replayed events are about.
const benchDocuments = 2000

// BenchmarkLiveWhileReplaying measures how long after its event an upload counts,
// first by itself, then while a replay of -replay.events events runs in the same
// process:
//
//	go test ./ops/replay -run '^$' -bench Live -benchtime 1x -timeout 30m -args -replay.events 1000000
func BenchmarkLiveWhileReplaying(b *testing.B) {
	s := &bundle{Bundle: consumertest.New(b)}
	s.archive = replay.Archive{DB: s.Open(s.OwnerURL), Conn: s.Operator, Objects: s.Objects, BucketName: s.MinIO.Bucket}
	s.Exec(`UPDATE quotas SET limit_bytes = 1000000000`)
	live, err := runner.New(s.Conn, s.DB, schema.DecodeBucketEvent, s.confirm(),
		runner.Config{Stream: schema.StreamBucket, Consumer: schema.ConsumerConfirm, Batch: 1000, Workers: 3}, consumertest.Discard())
	if err != nil {
		b.Fatal(err)
	}
	again, err := runner.New(s.Conn, s.DB, replay.Decode, replay.Handler(s.DB, replay.BucketEvent, s.confirm(), 8),
		runner.Config{Stream: schema.StreamReplay, Consumer: replay.Confirm, Batch: 64}, consumertest.Discard())
	if err != nil {
		b.Fatal(err)
	}
	s.Go(live.Run)
	s.Go(again.Run)

	documents := make([]schema.Document, benchDocuments)
	var puts errgroup.Group
	puts.SetLimit(minio.MaxConcurrent)
	for i := range documents {
		puts.Go(func() error {
			documents[i] = s.Document(s.Bob, 3)
			s.Put(documents[i].ObjectKey, "abc")
			return nil
		})
	}
	_ = puts.Wait() // Document and Put fail the benchmark themselves
	s.flood(b, documents, *benchEvents)
	s.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm)
	if _, err := s.archive.Prepare(b.Context(), replay.Confirm, replay.Selection{}, 0, &postgres.Replay{Name: "bench", Selection: []byte(`{}`)}, nil); err != nil {
		b.Fatal(err)
	}
	if err := s.archive.Start(b.Context(), "bench"); err != nil {
		b.Fatal(err)
	}
	events := s.hear(b)
	for b.Loop() {
		alone := s.uploads(b, events, func(n int) bool { return n < 300 })
		ended := make(chan struct{})
		began := time.Now()
		var took time.Duration
		s.Go(func(ctx context.Context) {
			defer close(ended)
			if _, err := (replay.Runner{Archive: s.archive}).Run(ctx, "bench"); err != nil {
				b.Error(err)
			}
			took = time.Since(began)
		})
		beside := s.uploads(b, events, func(int) bool {
			select {
			case <-ended:
				return false
			default:
				return true
			}
		})
		for name, all := range map[string][]time.Duration{"alone": alone, "beside": beside} {
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, name+"-p50-ms")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, name+"-p99-ms")
		}
		b.ReportMetric(float64(*benchEvents)/took.Seconds(), "replayed/s")
		b.ReportMetric(float64(len(beside)), "uploads-beside")
	}
}

// flood publishes so many events about the documents.
func (b *bundle) flood(t testing.TB, documents []schema.Document, events int) {
	t.Helper()
	var futures []jetstream.PubAckFuture
	for i := range events {
		d := documents[i%len(documents)]
		if i >= len(documents) {
			d = documents[rand.IntN(len(documents))]
		}
		f, err := b.Operator.JetStream().PublishAsync(schema.SubjectCreatedDirect, consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, d.ObjectKey))
		if err != nil {
			t.Fatal(err)
		}
		if futures = append(futures, f); len(futures) == 256 || i == events-1 {
			for _, f := range futures {
				select {
				case <-f.Ok():
				case err := <-f.Err():
					t.Fatal(err)
				}
			}
			futures = futures[:0]
		}
	}
}

// uploadedEvents receives the events documents.uploaded and the times at which they came.
type uploadedEvents struct {
	mu    sync.Mutex
	waits map[uuid.UUID]chan time.Time
}

func (b *bundle) hear(t testing.TB) *uploadedEvents {
	t.Helper()
	h := &uploadedEvents{waits: make(map[uuid.UUID]chan time.Time)}
	_, err := b.Operator.Core().Subscribe(schema.SubjectDocumentUploaded, func(m *natsgo.Msg) {
		if e, err := schema.DecodeDocumentEvent(m.Data); err == nil {
			h.mu.Lock()
			defer h.mu.Unlock()
			if wait, ok := h.waits[e.DocumentID]; ok {
				wait <- time.Now()
				delete(h.waits, e.DocumentID)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// uploads puts one object after the other, a hundred a second at most, while more
// says so, and returns how long after the bucket's event each documents.uploaded came.
func (b *bundle) uploads(
	t testing.TB, h *uploadedEvents, more func(n int) bool,
) (all []time.Duration) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for more(len(all)) {
		<-tick.C
		d := b.Document(b.Alice, 3)
		b.Put(d.ObjectKey, "abc")
		wait := make(chan time.Time, 1)
		h.mu.Lock()
		h.waits[d.ID] = wait
		h.mu.Unlock()
		began := time.Now()
		b.Publish(schema.SubjectCreatedDirect, consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, d.ObjectKey))
		select {
		case at := <-wait:
			all = append(all, at.Sub(began))
		case <-time.After(consumertest.Timeout):
			t.Fatalf("document %s has no event", d.ID)
		}
	}
	return all
}
