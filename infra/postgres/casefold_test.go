package postgres_test

import (
	"testing"
	"unicode/utf8"

	"github.com/lib/pq"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"intray/infra/local/localtest"
	"intray/infra/postgres/postgrestest"
)

// foldCase returns what the function case_fold of the database returns.
func foldCase(s string) string { return norm.NFC.String(cases.Fold().String(norm.NFD.String(s))) }

// TestCaseFold compares the function case_fold with full case folding by golang.org/x/text, for
// each character and for texts of several.
func TestCaseFold(t *testing.T) {
	db := openRaw(t, localtest.PostgresMigrated(t, postgrestest.Migrate))
	texts := []string{
		"", "Σίσυφος", "ΣΊΣΥΦΟΣ", "straße", "STRASSE", "İstanbul", "ﬃ", "ǰ.TXT", "A\u0345\u0301", "ᾼ",
		"日本.PDF", "E\u0301A", "x\u0301\u0323",
	}
	for r := rune(1); r <= utf8.MaxRune; r++ {
		if s := string(r); utf8.ValidRune(r) && (r < 0x300 || foldCase(s) != s) {
			texts = append(texts, s, "a"+s+"Z")
		}
	}
	var folded []string
	must(t, db.Select(&folded, `
		SELECT case_fold(s) FROM unnest($1::text[]) WITH ORDINALITY AS n (s, i) ORDER BY i`,
		pq.Array(texts)))
	for i, s := range texts {
		if want := foldCase(s); folded[i] != want {
			t.Errorf("case_fold(%q): got %q, want %q", s, folded[i], want)
		}
	}
	if len(texts) < 3000 {
		t.Errorf("compared %d texts, want at least 3000", len(texts))
	}
}
