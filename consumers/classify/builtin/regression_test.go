package builtin_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"intray/consumers/classify/builtin"
	"intray/infra/ai"
)

// With examples, equal requests must have equal answers in any order of the topics and also when
// the model comes from the cache.
func TestOrderOfTopicsDoesNotChangeTheModel(t *testing.T) {
	topics := trainedTopics(t, 4)
	req := ai.Request{Text: loaf, Topics: topics}
	want := classifier(t).Rank(req)
	slices.Reverse(topics)
	for range 2 {
		fresh, err := builtin.New()
		if err != nil {
			t.Fatal(err)
		}
		if got := fresh.Rank(req); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := fresh.Rank(req); !slices.Equal(got, want) {
			t.Errorf("from the cache: got %v, want %v", got, want)
		}
	}
}

// The kind of a document shows in its layout also if its words are new.
func TestLayoutIsLearned(t *testing.T) {
	subjects := []string{
		"budget", "harvest", "concert", "bridge", "vaccine", "glacier", "novel", "railway", "orchard",
	}
	memo := func(s string) string {
		return "TO: A. Miller\nFROM: B. Stone\nSUBJECT: " + s + "\nDATE: 3 May\n\nThe " + s +
			" was discussed."
	}
	prose := func(s string) string {
		return strings.Repeat("It is well known that the "+s+" of the region attracts many visitors "+
			"who stay for several days, enjoy the landscape and return home with memories. ", 3)
	}
	topics := []ai.Topic{{ID: "memo", Name: "Folder Q"}, {ID: "prose", Name: "Folder Z"}}
	for _, s := range subjects[:8] {
		topics[0].Examples = append(topics[0].Examples, example(t, memo(s)))
		topics[1].Examples = append(topics[1].Examples, example(t, prose(s)))
	}
	text := "TO: C. Field\nFROM: D. Hill\nSUBJECT: Parking\nDATE: 9 June\n\n" +
		"Cars belong behind the hall."
	if got := classifier(t).Rank(ai.Request{Text: text, Topics: topics}); got[0].TopicID != "memo" {
		t.Errorf("got %v, want memo first", got)
	}
}

// Models of users with very many examples are not trained as regressions, so that no document
// waits.
func TestTrainingIsBounded(t *testing.T) {
	text := longText(t)
	e := example(t, text)
	topics := make([]ai.Topic, 200)
	for i := range topics {
		topics[i] = ai.Topic{ID: fmt.Sprint(i), Name: fmt.Sprint("topic ", i)}
		for range 32 {
			topics[i].Examples = append(topics[i].Examples, e)
		}
	}
	if got := builtin.TrainingWork(topics); got != 0 {
		t.Errorf("got %d multiplications for 200 topics, want no training", got)
	}
	if got := builtin.TrainingWork(topics[:20]); got <= 0 || got > 64<<20 {
		t.Errorf("got %d multiplications for 20 topics, want 1 to %d", got, 64<<20)
	}
}

func TestKeywordThatIsAStopWordCountsAsALabel(t *testing.T) {
	topics := []ai.Topic{
		{ID: "memo", Name: "Memos", Keywords: []string{"to", "from", "memo"}},
		{ID: "other", Name: "Tales", Keywords: []string{"dragon"}},
	}
	rank := func(text string) int {
		for _, c := range classifier(t).Rank(ai.Request{Text: text, Topics: topics}) {
			if c.TopicID == "memo" {
				return c.Confidence
			}
		}
		return -1
	}
	label := rank("To: Ann\nFrom: Bob\nThe parking lot")
	prose := rank("To Ann from Bob. The parking lot")
	if label <= prose {
		t.Errorf("got confidence %d with labels and %d without, want more with", label, prose)
	}
}
