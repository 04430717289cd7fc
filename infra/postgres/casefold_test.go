package postgres_test

import (
	"testing"

	"github.com/lib/pq"

	"intray/infra/local/localtest"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// TestCaseFold compares the database's function with schema.FoldCase for
// every character, between others with which it could combine.
func TestCaseFold(t *testing.T) {
	db := openRaw(t, localtest.PostgresMigrated(t, postgrestest.Migrate))
	var texts []string
	for r := rune(1); r <= 0x1FFFF; r++ {
		if r < 0xD800 || r > 0xDFFF {
			texts = append(texts, "A"+string(r)+"\u0345e\u0301")
		}
	}
	texts = append(texts, "", "Straße", "ΣΊΣΥΦΟΣ", "İ@example.org", "\u1E9B\u0323", "ǅ", "ᾈ",
		"x\u0301\u0323", "ﬃ")
	for len(texts) > 0 {
		n := min(len(texts), 5000)
		var got []string
		must(t, db.Select(&got, `SELECT case_fold(t) FROM unnest($1::text[])
			WITH ORDINALITY AS x(t, n) ORDER BY n`, pq.Array(texts[:n])))
		for i, text := range texts[:n] {
			if want := schema.FoldCase(text); got[i] != want {
				t.Fatalf("%+q: got %+q, want %+q", text, got[i], want)
			}
		}
		texts = texts[n:]
	}
}
