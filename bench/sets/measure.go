package sets

import (
	"cmp"
	"slices"
	"time"

	"intray/infra/ai"
)

// Ranker is a classifier that ranks the topics of a request by how well they fit, best first.
type Ranker interface {
	Rank(ai.Request) []ai.Choice
}

// Result is the result of measuring a classifier on a set.
type Result struct {
	Documents int
	// Top1 is the share of documents whose best topic is right, regardless of its confidence.
	Top1 float64
	// Answered is the share of documents whose best topic reaches the threshold. Precision is the
	// share of these whose best topic is right.
	Answered, Precision float64
	// ConfidentHalf is the share of documents whose best topic is right, among the half of the
	// documents whose best topic has the highest confidence.
	ConfidentHalf float64
	// Invented is the share of documents for which another topic reaches the threshold when the right
	// topic is removed. Not every such topic is wrong, because topics overlap.
	Invented float64
	// Confidences counts the best topics by their confidence.
	Confidences [101]Answers
	// PerDocument is the mean time of one ranking.
	PerDocument time.Duration
}

// Answers counts best topics.
type Answers struct{ Answers, Right int }

// Measure ranks the topics for each document of the set twice, with all topics and without the
// right one. threshold is the confidence, in percent, below which the classifier abstains.
func Measure(c Ranker, s Set, threshold int) Result {
	type outcome struct {
		confidence int
		right      bool
	}
	var outcomes []outcome
	var total time.Duration
	r := Result{Documents: len(s.Documents)}
	if r.Documents == 0 {
		return r
	}
	for _, d := range s.Documents {
		topics := s.topicsFor(d)
		req := ai.Request{Filename: d.Filename, Text: d.Text, Topics: topics}
		start := time.Now()
		best := first(c.Rank(req))
		total += time.Since(start)
		outcomes = append(outcomes, outcome{best.Confidence, best.TopicID == d.Topic})

		req.Topics = without(topics, d.Topic)
		if first(c.Rank(req)).Confidence >= threshold {
			r.Invented++
		}
	}
	// The sort is stable, so that documents with the same confidence keep the order of the set.
	slices.SortStableFunc(outcomes, func(a, b outcome) int {
		return cmp.Compare(b.confidence, a.confidence)
	})
	for i, o := range outcomes {
		r.Confidences[o.confidence].Answers++
		if o.right {
			r.Confidences[o.confidence].Right++
		}
		if o.confidence >= threshold {
			r.Answered++
		}
		if !o.right {
			continue
		}
		r.Top1++
		if o.confidence >= threshold {
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
	r.PerDocument = total / time.Duration(len(outcomes))
	return r
}

// first returns the best choice, or a choice of no topic with confidence 0.
func first(choices []ai.Choice) ai.Choice {
	if len(choices) == 0 {
		return ai.Choice{}
	}
	return choices[0]
}

// without returns the topics except the one with that id.
func without(topics []ai.Topic, id string) []ai.Topic {
	return slices.DeleteFunc(slices.Clone(topics), func(t ai.Topic) bool { return t.ID == id })
}
