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

// splits prints how often the best topic is right, zero-shot with keywords, on one half of each set, with the weights of
// the topics' own words fitted on the other halves.
func splits(ctx context.Context, classifier *builtin.Classifier) error {
	all, err := wholeSets(ctx)
	if err != nil {
		return err
	}
	asked := make([]map[sets.Document]question, len(all))
	for i, set := range all {
		asked[i] = make(map[sets.Document]question)
		for _, d := range set.Documents {
			var q question
			for j, e := range classifier.Evidence(ai.Request{Text: d.Text, Topics: set.Topics}) {
				if set.Topics[j].ID == d.Topic {
					q.right = j
				}
				q.alternatives = append(q.alternatives, e[:builtin.LexicalTaught])
			}
			asked[i][d] = q
		}
	}
	right := make([][]float64, len(all))
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
		weights, err := fit(tuning, builtin.LexicalTaught)
		if err != nil {
			return err
		}
		for i, half := range heldOut {
			n := 0
			for _, d := range half.Documents {
				p := probabilities(asked[i][d], weights)
				if p[asked[i][d].right] == slices.Max(p) {
					n++
				}
			}
			right[i] = append(right[i], float64(n)/float64(len(half.Documents)))
		}
	}
	for i, set := range all {
		var mean, spread float64
		for _, r := range right[i] {
			mean += r / deals
		}
		for _, r := range right[i] {
			spread += (r - mean) * (r - mean) / deals
		}
		fmt.Fprintf(os.Stdout, "%-8s mean %.3f, deviation %.3f, from %.3f to %.3f\n", set.Name, mean, math.Sqrt(spread), slices.Min(right[i]), slices.Max(right[i]))
	}
	return nil
}
