package sets_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"intray/bench/sets"
	"intray/infra/ai"
)

func write(t *testing.T, folder, name, content string) {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBrownRemovesTags(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "ca01", "\tThe/at Grand/jj-tl Jury/nn-tl said/vbd 1/2/cd ./.\n")
	write(t, folder, "cl02", "He/pps ran/vbd")
	write(t, folder, "README", "not a text")
	set, err := sets.Brown(folder)
	if err != nil {
		t.Fatal(err)
	}
	want := []sets.Document{
		{Topic: "news", Text: "The Grand Jury said 1/2 . "}, {Topic: "fiction", Text: "He ran "},
	}
	if !slices.Equal(set.Documents, want) {
		t.Errorf("got %q, want %q", set.Documents, want)
	}
	if _, err := sets.Brown(t.TempDir()); err == nil {
		t.Error("a folder without texts: got no error, want one")
	}
}

func TestReutersReadsTitleAndBody(t *testing.T) {
	folder := t.TempDir()
	for _, topic := range []string{"acq", "crude"} {
		write(t, folder, topic+"/1.xml", `<REUTERS><TOPICS><D>x</D></TOPICS><TEXT>`+
			`<TITLE>A &lt;B&gt;</TITLE><BODY>`+topic+`</BODY></TEXT></REUTERS>`)
	}
	set, err := sets.Reuters(folder)
	if err != nil {
		t.Fatal(err)
	}
	want := []sets.Document{
		{Topic: "acq", Text: "A <B>\nacq"}, {Topic: "crude", Text: "A <B>\ncrude"},
	}
	if !slices.Equal(set.Documents, want) {
		t.Errorf("got %q, want %q", set.Documents, want)
	}
	write(t, folder, "crude/2.xml", "<REUTERS>")
	if _, err := sets.Reuters(folder); err == nil || !strings.Contains(err.Error(), "2.xml") {
		t.Errorf("a damaged story: got error %v, want one that contains 2.xml", err)
	}
}

func TestDebianJoinsPackagesAndDescriptions(t *testing.T) {
	packages := `Package: quake
Section: games
Description: short
Description-md5: 1

Package: quake-dbg
Section: games
Description-md5: 2

Package: libx
Section: libs
Description-md5: 3

Package: lost
Section: mail
Description-md5: 4
`
	translation := `Package: quake
Description-md5: 1
Description-en: A game
 with guns
 .
 and doors

Description-md5: 2
Description-en: A game
 with guns
 .
 and doors

Description-md5: 3
Description-en: A library`
	set, err := sets.Debian(strings.NewReader(packages), strings.NewReader(translation))
	if err != nil {
		t.Fatal(err)
	}
	want := []sets.Document{{Topic: "games", Text: "A game\n with guns\n\n and doors"}}
	if !slices.Equal(set.Documents, want) {
		t.Errorf("got %q, want %q", set.Documents, want)
	}
}

func TestSplit(t *testing.T) {
	var set sets.Set
	for i := range 30 {
		d := sets.Document{Topic: fmt.Sprint(i % 3), Text: fmt.Sprint(i)}
		set.Documents = append(set.Documents, d)
	}
	tuning, heldOut := set.Split(7)
	t.Run("halves every topic", func(t *testing.T) {
		for name, half := range map[string]sets.Set{"tuning": tuning, "held-out": heldOut} {
			got := map[string]int{}
			for _, d := range half.Documents {
				got[d.Topic]++
			}
			if want := map[string]int{"0": 5, "1": 5, "2": 5}; !maps.Equal(got, want) {
				t.Errorf("%s half: got documents by topic %v, want %v", name, got, want)
			}
		}
	})
	t.Run("puts every document into one half", func(t *testing.T) {
		texts := map[string]bool{}
		for _, d := range slices.Concat(tuning.Documents, heldOut.Documents) {
			texts[d.Text] = true
		}
		if len(texts) != 30 {
			t.Errorf("got %d different documents, want 30", len(texts))
		}
	})
	t.Run("depends on the seed alone", func(t *testing.T) {
		if again, _ := set.Split(7); !slices.Equal(again.Documents, tuning.Documents) {
			t.Error("the same seed: got other halves, want the same ones")
		}
		if other, _ := set.Split(8); slices.Equal(other.Documents, tuning.Documents) {
			t.Error("another seed: got the same halves, want other ones")
		}
	})
}

// firstWord is a Ranker that returns the topic whose ID is the first word of the text. Its
// confidence is the second word.
type firstWord struct{}

func (firstWord) Rank(req ai.Request) []ai.Choice {
	name, number, _ := strings.Cut(req.Text, " ")
	confidence, err := strconv.Atoi(number)
	if err != nil {
		panic(err)
	}
	if slices.ContainsFunc(req.Topics, func(t ai.Topic) bool { return t.ID == name }) {
		return []ai.Choice{{TopicID: name, Confidence: confidence}}
	}
	return nil
}

func TestMeasure(t *testing.T) {
	set := sets.Set{
		Topics: []ai.Topic{{ID: "a"}, {ID: "b"}},
		Documents: []sets.Document{
			{Topic: "a", Text: "a 90"}, // right, confident
			{Topic: "a", Text: "b 80"}, // wrong, confident, also when topic a is removed
			{Topic: "b", Text: "b 20"}, // right, not confident
			{Topic: "b", Text: "a 10"}, // wrong, not confident
		},
	}
	got := sets.Measure(firstWord{}, set, 50)
	got.PerDocument = 0
	want := sets.Result{
		Documents: 4, Top1: 0.5, Answered: 0.5, Precision: 0.5, ConfidentHalf: 0.5, Invented: 0.25,
	}
	for confidence, right := range map[int]int{90: 1, 80: 0, 20: 1, 10: 0} {
		want.Confidences[confidence] = sets.Answers{Answers: 1, Right: right}
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if empty := sets.Measure(firstWord{}, sets.Set{}, 50); empty != (sets.Result{}) {
		t.Errorf("an empty set: got %+v, want %+v", empty, sets.Result{})
	}
}

// recorder is a Ranker that records the requests.
type recorder struct{ requests []ai.Request }

func (r *recorder) Rank(req ai.Request) []ai.Choice {
	r.requests = append(r.requests, req)
	return nil
}

func TestMeasureWithNewTopic(t *testing.T) {
	whole := func(id string) ai.Topic {
		return ai.Topic{
			ID: id, Name: id, Description: "d", Keywords: []string{"k"}, Examples: [][]byte{{1}},
		}
	}
	set := sets.Set{
		New: true, Topics: []ai.Topic{whole("a"), whole("b")},
		Documents: []sets.Document{{Topic: "a", Text: "1"}, {Topic: "b", Text: "2"}},
	}
	var r recorder
	sets.Measure(&r, set, 50)
	created := func(id string) ai.Topic {
		return ai.Topic{ID: id, Name: id, Examples: [][]byte{{1}}}
	}
	other := func(id string) ai.Topic {
		return ai.Topic{ID: id, Name: id, Description: "d", Keywords: []string{"k"}}
	}
	want := []ai.Request{
		{Text: "1", Topics: []ai.Topic{created("a"), other("b")}},
		{Text: "1", Topics: []ai.Topic{other("b")}},
		{Text: "2", Topics: []ai.Topic{other("a"), created("b")}},
		{Text: "2", Topics: []ai.Topic{other("a")}},
	}
	if !reflect.DeepEqual(r.requests, want) {
		t.Errorf("got requests %+v, want %+v", r.requests, want)
	}
}
