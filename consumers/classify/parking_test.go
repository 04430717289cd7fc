package classify_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"intray/consumers/classify"
	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/consumers/sweep"
	"intray/infra/ai"
	"intray/schema"
)

// limitAckPending sets how many messages of a consumer may be unacknowledged.
func (b *bundle) limitAckPending(t *testing.T, stream, consumer string, limit int) {
	t.Helper()
	config := b.ConsumerInfo(stream, consumer).Config
	config.MaxAckPending = limit
	_, err := b.Operator.JetStream().UpdateConsumer(t.Context(), stream, config)
	if err != nil {
		t.Fatal(err)
	}
}

// The provider of one user is away. The documents of that user exceed the number of messages that
// may be unacknowledged, and a document of another user arrives last. It is classified; the others
// are when the provider is back, without a failed attempt more than there were failed calls.
func TestUnavailableProviderDoesNotFillTheConsumer(t *testing.T) {
	const documents, maxAckPending, maxPostponed = 30, 10, 3
	b := setup(t)
	var away atomic.Bool
	away.Store(true)
	var failed atomic.Int64
	b.config.Providers["away"] = providerFunc(
		func(_ context.Context, r ai.Request) (ai.Answer, error) {
			if away.Load() {
				failed.Add(1)
				return ai.Answer{}, &ai.UnavailableError{
					Cause: errors.New("connection refused"), After: 2 * time.Second,
				}
			}
			return first(r)
		})
	b.config.Limits = map[string]classify.Limits{"away": {ConcurrentCalls: 1}}
	b.config.AIAttempts, b.config.MaxDelay = 100, 2*time.Second
	b.build(t)
	b.Exec(`UPDATE users SET ai_provider = 'away' WHERE id = $1`, b.Alice)
	b.limitAckPending(t, schema.StreamDocuments, schema.ConsumerClassify, maxAckPending)

	alices := b.backlog(t, b.Alice, documents, "alice's words")
	bobs := b.Uploaded(b.Bob, "bob's words")
	b.publish(t, append(alices, bobs)...)
	config := b.classifier.RunnerConfig()
	config.MaxPostponed = maxPostponed
	run, err := runner.New(b.Conn, b.DB, schema.DecodeDocumentEvent, b.classifier.Handle, config,
		consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	b.Go(run.InLanes(b.classifier.Lane).Run)
	b.Eventually("the other user's document is classified", func() bool {
		return b.Status(bobs.ID) == "classified"
	})
	const parked = `SELECT count(*) FROM document_attempts WHERE parked AND attempt = 0`
	if n := b.Count(parked); n < documents-maxAckPending {
		t.Errorf("got %d parked documents, want at least %d", n, documents-maxAckPending)
	}

	away.Store(false)
	sweeper, err := sweep.New(b.DB, b.Objects, b.Publisher, b.Conn, sweep.Config{
		Interval: 100 * time.Millisecond, RepublishAfter: time.Hour,
	}, consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	b.Go(sweeper.Run)
	b.Eventually("all documents are classified", func() bool {
		return b.Count(`SELECT count(*) FROM documents WHERE status = 'classified'`) == documents+1
	})
	if n := b.Count(parked); n != 0 {
		t.Errorf("got %d documents that are still parked, want none", n)
	}
	attempts := b.Count(`SELECT count(*) FROM document_attempts WHERE attempt > 0`)
	if int64(attempts) > failed.Load() {
		t.Errorf("got %d failed attempts, want at most %d, one for each failed call",
			attempts, failed.Load())
	}
	if n := b.Count(`SELECT count(*) FROM dead_letters`); n != 0 {
		t.Errorf("got %d dead letters, want none", n)
	}
}
