package deadletters_test

import (
	"slices"
	"testing"

	"intray/consumers/consumertest"
	"intray/infra/postgres"
	"intray/ops/deadletters"
)

// stored stores n dead letters and returns their ids in ascending order.
func stored(t *testing.T, b *consumertest.Bundle, n int) (ids []int64) {
	t.Helper()
	b.Exec(`INSERT INTO dead_letters 
			(stream, sequence, consumer, subject, data, reason, attempts, first_at)
		SELECT 'BUCKET', n, 'confirm', 'bucket.created.direct', '', 'test', 1, now()
		FROM generate_series(1, $1) AS n`, n)
	for _, l := range letters(t, b) {
		ids = append(ids, l.ID)
	}
	if len(ids) != n {
		t.Fatalf("got %d dead letters, want %d", len(ids), n)
	}
	return ids
}

func TestListReadsPageAfterPage(t *testing.T) {
	b := consumertest.New(t)
	ids := stored(t, b, 250)
	newest := slices.Clone(ids)
	slices.Reverse(newest)
	for name, c := range map[string]struct {
		filter postgres.DeadLetterFilter
		want   []int64
	}{
		"all":                    {postgres.DeadLetterFilter{}, ids},
		"the newest first":       {postgres.DeadLetterFilter{Newest: true}, newest},
		"a limit within a page":  {postgres.DeadLetterFilter{Limit: 7}, ids[:7]},
		"a limit of whole pages": {postgres.DeadLetterFilter{Newest: true, Limit: 200}, newest[:200]},
		"a limit above all":      {postgres.DeadLetterFilter{Limit: 1000}, ids},
		"another consumer's":     {postgres.DeadLetterFilter{Consumer: "remove"}, nil},
		"between ids":            {postgres.DeadLetterFilter{After: ids[9], Through: ids[19]}, ids[10:20]},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int64
			for l, err := range deadletters.List(t.Context(), b.DB, c.filter) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, l.ID)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %d ids %v, want %d ids %v", len(got), got, len(c.want), c.want)
			}
		})
	}
}

func TestASelectionIsFixedWhenItIsMade(t *testing.T) {
	b := consumertest.New(t)
	ids := stored(t, b, 3)
	all, err := deadletters.Select(t.Context(), b.DB, postgres.DeadLetterFilter{})
	if err != nil {
		t.Fatal(err)
	}
	some, err := deadletters.Select(t.Context(), b.DB, postgres.DeadLetterFilter{
		IDs: []int64{ids[1], ids[2] + 1, ids[1]},
	})
	if err != nil {
		t.Fatal(err)
	}
	if all.Count != 3 || all.Missing(all.Count) != nil {
		t.Errorf("got %d, %v missing, want all 3", all.Count, all.Missing(all.Count))
	}
	if some.Count != 1 || some.Missing(some.Count) == nil {
		t.Errorf("got %d, %v missing, want 1 with an error about the other id",
			some.Count, some.Missing(some.Count))
	}
	b.Exec(`INSERT INTO dead_letters 
			(stream, sequence, consumer, subject, data, reason, attempts, first_at)
		VALUES ('BUCKET', 4, 'confirm', 'bucket.created.direct', '', 'later', 1, now())`)
	if n, err := all.Drop(t.Context()); n != 3 || err != nil {
		t.Errorf("dropped %d, %v, want 3", n, err)
	}
	if left := letters(t, b); len(left) != 1 || left[0].Reason != "later" {
		t.Errorf("got %+v left, want the later one", left)
	}

	// A selection of none drops nothing, whatever has come since.
	none, err := deadletters.Select(t.Context(), b.DB, postgres.DeadLetterFilter{Consumer: "remove"})
	if err != nil {
		t.Fatal(err)
	}
	b.Exec(`UPDATE dead_letters SET consumer = 'remove'`)
	if n, err := none.Drop(t.Context()); n != 0 || err != nil {
		t.Errorf("dropped %d, %v, want 0", n, err)
	}
}
