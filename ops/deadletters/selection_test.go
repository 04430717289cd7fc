package deadletters_test

import (
	"slices"
	"testing"

	"intray/consumers/consumertest"
	"intray/infra/postgres"
	"intray/ops/deadletters"
)

// insertLetters inserts n dead letters and returns their ids in ascending order.
func insertLetters(t *testing.T, b *consumertest.Bundle, n int) (ids []int64) {
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

func TestListReadsAllPages(t *testing.T) {
	b := consumertest.New(t)
	ids := insertLetters(t, b, 250)
	newest := slices.Clone(ids)
	slices.Reverse(newest)
	for name, c := range map[string]struct {
		filter postgres.DeadLetterFilter
		want   []int64
	}{
		"all":                     {postgres.DeadLetterFilter{}, ids},
		"newest first":            {postgres.DeadLetterFilter{NewestFirst: true}, newest},
		"a limit within a page":   {postgres.DeadLetterFilter{Limit: 7}, ids[:7]},
		"a limit of two pages":    {postgres.DeadLetterFilter{NewestFirst: true, Limit: 200}, newest[:200]},
		"a limit above the count": {postgres.DeadLetterFilter{Limit: 1000}, ids},
		"another consumer":        {postgres.DeadLetterFilter{Consumer: "remove"}, nil},
		"a range of ids":          {postgres.DeadLetterFilter{After: ids[9], Through: ids[19]}, ids[10:20]},
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

func TestSelectByIDs(t *testing.T) {
	b := consumertest.New(t)
	ids := insertLetters(t, b, 3)
	for name, c := range map[string]struct {
		ids     []int64
		want    int64
		missing bool
	}{
		"all dead letters":   {nil, 3, false},
		"one id, twice":      {[]int64{ids[1], ids[1]}, 1, false},
		"an id that is gone": {[]int64{ids[1], ids[2] + 1}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := deadletters.Select(t.Context(), b.DB, postgres.DeadLetterFilter{IDs: c.ids})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Missing(s.Count); s.Count != c.want || (err != nil) != c.missing {
				t.Errorf("got %d dead letters, missing: %v, want %d, missing: %v",
					s.Count, err, c.want, c.missing)
			}
		})
	}
}

func TestDropDeletesOnlyTheSelection(t *testing.T) {
	b := consumertest.New(t)
	insertLetters(t, b, 3)
	selected := func(f postgres.DeadLetterFilter) deadletters.Selection {
		t.Helper()
		s, err := deadletters.Select(t.Context(), b.DB, f)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	all := selected(postgres.DeadLetterFilter{})
	none := selected(postgres.DeadLetterFilter{Consumer: "remove"})
	b.Exec(`INSERT INTO dead_letters
			(stream, sequence, consumer, subject, data, reason, attempts, first_at)
		VALUES ('BUCKET', 4, 'remove', 'bucket.created.direct', '', 'later', 1, now())`)
	for name, c := range map[string]struct {
		selection deadletters.Selection
		want      int64
	}{
		"all that existed when it was made": {all, 3},
		"none":                              {none, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := c.selection.Drop(t.Context()); got != c.want || err != nil {
				t.Errorf("got %d dropped, error %v, want %d", got, err, c.want)
			}
			got := letters(t, b)
			if len(got) == 0 || got[len(got)-1].Reason != "later" {
				t.Errorf("got dead letters %+v, want the later one among them", got)
			}
		})
	}
}
