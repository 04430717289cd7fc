package builtin

import "math"

const (
	// LeastConfidence is what a topic needs to be chosen, in percent.
	LeastConfidence = 60
	// maxChoices is how many topics a document gets at most.
	maxChoices = 3
)

// confidence is how likely it is, in percent, that a topic with this evidence is
// right, by a logistic regression. lead is how far its total is before the largest of
// the others, or behind it: a topic that leads gains, one that lies behind another loses.
func confidence(e *Evidence, lead float64) int {
	logit := weightConstant + weigh(&confidenceWeights, e) + weightLead*max(lead, 0) + weightBehind*min(lead, 0)
	return int(math.Round(100 / (1 + math.Exp(-logit))))
}
