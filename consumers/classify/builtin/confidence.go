package builtin

import "math"

const (
	// MinConfidence is the lowest confidence, in percent, of a topic that is chosen.
	MinConfidence = 60
	// maxChoices is the largest number of topics that a document is classified into.
	maxChoices = 3
)

// confidence returns the probability, in percent, that a topic with these features is right, by a
// logistic regression. lead is the topic's total minus the largest total of the other topics, or
// minus 0 if none of those is positive. A positive lead raises the confidence, a negative one
// lowers it.
func confidence(f *Features, lead float64) int {
	logit := weightConstant + weightedSum(&confidenceWeights, f) +
		weightLead*max(lead, 0) + weightBehind*min(lead, 0)
	return int(math.Round(100 / (1 + math.Exp(-logit))))
}
