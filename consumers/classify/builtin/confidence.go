package builtin

import "math"

const (
	// MinConfidence is the lowest confidence, in percent, of a topic that is chosen.
	MinConfidence = 60
	// maxChoices is the largest number of topics that a document is classified into.
	maxChoices = 3
)

// weightSet are fitted weights. bench/fit fits two: one for texts in English, and one for those
// whose words have the same idf. The latter is also for texts of which no word has a vector.
type weightSet struct {
	// total are the coefficients of a conditional logit, which ranks the topics.
	total Features
	// confidence, constant, lead and behind are those of a logistic regression, which estimates the
	// probability that a topic is right: confidence of the features, 0 for most of them, lead of the
	// lead over the other topics (Leads) where it is positive, and behind of a negative one.
	confidence             Features
	constant, lead, behind float64
}

// weights returns the weights for the document.
func (d *document) weights() *weightSet {
	if d.reading.uniform || d.plain {
		return &uniformWeights
	}
	return &englishWeights
}

// probability returns the probability, in percent, that a topic with these features is right, by a
// logistic regression. lead is that of the topic (Leads).
func (w *weightSet) probability(f *Features, lead float64) int {
	logit := w.constant + weightedSum(&w.confidence, f) +
		w.lead*max(lead, 0) + w.behind*min(lead, 0)
	return int(math.Round(100 / (1 + math.Exp(-logit))))
}
