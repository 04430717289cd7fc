package builtin

import (
	"math"
	"slices"

	"intray/infra/ai"
)

const (
	// backgroundExamples is how many examples the background weighs as.
	backgroundExamples = 8
	// halfTaught is the number of examples from which on what a topic has learned counts half.
	halfTaught = 16
	// maxExamples is how many of a topic's examples are read.
	maxExamples = 64
	// alike is how many of a topic's examples are held against a document one by one: the ones most
	// alike, so that a topic may hold documents of several kinds.
	alike = 3
	// usualCohesion is how near examples of a topic are to each other, as long as there are few.
	usualCohesion = 0.25
	// mostKin bounds how much nearer than they are a document counts as.
	mostKin = 2
)

// lessons are what the examples of a request's topics teach.
type lessons struct {
	topics []lesson
	// background is the mean direction of the documents, which says nothing
	// about any of them. Without examples it is that of texts in general.
	background []float32
	// middle is the mean of the topics' centroids and the background.
	middle []float32
	// examples is how many there are.
	examples int
	// telling is how much each bucket says: less the more examples have it, from 1 to nearly 0.
	telling []float32
}

// lesson is what the examples of one topic say.
type lesson struct {
	bags []bag
	// direction is what tells the topic from others; nil without examples.
	direction []float32
	// taught is from 0 for no examples to nearly 1 for many.
	taught float64
}

// learn reads the examples of the topics. Its cost is bounded by maxExamples.
func learn(topics []ai.Topic, dims int) *lessons {
	l := &lessons{background: make([]float32, dims), topics: make([]lesson, len(topics))}
	for i, x := range background[:min(dims, len(background))] {
		l.background[i] = float32(x) / backgroundScale * backgroundExamples
	}
	squares, vector := make([]float32, dims), make([]float32, dims)
	for i, t := range topics {
		topic := &l.topics[i]
		for _, example := range t.Examples[:min(len(t.Examples), maxExamples)] {
			b, ok := remembered(example, vector)
			if !ok {
				continue
			}
			if topic.bags = append(topic.bags, b); topic.direction == nil {
				topic.direction = make([]float32, dims)
			}
			add(topic.direction, vector, 1)
			add(l.background, vector, 1)
			for j, x := range vector {
				squares[j] += x * x
			}
		}
		n := len(topic.bags)
		l.examples += n
		topic.taught = float64(n) / float64(n+halfTaught)
	}
	scale(l.background, 1/float32(l.examples+backgroundExamples))
	if l.examples > 0 {
		l.discriminate(squares)
		l.weigh()
	}
	return l
}

// discriminate turns the sums of the examples' vectors into what tells their topics
// apart: the difference to the mean of all topics' centroids, with the background as one of them, each
// of whose dimensions counts less the more it varies within topics. It is a linear
// discriminant with a diagonal covariance (Dudoit, Fridlyand and Speed, 2002). squares
// is the sum of all examples' squares.
func (l *lessons) discriminate(squares []float32) {
	l.middle = slices.Clone(l.background)
	centroids := float32(1)
	for _, t := range l.topics {
		if t.direction == nil {
			continue
		}
		n := float32(len(t.bags))
		for j, sum := range t.direction {
			squares[j] -= sum * sum / n // leaves the variance within topics
		}
		scale(t.direction, 1/n)
		add(l.middle, t.direction, 1)
		centroids++
	}
	scale(l.middle, 1/centroids)
	var usual float32
	for _, v := range squares {
		usual += max(v, 0) / float32(len(squares))
	}
	for _, t := range l.topics {
		for j := range t.direction {
			t.direction[j] -= l.middle[j]
			if usual > 0 {
				t.direction[j] /= max(squares[j], 0)/usual + 1
			}
		}
		normalize(t.direction)
	}
}

// weigh finds how much each bucket says, as the inverse document frequency among the examples does.
func (l *lessons) weigh() {
	having := make([]int, buckets)
	for _, t := range l.topics {
		for _, b := range t.bags {
			for _, entry := range b {
				having[bucketOf(entry)]++
			}
		}
	}
	most := math.Log(float64(l.examples + 2))
	l.telling = make([]float32, buckets)
	for i, n := range having {
		l.telling[i] = float32(1 - math.Log(float64(n+1))/most)
	}
}

// compare says of each topic how much the document is like its examples.
func (l *lessons) compare(d *document, all []Features) {
	if l.examples == 0 {
		return
	}
	asked, sum := make([]float32, buckets), make([]float32, buckets)
	length := l.spread(d.bag, asked)
	var taught, stems, nearest float64
	for i, t := range l.topics {
		if len(t.bags) == 0 {
			continue
		}
		e := &all[i]
		e[Training] = t.taught
		e[VectorMargin] = t.taught * (dot(d.vector, t.direction) - dot(l.middle, t.direction))
		var best [alike]float64
		for _, b := range t.bags {
			likeness := l.likeness(b, asked, length, sum)
			for j, x := range best {
				if likeness > x {
					best[j], likeness = likeness, x
				}
			}
		}
		for _, x := range best {
			e[NeighborMargin] += x / float64(min(alike, len(t.bags)))
		}
		e[NearestSimilarity] = t.taught * best[0]
		usual := l.cohesion(t.bags, sum)
		e[StemMargin] = l.centroid(t.bags, asked, length, sum)
		e[CohesionRatio] = t.taught * min(e[StemMargin]/usual, mostKin)
		taught++
		stems += e[StemMargin]
		nearest += e[NeighborMargin]
	}
	// What belongs to none of the topics counts as one more that is not alike at all.
	var average float64
	for _, t := range l.topics {
		average += t.taught / float64(len(l.topics))
	}
	for i, t := range l.topics {
		for kind := Lexical; kind <= WordSimilarity; kind++ {
			all[i][kind-Lexical+LexicalTraining] = average * all[i][kind]
		}
		if len(t.bags) > 0 {
			all[i][StemMargin] = t.taught * (all[i][StemMargin] - stems/(taught+1))
			all[i][NeighborMargin] = t.taught * (all[i][NeighborMargin] - nearest/(taught+1))
		}
		ahead := t.taught - average
		all[i][TrainingMargin], all[i][LexicalTrainingMargin], all[i][StemTrainingMargin] = ahead, ahead*all[i][Lexical], ahead*all[i][StemMargin]
	}
}

// spread writes the bag's weights, each times what its bucket says, and returns their length.
func (l *lessons) spread(b bag, to []float32) (length float64) {
	for _, entry := range b {
		x := weightOf(entry) * l.telling[bucketOf(entry)]
		to[bucketOf(entry)] = x
		length += float64(x * x)
	}
	return math.Sqrt(length)
}

// likeness is the cosine between the bag and what was asked. It adds the bag's direction to sum.
func (l *lessons) likeness(b bag, asked []float32, length float64, sum []float32) float64 {
	var both, square float32
	for _, entry := range b {
		x := weightOf(entry) * l.telling[bucketOf(entry)]
		both += x * asked[bucketOf(entry)]
		square += x * x
	}
	own := math.Sqrt(float64(square))
	for _, entry := range b {
		sum[bucketOf(entry)] += weightOf(entry) * l.telling[bucketOf(entry)] / float32(own)
	}
	return quotient(float64(both), own*length)
}

// cohesion is how near the bags are to each other: the mean cosine between each and the sum of the others, with
// usualCohesion as one more. sum is the sum of the bags' directions.
func (l *lessons) cohesion(bags []bag, sum []float32) float64 {
	if len(bags) == 1 {
		return usualCohesion
	}
	total := usualCohesion
	var square float64 // of the sum, which is also the sum of each bag's product with it
	products := make([]float64, len(bags))
	for i, b := range bags {
		var both, own float64
		for _, entry := range b {
			x := float64(weightOf(entry) * l.telling[bucketOf(entry)])
			both += x * float64(sum[bucketOf(entry)])
			own += x * x
		}
		products[i] = quotient(both, math.Sqrt(own))
		square += products[i]
	}
	for _, product := range products {
		total += quotient(max(product-1, 0), math.Sqrt(max(square-2*product+1, 0))) // an empty bag is near nothing
	}
	return total / float64(len(bags)+1)
}

// centroid is the cosine between the sum of the bags and what was asked. It clears the sum.
func (l *lessons) centroid(bags []bag, asked []float32, length float64, sum []float32) float64 {
	var both, square float32
	for _, b := range bags {
		for _, entry := range b {
			bucket := bucketOf(entry)
			both += sum[bucket] * asked[bucket]
			square += sum[bucket] * sum[bucket]
			sum[bucket] = 0
		}
	}
	return quotient(float64(both), math.Sqrt(float64(square))*length)
}

func quotient(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func add(sum, v []float32, weight float32) {
	for i, x := range v {
		sum[i] += weight * x
	}
}

func scale(v []float32, factor float32) {
	for i := range v {
		v[i] *= factor
	}
}
