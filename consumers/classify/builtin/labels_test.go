package builtin_test

import (
	"testing"

	"intray/infra/ai"
)

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
