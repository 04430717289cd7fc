package postgres_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// createAtKey stores a document whose object has the key.
func (b *bundle) createAtKey(t testing.TB, key string) {
	t.Helper()
	d := b.create(t, b.alice, "old", 1)
	b.raw.MustExec(`UPDATE documents SET object_key = $2 WHERE id = $1`, d.ID, key)
}

// keysInOrder returns the first limit object keys that DocumentsInKeyOrder yields, or all if limit
// is -1.
func keysInOrder(t testing.TB, db *postgres.DB, limit int) []string {
	t.Helper()
	var keys []string
	for d, err := range db.DocumentsInKeyOrder(t.Context()) {
		must(t, err)
		if keys = append(keys, d.ObjectKey); len(keys) == limit {
			break
		}
	}
	return keys
}

func TestDocumentsInKeyOrder(t *testing.T) {
	b := setup(t)
	if keys := keysInOrder(t, b.worker, -1); len(keys) != 0 {
		t.Fatalf("empty table: got keys %q, want none", keys)
	}
	// There are more than two pages of both kinds of keys, with keys that a locale's collation would
	// order differently.
	b.raw.MustExec(`
		INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status,
			created_at, url_issued_at, changed_at)
		SELECT id, $1, CASE WHEN n % 2 = 0 THEN document_object_key(id)
				ELSE 'Old-' || md5(n::text) || chr(1 + n % 200) END,
			'f', 'text/plain', 1, 'expired', now(), now(), now()
		FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, 4500) AS n) AS new`, b.alice)
	for _, key := range []string{
		"A", "a", "Z", "documents", "documents/", "documents/00000/x", "documents/z", "documents0",
		"null-user/ä", "é", "zz",
	} {
		b.createAtKey(t, key)
	}
	keys := keysInOrder(t, b.worker, -1)
	distinct := len(slices.Compact(slices.Clone(keys)))
	if len(keys) != 4511 || !slices.IsSorted(keys) || distinct != len(keys) {
		t.Errorf("got %d keys, %d distinct, sorted %v; want 4511 distinct keys in order",
			len(keys), distinct, slices.IsSorted(keys))
	}
	for _, limit := range []int{1, 1000, 3000} {
		if got := keysInOrder(t, b.worker, limit); !slices.Equal(got, keys[:limit]) {
			t.Errorf("the first %d keys differ from those of a complete iteration", limit)
		}
	}
	b.raw.MustExec(`ANALYZE documents`)
	if n, err := b.worker.EstimateDocuments(t.Context()); err != nil || n != 4511 {
		t.Errorf("EstimateDocuments: got %d and error %v, want 4511", n, err)
	}
	b.raw.MustExec(`DROP FUNCTION document_object_key CASCADE`)
	failed := 0
	for _, err := range b.owner.DocumentsInKeyOrder(t.Context()) {
		if err != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("failing query: got %d errors, want 1", failed)
	}
}

func TestObjectKeyStates(t *testing.T) {
	b := setup(t)
	stored := b.uploaded(t, b.alice, "stored", 1)
	due := b.transition(t, b.uploaded(t, b.alice, "due", 1).ID, remove)
	done := b.transition(t, b.uploaded(t, b.alice, "done", 1).ID, remove)
	b.markDeleted(t, done.ObjectKey)
	b.raw.MustExec(`DELETE FROM documents WHERE id = $1`, done.ID)
	keys := []string{stored.ObjectKey, due.ObjectKey, done.ObjectKey, "unknown"}
	states, err := b.worker.ObjectKeyStates(t.Context(), keys)
	must(t, err)
	if len(states) != 3 {
		t.Errorf("got states %+v, want 3", states)
	}
	s := states[stored.ObjectKey]
	if s.Document == nil || s.Document.ID != stored.ID || s.RequestedAt != nil || s.DeletedAt != nil {
		t.Errorf("stored object: got %+v, want its document and no deletion", s)
	}
	s = states[due.ObjectKey]
	if s.Document == nil || s.Document.Status != schema.StatusDeleting ||
		s.RequestedAt == nil || s.DeletedAt != nil {
		t.Errorf("object with a due deletion: got %+v, want its document and a deletion", s)
	}
	s = states[done.ObjectKey]
	if s.Document != nil || s.RequestedAt == nil || s.DeletedAt == nil {
		t.Errorf("deleted object: got %+v, want a tombstone and no document", s)
	}
}

func TestRequestUnknownDeletions(t *testing.T) {
	b := setup(t)
	known := b.uploaded(t, b.alice, "known", 1)
	tombstone := b.transition(t, b.uploaded(t, b.alice, "done", 1).ID, remove)
	b.markDeleted(t, tombstone.ObjectKey)
	const unknown = "documents/x/unknown"
	keys := []string{known.ObjectKey, tombstone.ObjectKey, unknown, unknown}
	for _, want := range []int{1, 0} {
		if n, err := b.worker.RequestUnknownDeletions(t.Context(), keys); err != nil || n != want {
			t.Errorf("got %d recorded deletions and error %v, want %d", n, err, want)
		}
	}
	n := count(t, b.raw, `
		SELECT count(*) FROM object_deletions
		WHERE deleted_at IS NULL AND object_key = 'documents/x/unknown' AND document_id IS NULL`)
	if n != 1 {
		t.Errorf("got %d object deletions of the unknown key, want 1", n)
	}
}

// quotaDrift returns the quotas with a drift and the number of all quotas.
func quotaDrift(t testing.TB, db *postgres.DB) (drift []postgres.QuotaUsage, users int) {
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

// TestRecomputeQuotaDuringTransitions checks that recomputing quotas and reading their usage is
// correct while transitions change charges.
func TestRecomputeQuotaDuringTransitions(t *testing.T) {
	b := setup(t)
	var documents []schema.Document
	for range 40 {
		documents = append(documents, b.create(t, b.alice, "f", 5))
	}
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for n := i; n < len(documents); n += 4 {
				for _, decide := range []postgres.DecideFunc{confirm, gone}[:1+n%2] {
					ids := []uuid.UUID{documents[n].ID}
					if _, err := b.worker.Transition(t.Context(), ids, decide); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	ended := make(chan bool)
	go func() { writers.Wait(); close(ended) }()
	for running := true; running; {
		select {
		case <-ended:
			running = false
		default:
		}
		if drift, users := quotaDrift(t, b.worker); len(drift) > 0 || users != 3 {
			t.Errorf("got drift %+v of %d users, want none of 3", drift, users)
		}
		must(t, b.worker.RecomputeQuota(t.Context(), b.alice))
	}
	b.checkQuotas(t)
	n := count(t, b.raw, `SELECT used_bytes FROM quotas WHERE user_id = $1`, b.alice)
	if n != 20*5 {
		t.Errorf("got %d used bytes, want 100", n)
	}
	b.raw.MustExec(`UPDATE quotas SET used_bytes = 1`)
	drift, _ := quotaDrift(t, b.worker)
	if len(drift) != 3 {
		t.Errorf("got drift %+v, want 3 quotas", drift)
	}
	for _, s := range drift {
		must(t, b.worker.RecomputeQuota(t.Context(), s.UserID))
	}
	b.checkQuotas(t)
}

// TestRecomputeQuotaWaitsForRunningTransition checks that RecomputeQuota waits for a transition
// that has changed a charge and includes the change.
func TestRecomputeQuotaWaitsForRunningTransition(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "f", 5)
	tx := b.raw.MustBegin()
	defer func() { _ = tx.Rollback() }()
	tx.MustExec(`SELECT FROM documents WHERE id = $1 FOR NO KEY UPDATE`, d.ID)
	tx.MustExec(`SELECT FROM quotas WHERE user_id = $1 FOR NO KEY UPDATE`, b.alice)
	tx.MustExec(`
		UPDATE documents SET status = 'uploaded', charged_bytes = 5, version = 2 WHERE id = $1`, d.ID)
	result := make(chan error, 1)
	go func() { result <- b.worker.RecomputeQuota(t.Context(), b.alice) }()
	eventually(t, "RecomputeQuota waits for the lock", func() bool {
		return count(t, b.raw, `
			SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`) == 1
	})
	tx.MustExec(`UPDATE quotas SET used_bytes = used_bytes + 5 WHERE user_id = $1`, b.alice)
	must(t, tx.Commit())
	must(t, <-result)
	b.checkQuotas(t)
}

func TestDeadLetterFilter(t *testing.T) {
	b := setup(t)
	for i, l := range []postgres.DeadLetter{
		{
			Consumer: "confirm", Reason: "it VIOLATES 100% of it",
			Headers: map[string][]string{"A": {"1", "2"}}, Data: []byte{0, 0xff},
		},
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
		"percent":   {postgres.DeadLetterFilter{Reason: "100%"}, []int64{1}},
		"underline": {postgres.DeadLetterFilter{Reason: "_"}, nil},
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
			t.Errorf("%s: got ids %v, want %v", name, ids, c.want)
		}
		n, last, err := b.worker.CountDeadLetters(t.Context(), c.filter)
		if c.filter.Limit > 0 {
			continue // CountDeadLetters ignores the limit
		}
		if err != nil || n != int64(len(c.want)) || (n > 0 && last != slices.Max(c.want)) {
			t.Errorf("%s: CountDeadLetters: got %d, %d and error %v, want the count and maximum of %v",
				name, n, last, err, c.want)
		}
	}
	l, err := b.worker.DeadLetter(t.Context(), 1)
	must(t, err)
	if l.Sequence != 1 || l.Headers["A"][1] != "2" || string(l.Data) != "\x00\xff" || l.Attempts != 1 {
		t.Errorf("got dead letter %+v, want the one that was added", l)
	}
	_, err = b.worker.DeadLetter(t.Context(), 9)
	wantCode(t, err, schema.CodeNotFound)
	filter := postgres.DeadLetterFilter{Consumer: "confirm", Through: 1}
	if n, err := b.worker.DeleteDeadLetters(t.Context(), filter); err != nil || n != 1 {
		t.Errorf("DeleteDeadLetters: got %d and error %v, want 1", n, err)
	}
	if n := count(t, b.raw, `SELECT count(*) FROM dead_letters`); n != 2 {
		t.Errorf("got %d remaining dead letters, want 2", n)
	}
}

// TestSnapshotsAndTransactionsShareConnections checks that a connection that has read a snapshot is
// usable for other transactions.
func TestSnapshotsAndTransactionsShareConnections(t *testing.T) {
	b := setup(t)
	worker := b.single(t, "worker")
	for range 3 {
		if _, users := quotaDrift(t, worker); users != 3 {
			t.Errorf("got %d users, want 3", users)
		}
		for range 3 {
			must(t, worker.RecomputeQuota(t.Context(), b.alice))
		}
	}
}
