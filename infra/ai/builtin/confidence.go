package builtin

import "math"

// LeastConfidence is what a topic needs to be chosen, in percent.
const LeastConfidence = 50

const (
	// maxChoices is how many topics a document gets at most.
	maxChoices = 3
)

// The weights of a logistic regression that tells how likely a topic is right. They
// were fitted on the tuning halves of package bench's sets (and half of the samples
// in testdata): with full topics and with names only, with 0, 5 and 20 examples a topic,
// each once as it is, once with the right topic taken away, and once with two documents
// joined, which have two right topics. docs/classification.md has what this gives on
// the held-out halves.
const (
	weightConstant = -2.689
	weightLexical  = 2.225
	weightSemantic = 2.637
	weightVector   = 4.766
	weightSketch   = 19.754
	// A topic that leads gains, one that lies behind another loses.
	weightLead   = 1.041
	weightBehind = 1.092
)

// The parts of a topic's total: the weights of a conditional logit on the same data,
// relative to that of the lexical score.
const (
	totalLexical  = 1
	totalSemantic = 1.823
	totalVector   = 3.507
	totalSketch   = 4.830
)

// confidence is how likely the topic with score s is right, in percent, where
// other is the largest total of the other topics.
func confidence(s score, other float64) int {
	lead := s.total() - other
	logit := weightConstant +
		weightLexical*math.Log1p(s.lexical) +
		weightSemantic*s.semantic +
		weightVector*s.nearVector +
		weightSketch*s.nearSketch +
		weightLead*max(lead, 0) +
		weightBehind*min(lead, 0)
	return int(math.Round(100 / (1 + math.Exp(-logit))))
}
