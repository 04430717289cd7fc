package builtin

import (
	"slices"
	"strings"
	"testing"
)

func layoutOfText(text string) []uint16 {
	found := splitWords(text)
	_, languages := found.counter.languages()
	return layoutOf(text, found, languages)
}

func TestLayoutBucketsAreNoStems(t *testing.T) {
	n := 0
	for _, m := range layoutMeasures {
		n += len(m.limits)
		if !slices.IsSorted(m.limits) {
			t.Errorf("got the limits %v, want them in ascending order", m.limits)
		}
	}
	if n > layoutBuckets {
		t.Errorf("got %d limits, want at most %d", n, layoutBuckets)
	}
	for _, stem := range []string{"", "invoic", "zzzz", "договор"} {
		if bucket := hashOf(stem); isLayout(bucket) {
			t.Errorf("stem %q: got bucket %d, which is one of the layout", stem, bucket)
		}
	}
}

// The layout does not depend on what a text is about, nor on its language.
func TestLayoutShowsTheForm(t *testing.T) {
	letter := "Dear Ann,\n\n" + strings.Repeat("We were very pleased to see you and the others last "+
		"week, and we hope that you will come to us again.\nIt was good to hear what you did with "+
		"it.\n", 2) + "\nYours,\nBob\n"
	german := "Liebe Anna,\n\n" + strings.Repeat("Wir haben uns sehr gefreut, dich und die anderen "+
		"zu sehen, und wir hoffen, dass du bald wieder zu uns kommst.\nEs war gut zu hören, was du "+
		"damit machst.\n", 2) + "\nDein\nBob\n"
	form := strings.Repeat("NAME: ________\nDATE OF BIRTH: ____ 1950\nAMOUNT: $ 12.50\n", 4)
	common := func(a, b string) (n int) {
		for _, bucket := range layoutOfText(a) {
			if slices.Contains(layoutOfText(b), bucket) {
				n++
			}
		}
		return n
	}
	if same, other := common(letter, german), common(letter, form); same <= 2*other {
		t.Errorf("got %d common buckets of two letters, and %d of a letter and a form, "+
			"want more than twice as many", same, other)
	}
	for _, short := range []string{" ... \n", letter[:200]} {
		if got := layoutOfText(short); len(got) > 0 {
			t.Errorf("%q: got %v, want nothing for a short text", short, got)
		}
	}
}

func FuzzLayout(f *testing.F) {
	f.Add("NAME: ____\n(1) 1999 $5 \"no\" [2] a@b.c !?")
	f.Add("\xff\n\u0301:")
	f.Fuzz(func(t *testing.T, text string) {
		got := layoutOfText(text)
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("got %v, want ascending buckets, each once", got)
		}
		for _, bucket := range got {
			if !isLayout(bucket) || int(bucket) >= buckets {
				t.Errorf("got bucket %d, want one of the layout", bucket)
			}
		}
	})
}
