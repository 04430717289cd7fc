package main

import (
	"slices"
	"strings"
	"testing"

	"intray/bench/sets"
	"intray/consumers/classify/builtin"
	"intray/infra/ai"
)

func TestADocumentIsNeverItsOwnExample(t *testing.T) {
	set := sets.Set{Topics: []ai.Topic{{ID: "a"}, {ID: "b"}}}
	var examples [][]byte
	for i := range 6 {
		set.Documents = append(set.Documents, sets.Document{Topic: []string{"a", "b"}[i%2]})
		examples = append(examples, []byte{byte(i)})
	}
	for i := range set.Documents {
		other := (i + 1) % len(set.Documents)
		for _, topic := range taught(set, examples, mode{examples: 2}, i, other) {
			if len(topic.Examples) != 2 {
				t.Errorf("topic %s has %d examples beside document %d", topic.ID, len(topic.Examples), i)
			}
			for _, e := range topic.Examples {
				if int(e[0]) == i || int(e[0]) == other {
					t.Errorf("document %d is among its examples", e[0])
				}
			}
		}
	}
	if topics := taught(set, examples, mode{examples: 2, some: true}, 0, 1); len(topics[0].Examples) == 0 || len(topics[1].Examples) > 0 {
		t.Error("not every other topic is taught")
	}
	for i, want := range []int{0, 0, 0, 0, 0, 1} { // its own, those in turn, and its own
		topics := taught(set, examples, mode{examples: 2, one: true}, i, 0)
		if len(topics[want].Examples) == 0 || len(topics[1-want].Examples) > 0 {
			t.Errorf("beside document %d the topics have %d and %d examples", i, len(topics[0].Examples), len(topics[1].Examples))
		}
	}
}

func TestASeriesBelongsToItsNewTopic(t *testing.T) {
	classifier, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("antifouling and polishing of the hull ", passageWords*(seriesExamples+1)/6+1)
	set := sets.Set{Topics: []ai.Topic{{ID: "a"}, {ID: "b"}}, Documents: []sets.Document{
		{Topic: "a", Text: long}, {Topic: "b", Text: "short"}, {Topic: "a", Text: "short too"}, {Topic: "b", Text: "and this"},
	}}
	asked, err := series(t.Context(), classifier, set)
	if err != nil {
		t.Fatal(err)
	}
	var right []int
	for _, r := range asked {
		right = append(right, slices.Index(r.right, true))
	}
	// The next passage, the next document of the same topic and that of another one.
	if !slices.Equal(right, []int{2, 0, 1}) {
		t.Errorf("right are the topics %v", right)
	}
	if kin := asked[0].evidence[2][builtin.CohesionRatio]; kin <= 0 {
		t.Errorf("the next passage has nothing in common with the series: %v", asked[0].evidence[2])
	}
}

func TestSamplesAreHalfOfThoseInTestdata(t *testing.T) {
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
	if fits != len(set.Topics) || len(set.Documents) != fits+5 {
		t.Errorf("%d documents, %d of them fit, for %d topics", len(set.Documents), fits, len(set.Topics))
	}
}

// The weights rank and tell right from wrong where one kind of evidence says all.
func TestWeighBelievesWhatIsRight(t *testing.T) {
	var rankings []ranking
	for i := range 400 {
		r := ranking{evidence: make([]builtin.Features, 3), right: make([]bool, 3), weight: 1}
		right := i % 4 // 3: none
		for j := range r.evidence {
			r.evidence[j][builtin.WordSimilarity] = float64((i*7+j*3)%10) / 10 // says nothing
			if j == right && i%11 != 0 {
				r.evidence[j][builtin.Lexical] = 1
			}
		}
		if right < 3 {
			r.right[right] = true
		}
		rankings = append(rankings, r)
	}
	f, err := weigh(rankings)
	if err != nil {
		t.Fatal(err)
	}
	if f.total[builtin.Lexical] < 2 || f.total[builtin.WordSimilarity] > 1 || f.total[builtin.WordSimilarity] < -1 {
		t.Errorf("totals %.2f", f.total)
	}
	logit := f.constant + f.lead*f.total[builtin.Lexical] + f.confidence[builtin.Lexical]
	if logit < 1 || f.constant+f.confidence[builtin.WordSimilarity] > 0 {
		t.Errorf("a topic with all evidence has the logit %.2f, one with none %.2f", logit, f.constant)
	}
}
