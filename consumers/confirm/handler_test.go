package confirm_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/consumers/confirm"
	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/infra/telemetry"
	"intray/schema"
)

type bucketRunner = runner.Runner[[]schema.BucketRecord]

func (b bundle) newRunner(
	t *testing.T, db *postgres.DB, objects *minio.Objects, config runner.Config,
) *bucketRunner {
	t.Helper()
	config.Stream, config.Consumer = schema.StreamBucket, schema.ConsumerConfirm
	publisher := nats.NewPublisher(b.Conn, db, b.Log)
	handle := confirm.New(db, objects, publisher, b.Log).Handler(b.MinIO.Bucket)
	r, err := runner.New(b.Conn, db, schema.DecodeBucketEvent, handle, config, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// created publishes a creation event for the keys.
func (b bundle) created(subject string, keys ...string) {
	b.Publish(subject, consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, keys...))
}

// Two replicas receive eleven events for each document, in the same and in different batches.
func TestDuplicateEventsOnTwoReplicasConfirmOnce(t *testing.T) {
	b := setup(t)
	const documents = 60
	var keys []string
	for i := range documents {
		user := b.Alice
		if i%2 == 1 {
			user = b.Bob
		}
		d := b.Document(user, 3)
		b.Put(d.ObjectKey, "abc")
		keys = append(keys, d.ObjectKey)
	}
	for range 10 {
		for _, key := range keys {
			b.created(schema.SubjectCreatedDirect, key)
		}
		slices.Reverse(keys)
	}
	b.created(schema.SubjectCreatedDurable, keys...)
	for range 2 {
		r := b.newRunner(t, b.DB, b.Objects, runner.Config{Batch: 16, Workers: 2})
		b.Go(r.Run)
	}
	b.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm)
	confirmedOnce := b.Count(`SELECT count(*) FROM documents
		WHERE status = 'uploaded' AND version = 2 AND unpublished_at IS NULL`)
	if confirmedOnce != documents {
		t.Errorf("got %d documents confirmed once, want %d", confirmedOnce, documents)
	}
	b.ExpectUsed(b.Alice, documents/2*3)
	b.ExpectUsed(b.Bob, documents/2*3)
	expectDeadLetters(t, b, 0)
	if info, err := b.stream(t).Info(t.Context()); err != nil || info.State.Msgs != documents {
		t.Errorf("got stream state %+v, %v; want %d events", info.State, err, documents)
	}
}

func (b bundle) stream(t *testing.T) jetstream.Stream {
	t.Helper()
	stream, err := b.Operator.JetStream().Stream(t.Context(), schema.StreamDocuments)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestRedeliveryAfterACrashBeforeTheAckChangesNothing(t *testing.T) {
	b := setup(t)
	config := b.ConsumerInfo(schema.StreamBucket, schema.ConsumerConfirm).Config
	config.AckWait = time.Second
	consumer, err := b.Operator.JetStream().UpdateConsumer(t.Context(), schema.StreamBucket, config)
	if err != nil {
		t.Fatal(err)
	}
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.created(schema.SubjectCreatedDirect, d.ObjectKey)

	// This consumer handles the message and then crashes.
	m, err := consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	records, err := schema.DecodeBucketEvent(m.Data())
	if err != nil {
		t.Fatal(err)
	}
	b.confirm(t, records[0].Key)
	b.ExpectUsed(b.Alice, 3)

	b.Go(b.newRunner(t, b.DB, b.Objects, runner.Config{}).Run)
	b.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm)
	if n := b.ConsumerInfo(schema.StreamBucket, schema.ConsumerConfirm).Delivered.Consumer; n != 2 {
		t.Errorf("got %d deliveries, want 2", n)
	}
	b.Expect(d.ID, "uploaded")
	b.ExpectUsed(b.Alice, 3)
	expectPublished(t, b, d.ID, "uploaded")
}

// With MaxAttempts 1, an outage that counted as an attempt would dead-letter the message.
func TestOutagesOfPostgresAndMinIODoNotDeadLetterMessages(t *testing.T) {
	b := setup(t)
	database := consumertest.NewProxy(t, consumertest.Host(t, b.DatabaseURL))
	bucket := consumertest.NewProxy(t, b.MinIO.Endpoint)
	db := b.Open(consumertest.WithHost(t, b.DatabaseURL, database.Address))
	objects := b.ObjectsAt(bucket.Address)
	var probes atomic.Int32
	probe := func(ctx context.Context) error {
		probes.Add(1)
		return runner.Probe(ctx, db, objects)
	}
	b.Go(b.newRunner(t, db, objects, runner.Config{MaxAttempts: 1, Probe: probe}).Run)
	for name, proxy := range map[string]*consumertest.Proxy{"postgres": database, "minio": bucket} {
		t.Run(name, func(*testing.T) {
			d := b.Document(b.Alice, 3)
			b.Put(d.ObjectKey, "abc")
			proxy.Cut()
			before := probes.Load()
			b.created(schema.SubjectCreatedDirect, d.ObjectKey)
			b.Eventually("the dependencies are probed", func() bool { return probes.Load() >= before+3 })
			b.Expect(d.ID, "pending")
			proxy.Restore()
			b.Eventually("the document is uploaded", func() bool { return b.Status(d.ID) == "uploaded" })
		})
	}
	b.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm)
	expectDeadLetters(t, b, 0)
}

// timedObjects records the time of the last stat.
type timedObjects struct {
	minio.Stater
	at time.Time
}

func (o *timedObjects) Stat(ctx context.Context, key string) (schema.Object, error) {
	o.at = time.Now()
	return o.Stater.Stat(ctx, key)
}

func TestTraceStepBeginsBeforeTheStat(t *testing.T) {
	b := setup(t)
	type span struct{ Name, StartTimeUnixNano, EndTimeUnixNano string }
	spans := make(chan span, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var request struct {
			ResourceSpans []struct{ ScopeSpans []struct{ Spans []span } }
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			t.Error(err)
		}
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, s := range scope.Spans {
					spans <- s
				}
			}
		}
	}))
	defer collector.Close()
	config := telemetry.TraceConfig{Endpoint: collector.URL + "/v1/traces", Ratio: 1}
	end, err := telemetry.StartTracing(config)
	if err != nil {
		t.Fatal(err)
	}
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	objects := &timedObjects{Stater: b.Objects}
	confirmer := confirm.New(b.DB, objects, b.Publisher, b.Log)
	_, failed := confirmer.Confirm(t.Context(), []string{d.ObjectKey})
	if err := errors.Join(failed, end(t.Context())); err != nil {
		t.Fatal(err)
	}
	s := <-spans
	began, err := strconv.ParseInt(s.StartTimeUnixNano, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if stat := objects.at.UnixNano(); s.Name != "confirm" || began > stat {
		t.Errorf("got step %q that began at %d, want confirm before the stat at %d",
			s.Name, began, stat)
	}
}

func TestUndecodableEventsAreDeadLettered(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	for _, bad := range []string{
		"", "{}", "\x00\x00\x00", `{"Records":[]}`, `{"Records":[{"s3":{"object":{"key":"%zz"}}}]}`,
	} {
		b.Publish(schema.SubjectCreatedDurable, []byte(bad))
	}
	b.created(schema.SubjectCreatedDurable, d.ObjectKey)
	b.Go(b.newRunner(t, b.DB, b.Objects, runner.Config{}).Run)
	b.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm)
	b.Expect(d.ID, "uploaded")
	if n := b.Count(`SELECT count(*) FROM dead_letters WHERE attempts = 1`); n != 5 {
		t.Errorf("got %d dead letters, want 5", n)
	}
}
