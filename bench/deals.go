package bench

import (
	"context"
	"math"

	"intray/bench/sets"
	"intray/consumers/classify/builtin"
)

// deals is how often the documents of a set are dealt into two halves.
const deals = 20

// DealsReport is the result of ClassifyFolder.
type DealsReport struct {
	Set       string     `json:"set"`
	Deals     int        `json:"deals"`
	Documents int        `json:"documents"`
	Topics    int        `json:"topics"`
	Rows      []DealsRow `json:"rows"`
}

// DealsRow is the result of one mode: means over all deals with their standard errors.
type DealsRow struct {
	Mode string `json:"mode"`
	// Top1 to Invented are as in [sets.Result].
	Top1          Mean `json:"top1"`
	ConfidentHalf Mean `json:"confident_half"`
	Answered      Mean `json:"answered"`
	Precision     Mean `json:"precision"`
	Invented      Mean `json:"invented"`
	// Overconfidence is the largest amount by which a confidence exceeds the share of right answers
	// among those with this confidence or more, of which there are at least 100 in a deal. It is null
	// if there are never that many.
	Overconfidence *float64 `json:"overconfidence"`
	// BM25 is Top1 of plain BM25, for modes without examples, and Logistic that of logistic regression
	// on TF-IDF with the same examples.
	BM25         *Mean   `json:"bm25"`
	Logistic     *Mean   `json:"logistic"`
	Milliseconds float64 `json:"milliseconds"`
}

// Mean is a mean over deals.
type Mean struct {
	Mean float64 `json:"mean"`
	// Error is the standard error of the mean, as if the deals were independent samples.
	Error float64 `json:"error"`
}

// ClassifyFolder measures the builtin classifier on the set in a folder (see [sets.ReadFolder]), in
// each mode and over 20 deals. A deal divides the documents at random into a half from which the
// examples are taken and a half that is measured.
func ClassifyFolder(ctx context.Context, folder string, progress Progress) (DealsReport, error) {
	set, err := sets.ReadFolder(folder)
	if err != nil {
		return DealsReport{}, err
	}
	classifier, err := builtin.New()
	if err != nil {
		return DealsReport{}, err
	}
	report := DealsReport{
		Set: set.Name, Deals: deals, Documents: len(set.Documents), Topics: len(set.Topics),
	}
	for i, m := range modes {
		row := newDealing(m)
		for seed := range deals {
			progress("deals, currently "+m.name, i*deals+seed, len(modes)*deals)
			if err := row.deal(ctx, classifier, set, sets.Seed+uint64(seed)); err != nil {
				return report, err
			}
		}
		report.Rows = append(report.Rows, row.summary())
	}
	return report, nil
}

// dealing collects the results of the deals of one mode.
type dealing struct {
	mode           mode
	results        []sets.Result
	bm25, logistic []float64
}

func newDealing(m mode) *dealing { return &dealing{mode: m} }

func (d *dealing) deal(
	ctx context.Context, classifier *builtin.Classifier, set sets.Set, seed uint64,
) error {
	rest, measured := set.Split(seed)
	measured.New = d.mode.oneNew
	if d.mode.namesOnly {
		measured = measured.NamesOnly()
	}
	if d.mode.examples == 0 {
		d.bm25 = append(d.bm25, sets.BM25(measured))
	} else if !d.mode.oneNew {
		d.logistic = append(d.logistic, sets.Logistic(measured, rest, d.mode.examples))
	}
	measured, err := measured.WithExamples(ctx, classifier, rest, d.mode.examples)
	if err != nil {
		return err
	}
	d.results = append(d.results, sets.Measure(classifier, measured, builtin.MinConfidence))
	return ctx.Err()
}

func (d *dealing) summary() DealsRow {
	each := func(value func(sets.Result) float64) Mean {
		var values []float64
		for _, r := range d.results {
			values = append(values, value(r))
		}
		return meanOf(values)
	}
	row := DealsRow{
		Mode:           d.mode.name,
		Top1:           each(func(r sets.Result) float64 { return r.Top1 }),
		ConfidentHalf:  each(func(r sets.Result) float64 { return r.ConfidentHalf }),
		Answered:       each(func(r sets.Result) float64 { return r.Answered }),
		Precision:      each(func(r sets.Result) float64 { return r.Precision }),
		Invented:       each(func(r sets.Result) float64 { return r.Invented }),
		Overconfidence: d.overconfidence(),
		Milliseconds: each(func(r sets.Result) float64 {
			return r.PerDocument.Seconds() * 1000
		}).Mean,
	}
	if mean := meanOf(d.bm25); len(d.bm25) > 0 {
		row.BM25 = &mean
	}
	if mean := meanOf(d.logistic); len(d.logistic) > 0 {
		row.Logistic = &mean
	}
	return row
}

// minAnswers is the number of answers in a deal from which a share says something.
const minAnswers = 100

func (d *dealing) overconfidence() *float64 {
	var largest *float64
	answers, right := 0, 0
	for confidence := 100; confidence >= builtin.MinConfidence; confidence-- {
		for _, r := range d.results {
			answers += r.Confidences[confidence].Answers
			right += r.Confidences[confidence].Right
		}
		if answers < minAnswers*len(d.results) {
			continue
		}
		excess := float64(confidence)/100 - float64(right)/float64(answers)
		if largest == nil || excess > *largest {
			largest = &excess
		}
	}
	return largest
}

func meanOf(values []float64) Mean {
	n := float64(len(values))
	var mean, square float64
	for _, v := range values {
		mean += v
	}
	mean /= max(n, 1)
	for _, v := range values {
		square += (v - mean) * (v - mean)
	}
	if n < 2 {
		return Mean{Mean: mean}
	}
	return Mean{Mean: mean, Error: math.Sqrt(square / (n - 1) / n)}
}
