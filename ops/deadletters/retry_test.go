package deadletters_test

import (
	"errors"
	"strings"
	"testing"

	natsgo "github.com/nats-io/nats.go"

	"intray/consumers/confirm"
	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/ops/deadletters"
	"intray/schema"
)

func TestMain(m *testing.M) { consumertest.Main(m) }

func letters(t *testing.T, b *consumertest.Bundle) []postgres.DeadLetter {
	t.Helper()
	all, err := b.DB.DeadLetters(t.Context(), postgres.DeadLetterFilter{})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// An upload that cannot be confirmed, because its owner's quota is missing,
// becomes a dead letter; retried, it does so again; once the quota is there, a
// retry confirms it.
func TestAPoisonedMessageIsRetriedUntilItIsApplied(t *testing.T) {
	b := consumertest.New(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.Exec(`DELETE FROM quotas WHERE user_id = $1`, b.Alice)
	run, err := runner.New(b.Conn, b.DB, schema.DecodeBucketEvent,
		confirm.New(b.DB, b.Objects, b.Publisher, b.Log).Handler(b.MinIO.Bucket),
		runner.Config{Stream: schema.StreamBucket, Consumer: schema.ConsumerConfirm, MaxAttempts: 2, MinDelay: 1, MaxDelay: 1}, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	b.Go(run.Run)
	poison := natsgo.NewMsg(schema.SubjectCreatedDirect)
	poison.Data = consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, d.ObjectKey)
	poison.Header.Set("Trace", "t1")
	poison.Header.Set("Nats-Expected-Last-Sequence", "0") // for the first time only
	if _, err := b.Operator.JetStream().PublishMsg(t.Context(), poison); err != nil {
		t.Fatal(err)
	}
	dead := func(after int64) postgres.DeadLetter {
		t.Helper()
		var found postgres.DeadLetter
		b.Eventually("it is a dead letter", func() bool {
			all := letters(t, b)
			if len(all) == 1 {
				found = all[0]
			}
			return found.ID > after
		})
		return found
	}
	first := dead(0)
	if !strings.Contains(first.Reason, "quota") || first.Attempts != 2 || string(first.Data) != string(poison.Data) {
		t.Errorf("dead letter %+v", first)
	}
	retrier := deadletters.New(b.DB, b.Operator)
	if err := retrier.Retry(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second := dead(first.ID)
	if second.Headers["Trace"][0] != "t1" || second.Headers[deadletters.HeaderRetryOf][0] != "BUCKET:1" || second.Sequence != 2 {
		t.Errorf("dead letter %+v", second)
	}
	b.Exec(`INSERT INTO quotas (user_id, limit_bytes) VALUES ($1, 100)`, b.Alice)
	if err := retrier.Retry(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	b.Eventually("it is applied", func() bool { return b.Status(d.ID) == "uploaded" })
	b.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm)
	if left := letters(t, b); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
	b.ExpectUsed(b.Alice, 3)
}

// A crash between the publish and the end of the row is followed by a second
// retry of the same letter, which the stream takes for the first.
func TestRetriedTwiceIsStoredOnce(t *testing.T) {
	b := consumertest.New(t)
	if err := b.DB.AddDeadLetter(t.Context(), postgres.DeadLetter{
		Stream: schema.StreamBucket, Sequence: 7, Consumer: schema.ConsumerConfirm, Subject: schema.SubjectCreatedDirect, Data: []byte("{}"),
	}); err != nil {
		t.Fatal(err)
	}
	letter := letters(t, b)[0]
	retrier := deadletters.New(b.DB, b.Operator)
	for range 2 {
		if err := retrier.Retry(t.Context(), letter); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := b.Operator.JetStream().Stream(t.Context(), schema.StreamBucket)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d messages are stored", n)
	}
	if left := letters(t, b); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
}

func TestWhatCannotBePublishedStays(t *testing.T) {
	b := consumertest.New(t)
	if err := b.DB.AddDeadLetter(t.Context(), postgres.DeadLetter{
		Stream: schema.StreamDocuments, Sequence: 7, Consumer: schema.ConsumerConfirm, Subject: schema.SubjectCreatedDirect,
	}); err != nil {
		t.Fatal(err)
	}
	letter := letters(t, b)[0]
	retrier := deadletters.New(b.DB, b.Operator)
	if err := retrier.Retry(t.Context(), letter); err == nil || runner.Outage(err) {
		t.Errorf("a subject that is another stream's: %v", err)
	}
	b.NATS.Stop()
	if err := retrier.Retry(t.Context(), letter); !errors.Is(err, nats.ErrUnavailable) {
		t.Errorf("without NATS: %v", err)
	}
	if left := letters(t, b); len(left) != 1 {
		t.Errorf("left %+v", left)
	}
}
