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
	directions [][]float32
}

// learn reads the examples of the topics. Its cost is bounded by maxExamples.
func learn(topics []ai.Topic, dims int) *learned {
	l := &learned{background: make([]float32, dims), trust: make([]float64, len(topics))}
	total := float32(backgroundExamples)
	for i, x := range background[:min(dims, len(background))] {
		l.background[i] = float32(x) / backgroundScale * backgroundExamples
	}
	vectors, sketches := make([][][]float32, len(topics)), make([][][]float32, len(topics))
	taught := false
	for i, t := range topics {
		for _, example := range t.Examples[:min(len(t.Examples), maxExamples)] {
			vector := make([]float32, dims)
			s, ok := remembered(example, vector)
			if !ok {
				continue
			}
			spread := make([]float32, sketchBits)
			s.spread(spread)
			vectors[i], sketches[i] = append(vectors[i], vector), append(sketches[i], spread)
			add(l.background, vector, 1)
			total++
			taught = true
		}
		n := float64(len(vectors[i]))
		l.trust[i] = n / (n + halfTrust)
	}
	scale(l.background, 1/total)
	if taught {
		l.vectors = discriminate(vectors, l.background)
		l.sketches = discriminate(sketches, nil)
	}
	return l
}

// discriminate finds what tells the topics' examples apart. Where other is not nil,
// it stands for everything that belongs to none of the topics.
func discriminate(examples [][][]float32, other []float32) space {
	var s space
	var dims, centroids int
	for _, of := range examples {
		var centroid []float32
		for _, x := range of {
			if centroid == nil {
				dims, centroid = len(x), make([]float32, len(x))
				centroids++
			}
			add(centroid, x, 1/float32(len(of)))
		}
		s.directions = append(s.directions, centroid)
	}
	s.mean = make([]float32, dims)
	if other != nil {
		add(s.mean, other, 1)
	}
	for _, centroid := range s.directions {
		if centroid != nil {
			add(s.mean, centroid, 1)
		}
	}
	// One more than the topics: what belongs to none. Its sketch is taken as empty.
	scale(s.mean, 1/float32(centroids+1))
	variance, mean := make([]float32, dims), float32(0)
	for i, of := range examples {
		for _, x := range of {
			for j, c := range s.directions[i] {
				variance[j] += (x[j] - c) * (x[j] - c)
			}
		}
	}
	for _, v := range variance {
		mean += v / float32(dims)
	}
	for _, direction := range s.directions {
		for j := range direction {
			direction[j] -= s.mean[j]
			if mean > 0 {
				direction[j] /= variance[j]/mean + 1
			}
		}
		normalize(direction)
	}
	return s
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
