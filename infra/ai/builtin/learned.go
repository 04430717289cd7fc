package builtin

import "intray/infra/ai"

const (
	// backgroundExamples is how many examples the background weighs as.
	backgroundExamples = 8
	// halfTrust is the number of examples from which on a topic's centroid counts half.
	halfTrust = 8
	// maxExamples is how many of a topic's examples are read.
	maxExamples = 64
)

// learned is what the examples of a request's topics teach.
//
// A topic's centroid is the mean of its examples. What tells it from the others is
// the difference to the mean of all centroids, each of whose dimensions counts
// less the more it varies within topics: a linear discriminant with a diagonal
// covariance (Dudoit, Fridlyand and Speed, 2002).
type learned struct {
	// background is the mean direction of the documents, which says nothing
	// about any of them. Without examples it is that of texts in general.
	background []float32
	vectors    space
	sketches   space
	trust      []float64
}

// space is one kind of vector: a discriminant for each topic, nil for one without
// examples.
type space struct {
	mean       []float32
	directions [][]float32 // sums, until discriminate
	counts     []float32
	squares    []float32 // the sum of all examples' squares
}

// learn reads the examples of the topics. Its cost is bounded by maxExamples.
func learn(topics []ai.Topic, dims int) *learned {
	l := &learned{background: make([]float32, dims), trust: make([]float64, len(topics))}
	total := float32(backgroundExamples)
	for i, x := range background[:min(dims, len(background))] {
		l.background[i] = float32(x) / backgroundScale * backgroundExamples
	}
	vectors, sketches := newSpace(len(topics), dims), newSpace(len(topics), sketchBits)
	vector, spread := make([]float32, dims), make([]float32, sketchBits)
	taught := false
	for i, t := range topics {
		n := 0
		for _, example := range t.Examples[:min(len(t.Examples), maxExamples)] {
			s, ok := remembered(example, vector)
			if !ok {
				continue
			}
			s.spread(spread)
			vectors.add(i, vector)
			sketches.add(i, spread)
			add(l.background, vector, 1)
			n++
		}
		total += float32(n)
		taught = taught || n > 0
		l.trust[i] = float64(n) / float64(n+halfTrust)
	}
	scale(l.background, 1/total)
	if taught {
		vectors.discriminate(l.background)
		// The sketch of what belongs to none of the topics is taken as empty.
		sketches.discriminate(make([]float32, sketchBits))
		l.vectors, l.sketches = vectors, sketches
	}
	return l
}

func newSpace(topics, dims int) space {
	return space{
		mean: make([]float32, dims), squares: make([]float32, dims),
		directions: make([][]float32, topics), counts: make([]float32, topics),
	}
}

// add takes an example of topic i.
func (s space) add(i int, v []float32) {
	if s.directions[i] == nil {
		s.directions[i] = make([]float32, len(v))
	}
	s.counts[i]++
	for j, x := range v {
		s.directions[i][j] += x
		s.squares[j] += x * x
	}
}

// discriminate turns the sums of examples into what tells them apart. other stands
// for everything that belongs to none of the topics.
func (s space) discriminate(other []float32) {
	copy(s.mean, other)
	centroids := float32(1)
	for i, centroid := range s.directions {
		if centroid == nil {
			continue
		}
		for j, sum := range centroid {
			s.squares[j] -= sum * sum / s.counts[i] // leaves the variance within topics
		}
		scale(centroid, 1/s.counts[i])
		add(s.mean, centroid, 1)
		centroids++
	}
	scale(s.mean, 1/centroids)
	var usual float32
	for _, v := range s.squares {
		usual += max(v, 0) / float32(len(s.squares))
	}
	for _, direction := range s.directions {
		for j := range direction {
			direction[j] -= s.mean[j]
			if usual > 0 {
				direction[j] /= max(s.squares[j], 0)/usual + 1
			}
		}
		normalize(direction)
	}
}

// score says how much the vector lies on the side of topic i's examples.
func (s space) score(i int, v []float32) float64 {
	if s.directions == nil || s.directions[i] == nil {
		return 0
	}
	return dot(v, s.directions[i]) - dot(s.mean, s.directions[i])
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
