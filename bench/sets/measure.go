package sets

import (
	"cmp"
	"slices"
	"time"

	"intray/infra/ai"
)

// Ranker is a classifier that says how well each topic fits, best first.
type Ranker interface {
	Rank(ai.Request) []ai.Choice
}

// Result is how a classifier did on a set.
type Result struct {
	Documents int
	// Top1 is the share of documents whose best topic is right, however unsure.
	Top1 float64
	// Answered is the share whose best topic reaches the least confidence, and
	// Precision the share of those that are right.
	Answered, Precision float64
	// ConfidentHalf is the share that is right among the half of the documents with
	// the most confident best topic.
	ConfidentHalf float64
	// Invented is the share of documents that get a topic all the same after the
	// right one was taken away. Not every such topic is wrong: topics overlap.
	Invented float64
	// PerDocument is the mean time of one ranking.
	PerDocument time.Duration
}

// Measure asks the classifier for each document of the set, with all topics and
// once more without the right one. least is the confidence from which it answers
// rather than abstains, in percent.
func Measure(c Ranker, s Set, least int) Result {
	type outcome struct {
		confidence int
		right      bool
	}
	var outcomes []outcome
	var spent time.Duration
	r := Result{Documents: len(s.Documents)}
	if r.Documents == 0 {
		return r
	}
	for _, d := range s.Documents {
		topics := s.topicsFor(d)
		req := ai.Request{Filename: d.Filename, Text: d.Text, Topics: topics}
		start := time.Now()
		best := first(c.Rank(req))
		spent += time.Since(start)
		outcomes = append(outcomes, outcome{best.Confidence, best.TopicID == d.Topic})

		req.Topics = without(topics, d.Topic)
		if first(c.Rank(req)).Confidence >= least {
			r.Invented++
		}
	}
	// Stable, so that ties fall as the set has them.
	slices.SortStableFunc(outcomes, func(a, b outcome) int { return cmp.Compare(b.confidence, a.confidence) })
	for i, o := range outcomes {
		if o.confidence >= least {
			r.Answered++
		}
		if !o.right {
			continue
		}
		r.Top1++
		if o.confidence >= least {
			r.Precision++
		}
		if i < (len(outcomes)+1)/2 {
			r.ConfidentHalf++
		}
	}
	n := float64(len(outcomes))
	r.Precision /= max(r.Answered, 1)
	r.ConfidentHalf /= float64((len(outcomes) + 1) / 2)
	r.Top1, r.Answered, r.Invented = r.Top1/n, r.Answered/n, r.Invented/n
	r.PerDocument = spent / time.Duration(len(outcomes))
	return r
}

func first(choices []ai.Choice) ai.Choice {
	if len(choices) == 0 {
		return ai.Choice{}
	}
	return choices[0]
}

func without(topics []ai.Topic, id string) []ai.Topic {
	return slices.DeleteFunc(slices.Clone(topics), func(t ai.Topic) bool { return t.ID == id })
}
