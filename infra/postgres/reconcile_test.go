package postgres_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

func (b *bundle) atKey(t testing.TB, key string) {
	t.Helper()
	d := b.create(t, b.alice, "old", 1)
	b.raw.MustExec(`UPDATE documents SET object_key = $2 WHERE id = $1`, d.ID, key)
}

func keysInOrder(t testing.TB, db *postgres.DB, most int) []string {
	t.Helper()
	var keys []string
	for d, err := range db.DocumentsInKeyOrder(t.Context()) {
		must(t, err)
		if keys = append(keys, d.ObjectKey); len(keys) == most {
			break
		}
	}
	return keys
}

func TestDocumentsInKeyOrder(t *testing.T) {
	b := setup(t)
	if keys := keysInOrder(t, b.worker, -1); len(keys) != 0 {
		t.Fatalf("an empty table gives %q", keys)
	}
	// More than two pages of each kind, with keys that a locale would sort in another order.
	b.raw.MustExec(`INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status, created_at, url_issued_at, changed_at)
		SELECT id, $1, CASE WHEN n % 2 = 0 THEN document_object_key(id) ELSE 'Old-' || md5(n::text) || chr(1 + n % 200) END,
			'f', 'text/plain', 1, 'expired', now(), now(), now()
		FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, 4500) AS n) AS made`, b.alice)
	for _, key := range []string{"A", "a", "Z", "documents", "documents/", "documents/00000/x", "documents/z", "documents0", "null-user/ä", "é", "zz"} {
		b.atKey(t, key)
	}
	keys := keysInOrder(t, b.worker, -1)
	if len(keys) != 4511 || !slices.IsSorted(keys) || len(slices.Compact(slices.Clone(keys))) != len(keys) {
		t.Errorf("%d keys, sorted: %v", len(keys), slices.IsSorted(keys))
	}
	for _, most := range []int{1, 1000, 3000} {
		if got := keysInOrder(t, b.worker, most); !slices.Equal(got, keys[:most]) {
			t.Errorf("the first %d are others", most)
		}
	}
	if n, err := b.worker.CountDocuments(t.Context()); err != nil || n != 4511 {
		t.Errorf("CountDocuments = %d, %v", n, err)
	}
	b.raw.MustExec(`DROP FUNCTION document_object_key CASCADE`)
	failed := 0
	for _, err := range b.owner.DocumentsInKeyOrder(t.Context()) {
		if err != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("a stream that fails yields %d errors", failed)
	}
}

func TestKeyStates(t *testing.T) {
	b := setup(t)
	fine := b.uploaded(t, b.alice, "fine", 1)
	owed := b.transition(t, b.uploaded(t, b.alice, "owed", 1).ID, remove)
	done := b.transition(t, b.uploaded(t, b.alice, "done", 1).ID, remove)
	b.deletionDone(t, done.ObjectKey)
	b.raw.MustExec(`DELETE FROM documents WHERE id = $1`, done.ID)
	states, err := b.worker.ObjectKeyStates(t.Context(), []string{fine.ObjectKey, owed.ObjectKey, done.ObjectKey, "nobody's"})
	must(t, err)
	if len(states) != 3 {
		t.Errorf("states %+v", states)
	}
	if s := states[fine.ObjectKey]; s.Document == nil || s.Document.ID != fine.ID || s.RequestedAt != nil || s.DeletedAt != nil {
		t.Errorf("fine: %+v", s)
	}
	if s := states[owed.ObjectKey]; s.Document == nil || s.Document.Status != schema.StatusDeleting || s.RequestedAt == nil || s.DeletedAt != nil {
		t.Errorf("owed: %+v", s)
	}
	if s := states[done.ObjectKey]; s.Document != nil || s.RequestedAt == nil || s.DeletedAt == nil {
		t.Errorf("done: %+v", s)
	}
}

func TestRequestDeletionsTakesUnknownKeysOnly(t *testing.T) {
	b := setup(t)
	known := b.uploaded(t, b.alice, "known", 1)
	tombstone := b.transition(t, b.uploaded(t, b.alice, "done", 1).ID, remove)
	b.deletionDone(t, tombstone.ObjectKey)
	keys := []string{known.ObjectKey, tombstone.ObjectKey, "documents/x/unknown", "documents/x/unknown"}
	for _, want := range []int{1, 0} {
		if n, err := b.worker.RequestUnknownDeletions(t.Context(), keys); err != nil || n != want {
			t.Errorf("RequestDeletions = %d, %v; want %d", n, err, want)
		}
	}
	if n := count(t, b.raw, `SELECT count(*) FROM object_deletions WHERE deleted_at IS NULL AND object_key = 'documents/x/unknown' AND document_id IS NULL`); n != 1 {
		t.Error("it is not recorded")
	}
}

func sums(t testing.TB, db *postgres.DB) (drift []postgres.QuotaUsage, users int) {
	t.Helper()
	after := uuid.Nil
	for {
		page, err := db.QuotaUsages(t.Context(), after, 2)
		must(t, err)
		for _, s := range page {
			users++
			if s.Drift() {
				drift = append(drift, s)
			}
		}
		if len(page) < 2 {
			return drift, users
		}
		after = page[len(page)-1].UserID
	}
}

// A recomputation among transitions leaves the sum, and no sum that is taken among them ever
// differs.
func TestQuotasAreRecomputedWhileDocumentsChange(t *testing.T) {
	b := setup(t)
	var documents []schema.Document
	for range 40 {
		documents = append(documents, b.create(t, b.alice, "f", 5))
	}
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for n := i; n < len(documents); n += 4 {
				for _, decide := range []func(*schema.Document, *schema.Quota) schema.Decision{confirm, gone}[:1+n%2] {
					if _, err := b.worker.Transition(t.Context(), []uuid.UUID{documents[n].ID}, decide); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	ended := make(chan bool)
	go func() { writers.Wait(); close(ended) }()
	for going := true; going; {
		select {
		case <-ended:
			going = false
		default:
		}
		if drift, users := sums(t, b.worker); len(drift) > 0 || users != 3 {
			t.Errorf("drift %+v among %d users", drift, users)
		}
		must(t, b.worker.RecomputeQuota(t.Context(), b.alice))
	}
	b.checkQuotas(t)
	if n := count(t, b.raw, `SELECT used_bytes FROM quotas WHERE user_id = $1`, b.alice); n != 20*5 {
		t.Errorf("used %d bytes, want 100", n)
	}
	b.raw.MustExec(`UPDATE quotas SET used_bytes = 1`)
	drift, _ := sums(t, b.worker)
	if len(drift) != 3 {
		t.Errorf("drift %+v", drift)
	}
	for _, s := range drift {
		must(t, b.worker.RecomputeQuota(t.Context(), s.UserID))
	}
	b.checkQuotas(t)
}

// The recomputation waits for a transition that has changed a charge, and sees it.
func TestRecomputeQuotaWaitsForTheTransitionUnderWay(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "f", 5)
	tx := b.raw.MustBegin()
	defer func() { _ = tx.Rollback() }()
	tx.MustExec(`SELECT FROM documents WHERE id = $1 FOR NO KEY UPDATE`, d.ID)
	tx.MustExec(`SELECT FROM quotas WHERE user_id = $1 FOR NO KEY UPDATE`, b.alice)
	tx.MustExec(`UPDATE documents SET status = 'uploaded', charged_bytes = 5, version = 2 WHERE id = $1`, d.ID)
	result := make(chan error, 1)
	go func() { result <- b.worker.RecomputeQuota(t.Context(), b.alice) }()
	within(t, "it waits", func() bool {
		return count(t, b.raw, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`) == 1
	})
	tx.MustExec(`UPDATE quotas SET used_bytes = used_bytes + 5 WHERE user_id = $1`, b.alice)
	must(t, tx.Commit())
	must(t, <-result)
	b.checkQuotas(t)
}

func TestDeadLettersAreChosen(t *testing.T) {
	b := setup(t)
	for i, l := range []postgres.DeadLetter{
		{Consumer: "confirm", Reason: "it VIOLATES 100% of it", Headers: map[string][]string{"A": {"1", "2"}}, Data: []byte{0, 0xff}},
		{Consumer: "confirm", Reason: "undecodable"},
		{Consumer: "classify", Reason: "violates"},
	} {
		l.Stream, l.Sequence, l.Subject, l.Attempts = "BUCKET", uint64(i+1), "bucket.created.direct", i+1
		must(t, b.worker.AddDeadLetter(t.Context(), l))
	}
	b.raw.MustExec(`UPDATE dead_letters SET dead_at = now() - interval '1 day' WHERE id = 3`)
	hour := postgres.DeadLetterFilter{}
	must(t, b.raw.Get(&hour.Since, `SELECT now() - interval '1 hour'`))
	for name, c := range map[string]struct {
		filter postgres.DeadLetterFilter
		want   []int64
	}{
		"all":       {postgres.DeadLetterFilter{}, []int64{1, 2, 3}},
		"newest":    {postgres.DeadLetterFilter{NewestFirst: true}, []int64{3, 2, 1}},
		"limit":     {postgres.DeadLetterFilter{NewestFirst: true, Limit: 2}, []int64{3, 2}},
		"ids":       {postgres.DeadLetterFilter{IDs: []int64{3, 1, 9}}, []int64{1, 3}},
		"consumer":  {postgres.DeadLetterFilter{Consumer: "confirm"}, []int64{1, 2}},
		"reason":    {postgres.DeadLetterFilter{Reason: "violates"}, []int64{1, 3}},
		"no wild":   {postgres.DeadLetterFilter{Reason: "100%"}, []int64{1}},
		"not a one": {postgres.DeadLetterFilter{Reason: "_"}, nil},
		"since":     {hour, []int64{1, 2}},
		"between":   {postgres.DeadLetterFilter{After: 1, Through: 2}, []int64{2}},
	} {
		letters, err := b.worker.DeadLetters(t.Context(), c.filter)
		must(t, err)
		var ids []int64
		for _, l := range letters {
			ids = append(ids, l.ID)
		}
		if !slices.Equal(ids, c.want) {
			t.Errorf("%s: %v, want %v", name, ids, c.want)
		}
		n, last, err := b.worker.CountDeadLetters(t.Context(), c.filter)
		if c.filter.Limit == 0 && (err != nil || n != int64(len(c.want)) || (n > 0 && last != slices.Max(c.want))) {
			t.Errorf("%s: CountDeadLetters = %d, %d, %v", name, n, last, err)
		}
	}
	l, err := b.worker.DeadLetter(t.Context(), 1)
	must(t, err)
	if l.Sequence != 1 || l.Headers["A"][1] != "2" || string(l.Data) != "\x00\xff" || l.Attempts != 1 {
		t.Errorf("letter %+v", l)
	}
	if _, err := b.worker.DeadLetter(t.Context(), 9); !errors.Is(err, &schema.Error{Code: schema.CodeNotFound}) {
		t.Errorf("a letter that is not there: %v", err)
	}
	if n, err := b.worker.DeleteDeadLetters(t.Context(), postgres.DeadLetterFilter{Consumer: "confirm", Through: 1}); err != nil || n != 1 {
		t.Errorf("DropDeadLetters = %d, %v", n, err)
	}
	if n := count(t, b.raw, `SELECT count(*) FROM dead_letters`); n != 2 {
		t.Errorf("%d are left", n)
	}
}
