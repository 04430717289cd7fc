package schema

import (
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// FoldCase returns the NFC form of the full case folding of s. Two strings with the same result
// differ only in case or in their Unicode normalization form (canonical caseless matching,
// definition D145 of the Unicode standard). The database compares email addresses and topic names
// in the same way, with its function case_fold.
func FoldCase(s string) string {
	return norm.NFC.String(cases.Fold().String(norm.NFD.String(s)))
}
