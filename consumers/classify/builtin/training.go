package builtin

import (
	"context"
	"math"
	"slices"

	"intray/infra/ai"
)

const (
	// backgroundExamples is the weight of documents in general in the background, in examples.
	backgroundExamples = 8
	// halfTraining is the number of examples at which the training weight of a topic is 1/2.
	halfTraining = 16
	// maxExamples is the number of examples of a topic that are read.
	maxExamples = 64
	// nearestExamples is the number of a topic's most similar examples that count individually, so
	// that a topic may contain documents of several kinds.
	nearestExamples = 3
	// maxGain is the largest addition to the weight of a bucket for what it says about the topic,
	// relative to its weight without it. priorExamples is used for the estimate of what it says.
	maxGain       = 3
	priorExamples = 2
)

// exampleModel is a model that was trained from the examples of a request's topics.
type exampleModel struct {
	topics []topicModel
	// background is the mean direction of the examples and of documents in general. Since documents
	// have it in common, it does not distinguish topics.
	background []float32
	// center is the mean of the topics' centroids and the background.
	center []float32
	// examples is the number of examples.
	examples int
	// bucketWeights are the weights of the buckets. The weight of a bucket is its inverse document
	// frequency among the examples, from 1 for none to nearly 0 for all, times 1 to 1+maxGain
	// depending on what it says about the topic.
	bucketWeights []float32
}

// topicModel is the part of an exampleModel for one topic.
type topicModel struct {
	bags []bag
	// direction distinguishes the topic from the others. It is nil if no example has a vector.
	direction []float32
	directed  int // the number of examples that have a vector
	// training is the training weight: 0 without examples, nearly 1 with many.
	training float64
}

// train builds a model from the examples of the topics. It reads at most maxExamples of each. The
// only error is that of ctx.
func train(ctx context.Context, topics []ai.Topic, dims int) (*exampleModel, error) {
	m := &exampleModel{background: make([]float32, dims), topics: make([]topicModel, len(topics))}
	for i, x := range background[:min(dims, len(background))] {
		m.background[i] = float32(x) / backgroundScale * backgroundExamples
	}
	squares, vector := make([]float32, dims), make([]float32, dims)
	withVectors := 0
	for i, t := range topics {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		topic := &m.topics[i]
		for _, example := range t.Examples[:min(len(t.Examples), maxExamples)] {
			b, ok := parseExample(example, vector)
			if !ok {
				continue
			}
			topic.bags = append(topic.bags, b)
			if dot(vector, vector) == 0 {
				continue
			}
			if topic.direction == nil {
				topic.direction = make([]float32, dims)
			}
			withVectors++
			topic.directed++
			add(topic.direction, vector, 1)
			add(m.background, vector, 1)
			for j, x := range vector {
				squares[j] += x * x
			}
		}
		n := len(topic.bags)
		m.examples += n
		topic.training = float64(n) / float64(n+halfTraining)
	}
	scale(m.background, 1/float32(withVectors+backgroundExamples))
	if m.examples > 0 {
		m.discriminate(squares)
		m.weighBuckets()
	}
	return m, nil
}

// discriminate turns the sum of each topic's example vectors into the direction that distinguishes
// the topic. It is a linear discriminant with a diagonal covariance (Dudoit, Fridlyand and Speed,
// 2002): the difference between the topic's centroid and the mean of all centroids, of which the
// background is one, with each dimension reduced the more it varies within topics. squares is the
// sum of the squares of all example vectors.
func (m *exampleModel) discriminate(squares []float32) {
	m.center = slices.Clone(m.background)
	centroids := float32(1)
	for _, t := range m.topics {
		if t.direction == nil {
			continue
		}
		n := float32(t.directed)
		for j, sum := range t.direction {
			squares[j] -= sum * sum / n // leaves the variance within topics
		}
		scale(t.direction, 1/n)
		add(m.center, t.direction, 1)
		centroids++
	}
	scale(m.center, 1/centroids)
	var mean float32 // of the variances
	for _, v := range squares {
		mean += max(v, 0) / float32(len(squares))
	}
	for _, t := range m.topics {
		for j := range t.direction {
			t.direction[j] -= m.center[j]
			if mean > 0 {
				t.direction[j] /= max(squares[j], 0)/mean + 1
			}
		}
		normalize(t.direction)
	}
}

// weighBuckets sets the weight of each bucket.
func (m *exampleModel) weighBuckets() {
	frequencies := make([]float64, buckets)
	for _, t := range m.topics {
		for _, b := range t.bags {
			for _, entry := range b {
				frequencies[bucketOf(entry)]++
			}
		}
	}
	largest := math.Log(float64(m.examples + 2))
	gains := m.gains(frequencies)
	m.bucketWeights = make([]float32, buckets)
	for i, n := range frequencies {
		m.bucketWeights[i] = float32((1 - math.Log(n+1)/largest) * (1 + maxGain*gains[i]))
	}
}

// gains returns how much each bucket says about the topic of an example, from 0 to 1: how far the
// shares of the topics among the examples with the bucket are from those among all examples. It is
// the Kullback-Leibler divergence, relative to the logarithm of the number of topics with examples.
// priorExamples examples with the shares of all are added, so that a bucket in one example says
// little.
func (m *exampleModel) gains(frequencies []float64) []float64 {
	gains, trained := make([]float64, buckets), 0
	counts := make([]float64, buckets)
	rest := slices.Repeat([]float64{1}, buckets) // the share of the topics without the bucket
	for _, t := range m.topics {
		if len(t.bags) == 0 {
			continue
		}
		trained++
		for _, b := range t.bags {
			for _, entry := range b {
				counts[bucketOf(entry)]++
			}
		}
		prior := float64(len(t.bags)) / float64(m.examples)
		for _, b := range t.bags {
			for _, entry := range b {
				if i := bucketOf(entry); counts[i] > 0 {
					ratio := (counts[i]/prior + priorExamples) / (frequencies[i] + priorExamples)
					gains[i] += prior * ratio * math.Log(ratio)
					rest[i] -= prior
					counts[i] = 0
				}
			}
		}
	}
	for i, n := range frequencies {
		if n == 0 {
			continue
		}
		ratio := priorExamples / (n + priorExamples)
		gains[i] += max(rest[i], 0) * ratio * math.Log(ratio)
		gains[i] = max(gains[i], 0) / math.Log(float64(max(trained, 2)))
	}
	return gains
}

// compare compares the document with the examples and sets the features that depend on them. all
// has one element for each topic. The only error is that of ctx.
func (m *exampleModel) compare(ctx context.Context, d *document, all []Features) error {
	if m.examples == 0 {
		return nil
	}
	query, sum := make([]float32, buckets), make([]float32, buckets)
	norm := m.spread(d.bag, query)
	var mean float64 // of the training weights
	for _, t := range m.topics {
		mean += t.training / float64(len(m.topics))
	}
	var trained, stems, neighbors float64
	for i, t := range m.topics {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(t.bags) == 0 {
			continue
		}
		f := &all[i]
		f[Training] = t.training
		if !d.plain && t.direction != nil {
			f[VectorMargin] = t.training * (dot(d.vector, t.direction) - dot(m.center, t.direction))
		}
		var nearest [nearestExamples]float64
		for _, b := range t.bags {
			similarity := m.similarity(b, query, norm, sum)
			for j, x := range nearest {
				if similarity > x {
					nearest[j], similarity = similarity, x
				}
			}
		}
		for _, x := range nearest {
			f[NeighborMargin] += x / float64(min(nearestExamples, len(t.bags)))
		}
		f[StemMargin] = m.centroidSimilarity(t.bags, query, norm, sum)
		trained++
		stems += f[StemMargin]
		neighbors += f[NeighborMargin]
	}
	for i, t := range m.topics {
		f := &all[i]
		f[LexicalTraining] = mean * f[Lexical]
		if len(t.bags) > 0 {
			// The mean includes one more topic with a similarity of 0: that of documents that
			// belong to none of the topics.
			f[StemMargin] = t.training * (f[StemMargin] - stems/(trained+1))
			f[NeighborMargin] = t.training * (f[NeighborMargin] - neighbors/(trained+1))
		}
		margin := t.training - mean
		f[TrainingMargin] = margin
		f[LexicalTrainingMargin] = margin * f[Lexical]
		f[NeighborTrainingMargin] = margin * f[NeighborMargin]
	}
	return nil
}

// spread writes the bag to vector, which has one element for each bucket: the weight of the entry
// times the weight of its bucket. It returns the length of the vector.
func (m *exampleModel) spread(b bag, vector []float32) (norm float64) {
	for _, entry := range b {
		x := weightOf(entry) * m.bucketWeights[bucketOf(entry)]
		vector[bucketOf(entry)] = x
		norm += float64(x * x)
	}
	return math.Sqrt(norm)
}

// similarity returns the cosine between the bag and the query, whose length is norm. It adds the
// bag's direction to sum.
func (m *exampleModel) similarity(b bag, query []float32, norm float64, sum []float32) float64 {
	var product, square float32
	for _, entry := range b {
		x := weightOf(entry) * m.bucketWeights[bucketOf(entry)]
		product += x * query[bucketOf(entry)]
		square += x * x
	}
	length := math.Sqrt(float64(square))
	for _, entry := range b {
		bucket := bucketOf(entry)
		sum[bucket] += weightOf(entry) * m.bucketWeights[bucket] / float32(length)
	}
	return quotient(float64(product), length*norm)
}

// centroidSimilarity returns the cosine between the sum of the bags and the query, whose length is
// norm. It sets the sum to zero.
func (m *exampleModel) centroidSimilarity(
	bags []bag, query []float32, norm float64, sum []float32,
) float64 {
	var product, square float32
	for _, b := range bags {
		for _, entry := range b {
			bucket := bucketOf(entry)
			product += sum[bucket] * query[bucket]
			square += sum[bucket] * sum[bucket]
			sum[bucket] = 0
		}
	}
	return quotient(float64(product), math.Sqrt(float64(square))*norm)
}

// quotient returns a/b, or 0 if b is 0.
func quotient(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// add adds v, multiplied by weight, to sum.
func add(sum, v []float32, weight float32) {
	for i, x := range v {
		sum[i] += weight * x
	}
}

// scale multiplies v by factor.
func scale(v []float32, factor float32) {
	for i := range v {
		v[i] *= factor
	}
}
