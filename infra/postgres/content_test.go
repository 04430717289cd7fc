package postgres_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"intray/infra/postgres"
	"intray/schema"
)

// withDigest stores an uploaded document whose content has the digest of 32 bytes c.
func (b *bundle) withDigest(t *testing.T, user uuid.UUID, c string) schema.Document {
	t.Helper()
	d := b.uploaded(t, user, "file", 1)
	b.transition(t, d.ID, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
		decision := d.Classify(nil, "p", "m", now)
		d.SHA256 = []byte(strings.Repeat(c, 32))
		return decision
	})
	return d
}

// originals returns what DuplicateOf is for each of the documents, and checks that Document,
// Documents and DocumentsByID agree.
func (b *bundle) originals(
	t *testing.T, user uuid.UUID, documents ...schema.Document,
) (originals []uuid.UUID) {
	t.Helper()
	db := b.api.ForUser(user)
	page, _, err := db.Documents(t.Context(), postgres.Filter{Limit: 100})
	must(t, err)
	ids := make([]uuid.UUID, len(documents))
	for i, d := range documents {
		ids[i] = d.ID
	}
	byID, err := db.DocumentsByID(t.Context(), ids)
	must(t, err)
	for _, id := range ids {
		view, err := db.Document(t.Context(), id)
		must(t, err)
		var original uuid.UUID
		if view.DuplicateOf != nil {
			original = *view.DuplicateOf
		}
		originals = append(originals, original)
		for _, list := range [][]postgres.DocumentView{page, byID} {
			i := slices.IndexFunc(list, func(v postgres.DocumentView) bool { return v.ID == id })
			if i < 0 {
				continue // deleting documents are not listed
			}
			if other := list[i].DuplicateOf; (other == nil) != (view.DuplicateOf == nil) ||
				other != nil && *other != original {
				t.Errorf("document %s: a list says it is a duplicate of %v, want %v", id, other, original)
			}
		}
	}
	return originals
}

func TestDuplicateOfIsTheOldestCountedDocumentWithTheDigest(t *testing.T) {
	b := setup(t)
	b.withDigest(t, b.bob, "a") // another user's is never the original
	first, other := b.withDigest(t, b.alice, "a"), b.withDigest(t, b.alice, "b")
	second, third := b.withDigest(t, b.alice, "a"), b.withDigest(t, b.alice, "a")
	unknown := b.uploaded(t, b.alice, "unknown", 1)
	all := []schema.Document{first, other, second, third, unknown}

	want := []uuid.UUID{{}, {}, first.ID, first.ID, {}}
	if got := b.originals(t, b.alice, all...); !slices.Equal(got, want) {
		t.Errorf("got originals %v, want %v", got, want)
	}
	b.transition(t, first.ID, remove)
	want = []uuid.UUID{{}, {}, {}, second.ID, {}}
	if got := b.originals(t, b.alice, all...); !slices.Equal(got, want) {
		t.Errorf("got originals %v after the first was deleted, want %v", got, want)
	}
}

func TestRetryingFromAFailedAttemptToTheNextChange(t *testing.T) {
	b := setup(t)
	expect := func(d schema.Document, want bool, when string) {
		t.Helper()
		view, err := b.api.ForUser(b.alice).Document(t.Context(), d.ID)
		must(t, err)
		page, _, err := b.api.ForUser(b.alice).Documents(t.Context(), postgres.Filter{})
		must(t, err)
		if view.Retrying != want || page[0].Retrying != want {
			t.Errorf("got retrying %t, on the page %t, want %t %s",
				view.Retrying, page[0].Retrying, want, when)
		}
	}
	record := func(d schema.Document, number int, reason string, wait time.Duration) {
		t.Helper()
		must(t, b.worker.RecordAttempt(t.Context(), []uuid.UUID{d.ID}, postgres.NewAttempt{
			Stream: "DOCUMENTS", Consumer: "classify", Number: number, Reason: reason, Wait: wait}))
	}
	d := b.uploaded(t, b.alice, "file", 1)
	expect(d, false, "before the first attempt")
	record(d, 0, "busy", -time.Second)
	expect(d, false, "after a short postponement that is over")
	record(d, 0, "provider is away", time.Minute)
	expect(d, true, "while it is postponed")
	record(d, 1, "provider is away", time.Nanosecond)
	expect(d, true, "after a failed attempt, although the next one is due")
	record(d, 0, postgres.ReasonInProgress, time.Minute)
	expect(d, false, "while it is being classified")
	record(d, 2, "provider is away", time.Minute)
	expect(d, true, "after the second failed attempt")
	b.transition(t, d.ID, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
		return d.Classify(nil, "p", "m", now)
	})
	expect(d, false, "after it was classified")
	b.transition(t, d.ID, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
		return d.Reclassify(now)
	})
	expect(d, false, "when it is classified again")
}

func TestExplanationIsThatOfTheTopics(t *testing.T) {
	b := setup(t)
	d := b.uploaded(t, b.alice, "file", 1)
	classify := func(explanation string) {
		t.Helper()
		b.transition(t, d.ID, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
			d.Reclassify(now)
			decision := d.Classify(nil, "p", "m", now)
			decision.Explanation = []byte(explanation)
			return decision
		})
	}
	// expect compares the explanation with want; of another user nothing is visible.
	expect := func(want string) {
		t.Helper()
		for user, want := range map[uuid.UUID]string{b.alice: want, b.bob: ""} {
			var got string
			b.asUser(t, user, func(tx *sqlx.Tx) {
				must(t, tx.Get(&got, `SELECT coalesce(max(explanation::text), '')
					FROM document_explanations WHERE document_id = $1`, d.ID))
			})
			if got != want {
				t.Errorf("got explanation %q, want %q", got, want)
			}
		}
	}
	classify(`{"topics": []}`)
	expect(`{"topics": []}`)
	classify(`{"topics": [1]}`)
	expect(`{"topics": [1]}`)
	classify("")
	expect("")
	classify(`{"topics": [2]}`)
	b.setTopics(t, b.alice, d.ID)
	expect("")
}
