package builtin

import (
	"cmp"
	"math"
	"slices"
)

const (
	// regressionPasses is how often each example is visited in training, and minPasses the least
	// number with which a regression is trained at all.
	regressionPasses = 20
	minPasses        = 4
	// maxTrainingWork limits the number of multiplications of a training, which takes about a
	// nanosecond each. It allows 20 examples for each of 20 topics.
	maxTrainingWork = 64 << 20
	// regressionRate is the step of an example. The step is divided by the number of the pass.
	regressionRate = 4
	// vectorShare and layoutShare are the lengths of the vector and of the layout of an example,
	// relative to that of its bag.
	vectorShare = 0.5
	layoutShare = 0.35
	// minRatio is the least likelihood of a topic relative to chance.
	minRatio = 0.05
	// minTermWeight is added to the weight of each bucket: a word of many examples is weak evidence
	// by itself, but not in a sum that is fitted.
	minTermWeight = 0.2
)

// regression is a multinomial logistic regression: a logit for each topic with examples. An example
// is described by its bag, its layout and its vector, each scaled to a fixed length. Training stops
// after a few passes, which keeps the weights small (early stopping).
type regression struct {
	// rows has the weights of each topic, or nil without examples. Those of the buckets come first,
	// by the indexes in stems and layout, then those of the vector, then the constant.
	rows [][]float32
	// stems and layout have the index of each bucket that occurs in a bag or layout of an example,
	// plus 1.
	stems, layout []int32
	width         int // the number of indexes
	trained       int // the number of topics with examples
}

// input is the description of an example or document.
type input struct {
	columns []int32
	values  []float32
	vector  []float32 // nil without
}

// trainingExample is an example of a topic, which is an index of exampleModel.topics.
type trainingExample struct {
	input
	topic int
}

// regress trains a regression. It returns nil if fewer than two topics have examples or if the
// training would take too long.
func (m *exampleModel) regress() *regression {
	passes, _ := m.trainingPasses()
	if passes == 0 {
		return nil
	}
	r := &regression{
		rows:  make([][]float32, len(m.topics)),
		stems: make([]int32, buckets), layout: make([]int32, buckets),
	}
	for _, t := range m.topics {
		if len(t.bags) > 0 {
			r.trained++
		}
		for _, e := range t.examples {
			r.index(r.stems, e.bag)
			r.index(r.layout, e.layout)
		}
	}
	for i, t := range m.topics {
		if len(t.bags) > 0 {
			r.rows[i] = make([]float32, r.width+len(m.background)+1)
		}
	}
	examples := m.trainingExamples(r)
	logits := make([]float64, len(m.topics))
	for pass := range passes {
		rate := regressionRate / float64(pass+1)
		for _, e := range examples {
			r.logits(&e.input, logits)
			r.step(e, logits, rate)
		}
	}
	return r
}

// index gives the buckets of the bag indexes that have none yet.
func (r *regression) index(columns []int32, b bag) {
	for _, entry := range b {
		if columns[bucketOf(entry)] == 0 {
			r.width++
			columns[bucketOf(entry)] = int32(r.width)
		}
	}
}

// input describes an example or a document.
func (r *regression) input(m *exampleModel, stems, layout bag, vector []float32) input {
	in := input{vector: vector}
	in.add(r.stems, stems, 1, func(e uint16) float32 {
		return weightOf(e) * (m.bucketWeights[bucketOf(e)] + minTermWeight)
	})
	in.add(r.layout, layout, layoutShare, func(uint16) float32 { return 1 })
	return in
}

// add adds the entries of a bag that have an index, scaled together with the others to the length.
func (in *input) add(columns []int32, b bag, length float64, weight func(uint16) float32) {
	start, square := len(in.values), 0.0
	for _, entry := range b {
		x := weight(entry)
		square += float64(x * x)
		if column := columns[bucketOf(entry)]; column > 0 {
			in.columns = append(in.columns, column-1)
			in.values = append(in.values, x)
		}
	}
	scale(in.values[start:], float32(quotient(length, math.Sqrt(square))))
}

// trainingPasses returns how often the examples are visited, which is 0 if no regression is
// trained, and the number of multiplications of a pass.
func (m *exampleModel) trainingPasses() (passes, work int) {
	terms, trained := 0, 0
	for _, t := range m.topics {
		if len(t.bags) > 0 {
			trained++
		}
		for _, b := range t.bags {
			terms += len(b) + maxLayout + len(m.background)
		}
	}
	work = 2 * terms * trained // for the logits, and for the step
	passes = min(regressionPasses, maxTrainingWork/max(1, work))
	if trained < 2 || passes < minPasses {
		return 0, work
	}
	return passes, work
}

// trainingExamples returns the examples, one of each topic in turn. Their order does not depend on
// that of the topics.
func (m *exampleModel) trainingExamples(r *regression) []trainingExample {
	order := make([]int, len(m.topics))
	longest := 0
	for i, t := range m.topics {
		order[i] = i
		longest = max(longest, len(t.bags))
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(m.topics[a].id, m.topics[b].id)
	})
	examples := make([]trainingExample, 0, m.examples)
	for k := range longest {
		for _, i := range order {
			if t := &m.topics[i]; k < len(t.bags) {
				e := t.examples[k]
				examples = append(examples, trainingExample{
					input: r.input(m, e.bag, e.layout, e.vector), topic: i,
				})
			}
		}
	}
	return examples
}

// logits sets the logit of each topic with examples.
func (r *regression) logits(in *input, logits []float64) {
	for i, row := range r.rows {
		if row == nil {
			continue
		}
		var sum float32
		for j, column := range in.columns {
			sum += row[column] * in.values[j]
		}
		var direction float32
		for j, x := range in.vector {
			direction += row[r.width+j] * x
		}
		logits[i] = float64(sum + vectorShare*direction + row[len(row)-1])
	}
}

// step moves the weights along the gradient of the likelihood of one example. It overwrites the
// logits with the probabilities.
func (r *regression) step(e trainingExample, logits []float64, rate float64) {
	r.softmax(logits)
	for i, row := range r.rows {
		if row == nil {
			continue
		}
		gradient := -logits[i]
		if i == e.topic {
			gradient++
		}
		step := float32(rate * gradient)
		if step > -1e-4 && step < 1e-4 {
			continue
		}
		for j, column := range e.columns {
			row[column] += step * e.values[j]
		}
		for j, x := range e.vector {
			row[r.width+j] += step * vectorShare * x
		}
	}
}

// softmax turns logits into probabilities. One more outcome has the logit 0: none of the topics.
func (r *regression) softmax(logits []float64) {
	largest, sum := 0.0, 0.0
	for i, row := range r.rows {
		if row != nil {
			largest = max(largest, logits[i])
		}
	}
	for i, row := range r.rows {
		if row != nil {
			logits[i] = math.Exp(logits[i] - largest)
			sum += logits[i]
		}
	}
	sum += math.Exp(-largest)
	for i := range logits {
		logits[i] /= sum
	}
}

// scores returns, for each topic with examples, the logarithm of how much more likely it is than by
// chance. It returns nil if there is no regression.
func (r *regression) scores(m *exampleModel, d *document) []float64 {
	if r == nil {
		return nil
	}
	var vector []float32
	if !d.plain {
		vector = d.vector
	}
	in := r.input(m, d.bag, d.layout, vector)
	scores := make([]float64, len(r.rows))
	r.logits(&in, scores)
	r.softmax(scores)
	for i, row := range r.rows {
		if row != nil {
			scores[i] = math.Log(max(scores[i]*float64(r.trained+1), minRatio))
		}
	}
	return scores
}

// size returns about how many bytes the regression takes.
func (r *regression) size() int {
	if r == nil {
		return 0
	}
	return 8*len(r.stems) + 4*r.trained*(r.width+100)
}
