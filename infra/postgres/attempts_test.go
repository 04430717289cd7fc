package postgres_test

import (
	"maps"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"intray/infra/postgres"
	"intray/schema"
)

// TestAttemptsOfMessages compares the stored numbers of attempts with a model, for messages with
// the same sequence in different streams, consumers and generations of a stream.
func TestAttemptsOfMessages(t *testing.T) {
	b := setup(t)
	began := time.Date(2026, 11, 1, 10, 0, 0, 123_456_789, time.UTC) // PostgreSQL stores microseconds
	type id struct {
		stream, consumer string
		message          postgres.Message
	}
	rapid.Check(t, func(rt *rapid.T) {
		b.raw.MustExec(`TRUNCATE message_attempts, dead_letters`)
		model := make(map[id]int)
		draw := func(rt *rapid.T) id {
			return id{
				rapid.SampledFrom([]string{"BUCKET", "REPLAY"}).Draw(rt, "stream"),
				rapid.SampledFrom([]string{"confirm", "remove"}).Draw(rt, "consumer"),
				postgres.Message{
					Sequence: rapid.Uint64Range(1, 3).Draw(rt, "sequence"),
					StoredAt: began.Add(time.Duration(rapid.IntRange(0, 1).Draw(rt, "generation")) * time.Hour),
				},
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"count": func(rt *rapid.T) {
				m := draw(rt)
				model[m]++
				got, err := b.worker.CountAttempt(t.Context(), m.stream, m.consumer, m.message)
				if err != nil || got != model[m] {
					rt.Fatalf("got %d, %v; want %d", got, err, model[m])
				}
			},
			"forget": func(rt *rapid.T) {
				m := draw(rt)
				delete(model, m)
				err := b.worker.ForgetAttempts(
					t.Context(), m.stream, m.consumer, []postgres.Message{m.message})
				if err != nil {
					rt.Fatal(err)
				}
			},
			"dead-letter": func(rt *rapid.T) {
				m := draw(rt)
				delete(model, m)
				err := b.worker.AddDeadLetter(t.Context(), postgres.DeadLetter{
					Stream: m.stream, Consumer: m.consumer, Sequence: m.message.Sequence,
					FirstAt: m.message.StoredAt,
				})
				if err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) {
				m := draw(rt)
				want := make(map[uint64]int)
				var asked []postgres.Message
				for sequence := range uint64(4) {
					asked = append(asked, postgres.Message{Sequence: sequence, StoredAt: m.message.StoredAt})
					if n := model[id{m.stream, m.consumer, asked[sequence]}]; n > 0 {
						want[sequence] = n
					}
				}
				got, err := b.worker.FailedAttempts(t.Context(), m.stream, m.consumer, asked)
				if err != nil || !maps.Equal(got, want) {
					rt.Fatalf("got %v, %v; want %v", got, err, want)
				}
			},
		})
	})
	b.raw.MustExec(`TRUNCATE message_attempts`)
	_, err := b.worker.CountAttempt(t.Context(), "BUCKET", "confirm", postgres.Message{Sequence: 1})
	must(t, err)
	b.raw.MustExec(`UPDATE message_attempts SET failed_at = now() - interval '31 days'`)
	if n, err := b.worker.PurgeExpired(t.Context(), time.Now()); n != 1 || err != nil {
		t.Errorf("got %d rows purged and error %v, want 1", n, err)
	}
}

// uncheckedIDs returns the ids of the unchecked uploads that are due.
func (b *bundle) uncheckedIDs(t testing.TB, now time.Time) (ids []uuid.UUID) {
	t.Helper()
	due, _, err := b.worker.UncheckedUploads(t.Context(), now, 10)
	must(t, err)
	for _, u := range due {
		ids = append(ids, u.ID)
	}
	return ids
}

func TestUncheckedUploads(t *testing.T) {
	b := setup(t)
	now := schema.Now()
	d, other := b.create(t, b.alice, "f", 1), b.create(t, b.bob, "f", 1)
	expectPending := func(want int) {
		t.Helper()
		found, _, err := b.worker.PendingDocuments(t.Context(), now.Add(time.Hour), uuid.Nil, 10)
		must(t, err)
		if len(found) != want {
			t.Errorf("got %d pending documents for the usual checks, want %d", len(found), want)
		}
	}
	expectDue := func(at time.Time, want ...uuid.UUID) {
		t.Helper()
		got := b.uncheckedIDs(t, at)
		if len(got) != len(want) || (len(want) == 1 && got[0] != want[0]) {
			t.Errorf("at %s: got due uploads %v, want %v", at, got, want)
		}
	}
	expectPending(2)
	must(t, b.worker.RecordUncheckedUpload(t.Context(), d.ID, 1, "500\x00", now.Add(time.Minute)))
	must(t, b.worker.RecordUncheckedUpload(t.Context(), d.ID, 2, "500", now.Add(time.Minute)))
	expectPending(1)
	expectDue(now)
	expectDue(now.Add(time.Minute), d.ID)

	// A dead letter keeps the sweeper away, until it is retried or dropped and an hour has passed.
	letter := postgres.DeadLetter{
		Stream: schema.StreamBucket, Consumer: schema.ConsumerConfirm, Attempts: 8, FirstAt: now,
		Documents: []uuid.UUID{d.ID}, Reason: "500",
	}
	must(t, b.worker.AddDeadLetter(t.Context(), letter))
	must(t, b.worker.AddDeadLetter(t.Context(), letter)) // generated once for each document
	letter.Documents = []uuid.UUID{other.ID}
	must(t, b.worker.AddDeadLetter(t.Context(), letter))
	if n := count(t, b.raw, `SELECT count(*) FROM dead_letters`); n != 2 {
		t.Errorf("got %d dead letters, want 2", n)
	}
	expectPending(0)
	expectDue(now.Add(2 * time.Hour)) // the dead letter is looked for again an hour later
	_, err := b.worker.DeleteDeadLetters(t.Context(), postgres.DeadLetterFilter{})
	must(t, err)
	expectPending(0)
	expectDue(now.Add(2*time.Hour + 59*time.Minute))
	due, _, err := b.worker.UncheckedUploads(t.Context(), now.Add(3*time.Hour), 1)
	must(t, err)
	if len(due) != 1 || due[0].Attempts != 8 || !due[0].Dead || due[0].UserID == uuid.Nil {
		t.Errorf("got due uploads %+v, want one document that was dead after 8 attempts", due)
	}

	// A document whose object could be checked, and one that is no longer pending, are left out.
	must(t, b.worker.ForgetUncheckedUploads(t.Context(), []uuid.UUID{other.ID}))
	expectPending(1)
	b.transition(t, d.ID, remove)
	expectDue(now.Add(4 * time.Hour))
	if n := count(t, b.raw, `SELECT count(*) FROM unchecked_uploads`); n != 0 {
		t.Errorf("got %d unchecked uploads, want 0", n)
	}
	must(t, b.worker.RecordUncheckedUpload(t.Context(), d.ID, 1, "500", now))
	letter.Documents = []uuid.UUID{d.ID}
	must(t, b.worker.AddDeadLetter(t.Context(), letter))
	if n := count(t, b.raw, `SELECT count(*) FROM unchecked_uploads`); n != 0 {
		t.Errorf("got %d unchecked uploads of a document that is not pending, want 0", n)
	}
}

// Only dead letters of the consumer confirm keep the sweeper from checking a pending document.
func TestDeadLetterOfAnotherConsumerKeepsNoUploadUnchecked(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "f", 1)
	must(t, b.worker.AddDeadLetter(t.Context(), postgres.DeadLetter{
		Stream: schema.StreamBucket, Sequence: 1, Consumer: schema.ConsumerRemove, FirstAt: time.Now(),
		Documents: []uuid.UUID{d.ID}, Reason: "a reason with \x00 and \xff",
		Headers: map[string][]string{"name": {"a value with \x00 and \xff"}},
	}))
	found, _, err := b.worker.PendingDocuments(t.Context(), time.Now().Add(time.Hour), uuid.Nil, 10)
	must(t, err)
	if len(found) != 1 {
		t.Errorf("got %d pending documents, want 1", len(found))
	}
}
