package sets_test

import (
	"fmt"
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

func TestBrownTakesTheTagsOff(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "ca01", "\tThe/at Grand/jj-tl Jury/nn-tl said/vbd 1/2/cd ./.\n")
	write(t, folder, "cl02", "He/pps ran/vbd")
	write(t, folder, "README", "not a text")
	set, err := sets.Brown(folder)
	want := []sets.Document{{Topic: "news", Text: "The Grand Jury said 1/2 . "}, {Topic: "fiction", Text: "He ran "}}
	if err != nil || !slices.Equal(set.Documents, want) {
		t.Errorf("got %q, %v", set.Documents, err)
	}
	if _, err := sets.Brown(t.TempDir()); err == nil {
		t.Error("no error for a folder without texts")
	}
}

func TestReutersReadsTitleAndBody(t *testing.T) {
	folder := t.TempDir()
	for _, topic := range []string{"acq", "crude"} {
		write(t, folder, topic+"/1.xml", `<REUTERS><TOPICS><D>x</D></TOPICS><TEXT><TITLE>A &lt;B&gt;</TITLE><BODY>`+topic+`</BODY></TEXT></REUTERS>`)
	}
	set, err := sets.Reuters(folder)
	want := []sets.Document{{Topic: "acq", Text: "A <B>\nacq"}, {Topic: "crude", Text: "A <B>\ncrude"}}
	if err != nil || !slices.Equal(set.Documents, want) {
		t.Errorf("got %q, %v", set.Documents, err)
	}
	write(t, folder, "crude/2.xml", "<REUTERS>")
	if _, err := sets.Reuters(folder); err == nil || !strings.Contains(err.Error(), "2.xml") {
		t.Errorf("a damaged story gives %v", err)
	}
}

func TestDebianJoinsPackagesWithTheirDescriptions(t *testing.T) {
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
	want := []sets.Document{{Topic: "games", Text: "A game\n with guns\n\n and doors"}}
	if err != nil || !slices.Equal(set.Documents, want) {
		t.Errorf("got %q, %v", set.Documents, err)
	}
}

func TestSplitDealsEachTopicInHalves(t *testing.T) {
	var set sets.Set
	for i := range 30 {
		set.Documents = append(set.Documents, sets.Document{Topic: fmt.Sprint(i % 3), Text: fmt.Sprint(i)})
	}
	tuning, heldOut := set.Split(7)
	count := map[string]int{}
	texts := map[string]bool{}
	for _, d := range tuning.Documents {
		count[d.Topic]++
		texts[d.Text] = true
	}
	for _, d := range heldOut.Documents {
		texts[d.Text] = true
	}
	if len(texts) != 30 || len(tuning.Documents) != 15 || count["0"] != 5 || count["1"] != 5 || count["2"] != 5 {
		t.Errorf("%d texts, tuning half %v", len(texts), count)
	}
	again, _ := set.Split(7)
	other, _ := set.Split(8)
	if !slices.Equal(again.Documents, tuning.Documents) || slices.Equal(other.Documents, tuning.Documents) {
		t.Error("the seed does not decide the halves")
	}
}

// firstWord ranks the topic that the text's first word names first, with the
// second word's confidence.
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
			{Topic: "a", Text: "a 90"}, // right and sure
			{Topic: "a", Text: "b 80"}, // wrong and sure, also when a is taken away
			{Topic: "b", Text: "b 20"}, // right, unsure
			{Topic: "b", Text: "a 10"}, // wrong, unsure
		},
	}
	got := sets.Measure(firstWord{}, set, 50)
	got.PerDocument = 0
	want := sets.Result{Documents: 4, Top1: 0.5, Answered: 0.5, Precision: 0.5, ConfidentHalf: 0.5, Invented: 0.25}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if empty := sets.Measure(firstWord{}, sets.Set{}, 50); empty != (sets.Result{}) {
		t.Errorf("an empty set gives %+v", empty)
	}
}

// recorder keeps what it is asked.
type recorder struct{ asked []ai.Request }

func (r *recorder) Rank(req ai.Request) []ai.Choice {
	r.asked = append(r.asked, req)
	return nil
}

func TestANewTopicHasANameAndExamplesAndTheOthersHaveKeywords(t *testing.T) {
	whole := func(id string) ai.Topic {
		return ai.Topic{ID: id, Name: id, Description: "d", Keywords: []string{"k"}, Examples: [][]byte{{1}}}
	}
	set := sets.Set{
		New: true, Topics: []ai.Topic{whole("a"), whole("b")},
		Documents: []sets.Document{{Topic: "a", Text: "1"}, {Topic: "b", Text: "2"}},
	}
	var r recorder
	sets.Measure(&r, set, 50)
	made := func(id string) ai.Topic { return ai.Topic{ID: id, Name: id, Examples: [][]byte{{1}}} }
	other := func(id string) ai.Topic {
		return ai.Topic{ID: id, Name: id, Description: "d", Keywords: []string{"k"}}
	}
	want := []ai.Request{
		{Text: "1", Topics: []ai.Topic{made("a"), other("b")}}, {Text: "1", Topics: []ai.Topic{other("b")}},
		{Text: "2", Topics: []ai.Topic{other("a"), made("b")}}, {Text: "2", Topics: []ai.Topic{other("a")}},
	}
	if !reflect.DeepEqual(r.asked, want) {
		t.Errorf("asked %+v, want %+v", r.asked, want)
	}
}
