package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"

	"intray/bench/sets"
	"intray/consumers/classify/builtin"
	"intray/infra/ai"
)

// splitCount is how many splits into halves are measured.
const splitCount = 20

// splits prints, for each set, how often the best topic is right on the held-out half. The
// classifier knows the topics' keywords and has no examples. The weights are fitted on the tuning
// halves, for the features that need no examples only.
func splits(ctx context.Context, classifier *builtin.Classifier) error {
	all, err := wholeSets(ctx)
	if err != nil {
		return err
	}
	choices := make([]map[sets.Document]question, len(all))
	for i, set := range all {
		choices[i] = questions(classifier, set)
	}
	right := make([][]float64, len(all)) // of each set, for each split
	for seed := range uint64(splitCount) {
		var tuning []question
		heldOut := make([]sets.Set, len(all))
		for i, set := range all {
			var half sets.Set
			half, heldOut[i] = set.Split(sets.Seed + seed)
			for _, d := range half.Documents {
				q := choices[i][d]
				q.weight = 1 / float64(len(half.Documents))
				tuning = append(tuning, q)
			}
		}
		weights, err := fit(tuning, builtin.LexicalTraining)
		if err != nil {
			return err
		}
		for i, half := range heldOut {
			right[i] = append(right[i], shareRight(half, choices[i], weights))
		}
	}
	for i, set := range all {
		mean, deviation := meanAndDeviation(right[i])
		fmt.Fprintf(os.Stdout, "%-8s mean %.3f, deviation %.3f, from %.3f to %.3f\n",
			set.Name, mean, deviation, slices.Min(right[i]), slices.Max(right[i]))
	}
	return nil
}

// questions returns, for each document of the set, the choice among the set's topics.
func questions(classifier *builtin.Classifier, set sets.Set) map[sets.Document]question {
	choices := make(map[sets.Document]question)
	for _, d := range set.Documents {
		var q question
		features := classifier.Features(ai.Request{Text: d.Text, Topics: set.Topics}, false)
		for j, e := range features {
			if set.Topics[j].ID == d.Topic {
				q.right = j
			}
			q.alternatives = append(q.alternatives, e[:builtin.LexicalTraining])
		}
		choices[d] = q
	}
	return choices
}

// shareRight returns the share of the documents whose most likely topic is the right one.
func shareRight(
	set sets.Set, choices map[sets.Document]question, weights []float64,
) float64 {
	n := 0
	for _, d := range set.Documents {
		p := probabilities(choices[d], weights)
		if p[choices[d].right] == slices.Max(p) {
			n++
		}
	}
	return float64(n) / float64(len(set.Documents))
}

// meanAndDeviation returns the mean of the values and their standard deviation.
func meanAndDeviation(values []float64) (mean, deviation float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		deviation += (v - mean) * (v - mean) / n
	}
	return mean, math.Sqrt(deviation)
}
