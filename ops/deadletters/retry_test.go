package deadletters_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"intray/consumers/confirm"
	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/consumers/sweep"
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

// TestRetry retries the message of an upload that cannot be confirmed because its owner's quota is
// missing. The first retry fails again. The second one succeeds, because the quota exists by then.
func TestRetry(t *testing.T) {
	b := consumertest.New(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.Exec(`DELETE FROM quotas WHERE user_id = $1`, b.Alice)
	runConfirm(t, b)
	data := consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, d.ObjectKey)
	m := natsgo.NewMsg(schema.SubjectCreatedDirect)
	m.Data = data
	m.Header.Set("Trace", "t1")
	m.Header.Set("Nats-Expected-Last-Sequence", "0") // a retry must leave this header out
	if _, err := b.Operator.JetStream().PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	first := awaitLetter(t, b, 0)
	retrier := deadletters.New(b.DB, b.Operator)

	t.Run("a message that fails again becomes a new dead letter", func(t *testing.T) {
		if !strings.Contains(first.Reason, "quota") || first.Attempts != 2 ||
			string(first.Data) != string(data) {
			t.Errorf("got %+v, want 2 attempts, a reason with the quota, and data %s", first, data)
		}
		if err := retrier.Retry(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		got := awaitLetter(t, b, first.ID)
		trace, retryOf := got.Headers["Trace"], got.Headers[deadletters.HeaderRetryOf]
		if got.Sequence != 2 || !slices.Equal(trace, []string{"t1"}) ||
			!slices.Equal(retryOf, []string{"BUCKET:1"}) {
			t.Errorf("got sequence %d, Trace %q, %s %q, want 2, t1, BUCKET:1",
				got.Sequence, trace, deadletters.HeaderRetryOf, retryOf)
		}
	})
	t.Run("a message that succeeds leaves no dead letter", func(t *testing.T) {
		second := awaitLetter(t, b, first.ID)
		b.Exec(`INSERT INTO quotas (user_id, limit_bytes) VALUES ($1, 100)`, b.Alice)
		if err := retrier.Retry(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		b.Eventually("document uploaded", func() bool { return b.Status(d.ID) == "uploaded" })
		b.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm)
		expectLetters(t, b, 0)
		b.ExpectUsed(b.Alice, 3)
	})
}

// TestRetryOfADamagedUpload retries the dead letters of two documents whose objects were damaged.
// The event of one of them was lost, so the sweeper generated its dead letter.
func TestRetryOfADamagedUpload(t *testing.T) {
	b := consumertest.New(t)
	delivered, lost := b.Document(b.Alice, 3), b.Document(b.Alice, 3)
	var restore []func()
	for _, d := range []schema.Document{delivered, lost} {
		b.Put(d.ObjectKey, "abc")
		restore = append(restore, b.MinIO.Damage(t, d.ObjectKey))
	}
	runConfirm(t, b)
	b.Publish(schema.SubjectCreatedDurable,
		consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, delivered.ObjectKey))
	awaitLetter(t, b, 0)
	b.Exec(`UPDATE documents SET url_issued_at = now() - interval '2 hours'`)
	config := sweep.Config{Interval: time.Millisecond, ScanInterval: time.Hour}
	sweeper, err := sweep.New(b.DB, b.Objects, b.Publisher, b.Conn, config, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	b.Go(sweeper.Run)
	b.Eventually("the dead letter of the lost event", func() bool {
		b.Exec(`UPDATE unchecked_uploads SET next_attempt_at = now() WHERE dead_at IS NULL`)
		return len(letters(t, b)) == 2
	})
	b.Expect(delivered.ID, "pending")
	b.Expect(lost.ID, "pending")
	for _, heal := range restore {
		heal()
	}
	retrier := deadletters.New(b.DB, b.Operator)
	for _, l := range letters(t, b) {
		if err := retrier.Retry(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	b.Eventually("both documents are uploaded", func() bool {
		return b.Status(delivered.ID) == "uploaded" && b.Status(lost.ID) == "uploaded"
	})
	b.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm)
	expectLetters(t, b, 0)
	b.ExpectUsed(b.Alice, 6)
}

// runConfirm runs the confirm consumer, with two attempts, until the test ends.
func runConfirm(t *testing.T, b *consumertest.Bundle) {
	t.Helper()
	handler := confirm.New(b.DB, b.Objects, b.Publisher, b.Log).Handler(b.MinIO.Bucket)
	run, err := runner.New(b.Conn, b.DB, schema.DecodeBucketEvent, handler,
		runner.Config{
			Stream: schema.StreamBucket, Consumer: schema.ConsumerConfirm,
			MaxAttempts: 2, MinDelay: 1, MaxDelay: 1,
		}, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	b.Go(run.Run)
}

// awaitLetter waits for a single dead letter whose id is above after.
func awaitLetter(t *testing.T, b *consumertest.Bundle, after int64) (l postgres.DeadLetter) {
	t.Helper()
	b.Eventually("a new dead letter", func() bool {
		if all := letters(t, b); len(all) == 1 {
			l = all[0]
		}
		return l.ID > after
	})
	return l
}

func expectLetters(t *testing.T, b *consumertest.Bundle, want int) {
	t.Helper()
	if got := letters(t, b); len(got) != want {
		t.Errorf("got dead letters %+v, want %d", got, want)
	}
}

// addLetter adds a dead letter of confirm from a stream.
func addLetter(t *testing.T, b *consumertest.Bundle, stream string) postgres.DeadLetter {
	t.Helper()
	if err := b.DB.AddDeadLetter(t.Context(), postgres.DeadLetter{
		Stream: stream, Sequence: 7, Consumer: schema.ConsumerConfirm,
		Subject: schema.SubjectCreatedDirect, Data: []byte("{}"),
	}); err != nil {
		t.Fatal(err)
	}
	return letters(t, b)[0]
}

// If a retrier crashes after it has published the message and before it deletes the row, the same
// dead letter is retried again.
func TestMessageRetriedTwiceIsStoredOnce(t *testing.T) {
	b := consumertest.New(t)
	letter := addLetter(t, b, schema.StreamBucket)
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
	if got := stream.CachedInfo().State.Msgs; got != 1 {
		t.Errorf("got %d stored messages, want 1", got)
	}
	expectLetters(t, b, 0)
}

func TestDeadLetterRemainsIfItCannotBePublished(t *testing.T) {
	b := consumertest.New(t)
	letter := addLetter(t, b, schema.StreamDocuments)
	retrier := deadletters.New(b.DB, b.Operator)
	t.Run("subject of another stream", func(t *testing.T) {
		if err := retrier.Retry(t.Context(), letter); err == nil || runner.Outage(err) {
			t.Errorf("got error %v, want one that is not an outage", err)
		}
		expectLetters(t, b, 1)
	})
	t.Run("NATS is down", func(t *testing.T) {
		b.NATS.Stop()
		err := retrier.Retry(t.Context(), letter)
		if !errors.Is(err, nats.ErrUnavailable) {
			t.Errorf("got error %v, want ErrUnavailable", err)
		}
		expectLetters(t, b, 1)
	})
}
