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

// deals is how often splits deals the sets into halves.
const deals = 20

// splits prints how often the best topic is right, zero-shot with keywords, on one half of each set,
// with the weights of the topics' own words fitted on the other halves.
func splits(ctx context.Context, classifier *builtin.Classifier) error {
	all, err := wholeSets(ctx)
	if err != nil {
		return err
	}
	asked := make([]map[sets.Document]question, len(all))
	for i, set := range all {
		asked[i] = questions(classifier, set)
	}
	right := make([][]float64, len(all)) // of each set, by deal
	for seed := range uint64(deals) {
		var tuning []question
		heldOut := make([]sets.Set, len(all))
		for i, set := range all {
			var half sets.Set
			half, heldOut[i] = set.Split(sets.Seed + seed)
			for _, d := range half.Documents {
				q := asked[i][d]
				q.weight = 1 / float64(len(half.Documents))
				tuning = append(tuning, q)
			}
		}
		weights, err := fit(tuning, builtin.LexicalTraining)
		if err != nil {
			return err
		}
		for i, half := range heldOut {
			right[i] = append(right[i], shareRight(half, asked[i], weights))
		}
	}
	for i, set := range all {
		mean, deviation := spread(right[i])
		fmt.Fprintf(os.Stdout, "%-8s mean %.3f, deviation %.3f, from %.3f to %.3f\n",
			set.Name, mean, deviation, slices.Min(right[i]), slices.Max(right[i]))
	}
	return nil
}

// questions returns the choice among the set's topics for each of its documents.
func questions(classifier *builtin.Classifier, set sets.Set) map[sets.Document]question {
	asked := make(map[sets.Document]question)
	for _, d := range set.Documents {
		var q question
		evidence := classifier.Features(ai.Request{Text: d.Text, Topics: set.Topics})
		for j, e := range evidence {
			if set.Topics[j].ID == d.Topic {
				q.right = j
			}
			q.alternatives = append(q.alternatives, e[:builtin.LexicalTraining])
		}
		asked[d] = q
	}
	return asked
}

// shareRight returns the share of the documents whose most likely topic is the right one.
func shareRight(set sets.Set, asked map[sets.Document]question, weights []float64) float64 {
	n := 0
	for _, d := range set.Documents {
		p := probabilities(asked[d], weights)
		if p[asked[d].right] == slices.Max(p) {
			n++
		}
	}
	return float64(n) / float64(len(set.Documents))
}

// spread returns the mean of the values and their standard deviation.
func spread(values []float64) (mean, deviation float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		deviation += (v - mean) * (v - mean) / n
	}
	return mean, math.Sqrt(deviation)
}
