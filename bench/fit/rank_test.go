package main

import (
	"slices"
	"strings"
	"testing"

	"intray/bench/sets"
	"intray/consumers/classify/builtin"
	"intray/infra/ai"
)

func TestExamplesDoNotIncludeTheRankedDocuments(t *testing.T) {
	set := sets.Set{Topics: []ai.Topic{{ID: "a"}, {ID: "b"}}}
	var examples [][]byte
	for i := range 12 {
		set.Documents = append(set.Documents, sets.Document{Topic: []string{"a", "b"}[i%2]})
		examples = append(examples, []byte{byte(i)})
	}
	t.Run("every topic", func(t *testing.T) {
		for i := range set.Documents {
			for _, topic := range topicsWithExamples(set, examples, mode{examples: 2}, i) {
				if len(topic.Examples) != 2 {
					t.Errorf("document %d: got %d examples of topic %s, want 2",
						i, len(topic.Examples), topic.ID)
				}
				for _, e := range topic.Examples {
					if int(e[0])%folds == i%folds {
						t.Errorf("document %d: got an example of document %d, which is of its fold",
							i, e[0])
					}
				}
			}
		}
	})
	t.Run("every other topic", func(t *testing.T) {
		topics := topicsWithExamples(set, examples, mode{examples: 2, everyOther: true}, 0)
		if a, b := len(topics[0].Examples), len(topics[1].Examples); a == 0 || b > 0 {
			t.Errorf("got %d and %d examples, want some and none", a, b)
		}
	})
	t.Run("one topic", func(t *testing.T) {
		// For every fifth document it is the document's own topic. For the others, the topics alternate
		// after five documents.
		for i, want := range []int{0, 0, 0, 0, 0, 1} {
			topics := topicsWithExamples(set, examples, mode{examples: 2, onlyOne: true}, i)
			got, other := len(topics[want].Examples), len(topics[1-want].Examples)
			if got == 0 || other > 0 {
				t.Errorf("document %d: got %d examples of topic %d and %d of the other, "+
					"want some and none", i, got, want, other)
			}
		}
	})
}

func TestRankSeries(t *testing.T) {
	classifier, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	const sentence = "antifouling and polishing of the hull " // 6 words
	long := strings.Repeat(sentence, passageWords*(seriesExamples+1)/6+1)
	set := sets.Set{Topics: []ai.Topic{{ID: "a"}, {ID: "b"}}, Documents: []sets.Document{
		{Topic: "a", Text: long}, {Topic: "b", Text: "short"},
		{Topic: "a", Text: "short too"}, {Topic: "b", Text: "and this"},
	}}
	rankings := rankSeries(classifier, set, false)
	var right []int
	for _, r := range rankings {
		right = append(right, slices.Index(r.right, true))
	}
	// The rankings are those of the next passage, of the next document with the same topic, and of the
	// next document with another topic.
	if want := []int{2, 0, 1}; !slices.Equal(right, want) {
		t.Errorf("got right topics %v, want %v", right, want)
	}
	if got := rankings[0].features[2][builtin.NeighborMargin]; got <= 0 {
		t.Errorf("got neighbor margin %v for the next passage of the series, want more than 0", got)
	}
}

func TestReadSamplesReadsHalfOfThem(t *testing.T) {
	set, err := readSamples("../../consumers/classify/builtin/testdata")
	if err != nil {
		t.Fatal(err)
	}
	fits := 0
	for _, d := range set.Documents {
		if d.Topic != "" {
			fits++
		}
	}
	if want := len(set.Topics); fits != want {
		t.Errorf("got %d samples that fit a topic, want %d", fits, want)
	}
	if got := len(set.Documents) - fits; got != 5 {
		t.Errorf("got %d samples that fit no topic, want 5", got)
	}
}

// In these rankings one feature predicts the right topic and another one is noise.
func TestFitWeightsPrefersPredictiveFeature(t *testing.T) {
	var rankings []ranking
	for i := range 400 {
		r := ranking{features: make([]builtin.Features, 3), right: make([]bool, 3), weight: 1}
		right := i % 4 // 3: no topic is right
		for j := range r.features {
			r.features[j][builtin.Semantic] = float64((i*7+j*3)%10) / 10 // noise
			if j == right && i%11 != 0 {
				r.features[j][builtin.Lexical] = 1
			}
		}
		if right < 3 {
			r.right[right] = true
		}
		rankings = append(rankings, r)
	}
	f, err := fitWeights(rankings, confident)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.total[builtin.Lexical]; got < 2 {
		t.Errorf("got total weight %.2f for the predictive feature, want at least 2", got)
	}
	if got := f.total[builtin.Semantic]; got > 1 || got < -1 {
		t.Errorf("got total weight %.2f for noise, want one between -1 and 1", got)
	}
	lead := func(lexical float64) float64 {
		return builtin.Leads([]float64{f.total[builtin.Lexical] * lexical, 0, 0})[0]
	}
	if got := f.constant + f.lead*lead(1) + f.confidence[builtin.Lexical]; got < 1 {
		t.Errorf("got logit %.2f for a topic with the predictive feature, want at least 1", got)
	}
	if got := f.constant + f.behind*lead(0); got > 0 {
		t.Errorf("got logit %.2f for a topic with noise only, want at most 0", got)
	}
}

// In these rankings a feature predicts the right topic that is meant for ranking only.
func TestFitWeightsLeavesFeaturesOutOfTheConfidence(t *testing.T) {
	var rankings []ranking
	for i := range 200 {
		r := ranking{features: make([]builtin.Features, 3), right: make([]bool, 3), weight: 1}
		for j := range r.features {
			r.right[j] = j == i%3
			if r.right[j] != (i%11 == 0) {
				r.features[j][builtin.StemMargin] = 1
			}
		}
		rankings = append(rankings, r)
	}
	f, err := fitWeights(rankings, confident)
	if err != nil {
		t.Fatal(err)
	}
	if f.total[builtin.StemMargin] < 1 || f.confidence[builtin.StemMargin] != 0 {
		t.Errorf("got weights %.2f in the total and %.2f in the confidence, want at least 1 and 0",
			f.total[builtin.StemMargin], f.confidence[builtin.StemMargin])
	}
}
