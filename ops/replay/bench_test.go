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
	"intray/ops/replay"
	"intray/schema"
)

var benchEvents = flag.Int("replay.events", 20_000,
	"number of events that BenchmarkLiveWhileReplaying replays")

// benchDocuments is the number of documents that the replayed events are about.
const benchDocuments = 2000

// BenchmarkLiveWhileReplaying measures the time from an upload's bucket event to its
// documents.uploaded event: first without a replay, then while a replay of -replay.events events
// runs in the same process.
//
//	go test ./ops/replay -run '^$' -bench Live -benchtime 1x -timeout 30m \
//		-args -replay.events 1000000
func BenchmarkLiveWhileReplaying(b *testing.B) {
	s := setup(b)
	s.Exec(`UPDATE quotas SET limit_bytes = 1000000000`)
	s.benchConsumers(b)
	s.publishEvents(b, s.benchDocuments(), *benchEvents)
	s.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm)
	s.start(b, "bench", replay.Selection{})
	events := s.subscribe(b)
	for b.Loop() {
		idle := s.measure(b, events, func(n int) bool { return n < 300 })
		ended := make(chan struct{})
		startedAt := time.Now()
		var took time.Duration
		s.Go(func(ctx context.Context) {
			defer close(ended)
			if _, err := (replay.Runner{Archive: s.archive}).Run(ctx, "bench"); err != nil {
				b.Error(err)
			}
			took = time.Since(startedAt)
		})
		replaying := s.measure(b, events, func(int) bool {
			select {
			case <-ended:
				return false
			default:
				return true
			}
		})
		for name, all := range map[string][]time.Duration{"idle": idle, "replaying": replaying} {
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, name+"-p50-ms")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, name+"-p99-ms")
		}
		b.ReportMetric(float64(*benchEvents)/took.Seconds(), "replayed/s")
		b.ReportMetric(float64(len(replaying)), "uploads-replaying")
	}
}

// benchConsumers runs confirm for the BUCKET and REPLAY streams.
func (b *bundle) benchConsumers(t testing.TB) {
	t.Helper()
	live, err := runner.New(b.Conn, b.DB, schema.DecodeBucketEvent, b.confirm(),
		runner.Config{
			Stream: schema.StreamBucket, Consumer: schema.ConsumerConfirm, Batch: 1000, Workers: 3,
		}, consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	handler := replay.Handler(b.DB, replay.BucketEvent, b.confirm(), 8)
	replayed, err := runner.New(b.Conn, b.DB, replay.Decode, handler,
		runner.Config{Stream: schema.StreamReplay, Consumer: replay.Confirm, Batch: 64},
		consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	b.Go(live.Run)
	b.Go(replayed.Run)
}

// benchDocuments creates pending documents with their objects.
func (b *bundle) benchDocuments() []schema.Document {
	documents := make([]schema.Document, benchDocuments)
	var puts errgroup.Group
	puts.SetLimit(minio.MaxConcurrent)
	for i := range documents {
		puts.Go(func() error {
			documents[i] = b.Document(b.Bob, 3)
			b.Put(documents[i].ObjectKey, "abc")
			return nil
		})
	}
	_ = puts.Wait() // always nil, because Document and Put end the benchmark on failure
	return documents
}

// publishEvents publishes n events about the documents, and at least one about each.
func (b *bundle) publishEvents(t testing.TB, documents []schema.Document, n int) {
	t.Helper()
	var futures []jetstream.PubAckFuture
	for i := range n {
		d := documents[i%len(documents)]
		if i >= len(documents) {
			d = documents[rand.IntN(len(documents))]
		}
		event := consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, d.ObjectKey)
		f, err := b.Operator.JetStream().PublishAsync(schema.SubjectCreatedDirect, event)
		if err != nil {
			t.Fatal(err)
		}
		if futures = append(futures, f); len(futures) == 256 || i == n-1 {
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

// uploadedEvents receives documents.uploaded events and sends the time at which each arrives to the
// channel of its document.
type uploadedEvents struct {
	mu    sync.Mutex
	times map[uuid.UUID]chan time.Time
}

func (b *bundle) subscribe(t testing.TB) *uploadedEvents {
	t.Helper()
	u := &uploadedEvents{times: make(map[uuid.UUID]chan time.Time)}
	_, err := b.Operator.Core().Subscribe(schema.SubjectDocumentUploaded, func(m *natsgo.Msg) {
		if e, err := schema.DecodeDocumentEvent(m.Data); err == nil {
			u.mu.Lock()
			defer u.mu.Unlock()
			if at, ok := u.times[e.DocumentID]; ok {
				at <- time.Now()
				delete(u.times, e.DocumentID)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// measure uploads one object after another, at most 100 per second, while more returns true for the
// number of uploads so far. It returns the time from the bucket event of each upload to its
// documents.uploaded event.
func (b *bundle) measure(
	t testing.TB, u *uploadedEvents, more func(n int) bool,
) (all []time.Duration) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for more(len(all)) {
		<-tick.C
		d := b.Document(b.Alice, 3)
		b.Put(d.ObjectKey, "abc")
		uploaded := make(chan time.Time, 1)
		u.mu.Lock()
		u.times[d.ID] = uploaded
		u.mu.Unlock()
		publishedAt := time.Now()
		event := consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, d.ObjectKey)
		b.Publish(schema.SubjectCreatedDirect, event)
		select {
		case at := <-uploaded:
			all = append(all, at.Sub(publishedAt))
		case <-time.After(consumertest.Timeout):
			t.Fatalf("document %s: got no documents.uploaded within %v", d.ID, consumertest.Timeout)
		}
	}
	return all
}
