package sets

import (
	"math"
	"slices"
	"strings"
	"unicode"
)

// Usual values of the parameters of BM25.
const (
	baselineK = 1.2
	baselineB = 0.75
)

// BM25 returns the share of documents whose best topic is right by plain BM25 (Robertson and
// Zaragoza, 2009): the words of a topic are the query, and word frequencies in the documents of the
// set determine the weights. It knows neither stop words nor stems.
func BM25(s Set) float64 {
	documents := make([]map[string]float64, len(s.Documents))
	lengths, frequencies, mean := make([]float64, len(documents)), map[string]float64{}, 0.0
	for i, d := range s.Documents {
		documents[i], lengths[i] = count(d.Text)
		mean += lengths[i] / float64(len(documents))
		for word := range documents[i] {
			frequencies[word]++
		}
	}
	queries := make([][]string, len(s.Topics))
	for i, t := range s.Topics {
		queries[i] = split(t.Name + " " + strings.Join(t.Keywords, " ") + " " + t.Description)
	}
	right, n := 0, float64(len(documents))
	for i, d := range s.Documents {
		best, highest := -1, math.Inf(-1)
		norm := baselineK * (1 - baselineB + baselineB*lengths[i]/mean)
		for j, query := range queries {
			var score float64
			for _, word := range query {
				f := frequencies[word]
				idf := math.Log(1 + (n-f+0.5)/(f+0.5))
				score += idf * documents[i][word] * (baselineK + 1) / (documents[i][word] + norm)
			}
			if score > highest {
				best, highest = j, score
			}
		}
		if s.Topics[best].ID == d.Topic {
			right++
		}
	}
	return float64(right) / n
}

// Logistic returns the share of documents whose best topic is right by multinomial logistic
// regression on TF-IDF, which is trained with the first n documents of each topic in the set from.
func Logistic(s, from Set, n int) float64 {
	var training []map[string]float64
	var labels []int
	taken := make([]int, len(s.Topics))
	for _, d := range from.Documents {
		if label := s.index(d.Topic); label >= 0 && taken[label] < n {
			taken[label]++
			words, _ := count(d.Text)
			training, labels = append(training, words), append(labels, label)
		}
	}
	frequencies := map[string]float64{}
	for _, words := range training {
		for word := range words {
			frequencies[word]++
		}
	}
	columns, idf := map[string]int{}, []float64{}
	for word, f := range frequencies {
		columns[word] = len(idf)
		idf = append(idf, math.Log((1+float64(len(training)))/(1+f))+1)
	}
	rows := make([]sparse, len(training))
	for i, words := range training {
		rows[i] = tfidf(words, columns, idf)
	}
	weights := trainLogistic(rows, labels, len(s.Topics), len(idf))
	right := 0
	for _, d := range s.Documents {
		words, _ := count(d.Text)
		p := predict(tfidf(words, columns, idf), weights)
		if slices.Index(p, slices.Max(p)) == s.index(d.Topic) {
			right++
		}
	}
	return float64(right) / float64(len(s.Documents))
}

func (s Set) index(topic string) int {
	for i, t := range s.Topics {
		if t.ID == topic {
			return i
		}
	}
	return -1
}

// sparse is a vector of which most elements are 0.
type sparse struct {
	columns []int
	values  []float64
}

func tfidf(words map[string]float64, columns map[string]int, idf []float64) (x sparse) {
	var square float64
	for word, n := range words {
		if column, ok := columns[word]; ok {
			value := n * idf[column]
			x.columns, x.values = append(x.columns, column), append(x.values, value)
			square += value * value
		}
	}
	for i := range x.values {
		x.values[i] /= math.Sqrt(square)
	}
	return x
}

// logisticRidge is the L2 penalty, and logisticSteps the number of steps of gradient descent.
const (
	logisticRidge = 0.1
	logisticSteps = 150
)

// trainLogistic minimizes the sum of the losses plus half of logisticRidge times the square of the
// weights, by accelerated gradient descent (Nesterov). A row of weights ends with the constant.
func trainLogistic(rows []sparse, labels []int, topics, width int) [][]float64 {
	weights, ahead := matrix(topics, width+1), matrix(topics, width+1)
	previous := matrix(topics, width+1)
	rate := 1 / (0.5*float64(len(rows))/float64(max(1, topics))*2 + logisticRidge)
	for step := range logisticSteps {
		momentum := float64(step) / float64(step+3)
		gradient := matrix(topics, width+1)
		for i, x := range rows {
			for t, p := range predict(x, ahead) {
				if t == labels[i] {
					p--
				}
				for j, column := range x.columns {
					gradient[t][column] += p * x.values[j]
				}
				gradient[t][width] += p
			}
		}
		for t := range weights {
			copy(previous[t], weights[t])
			for j := range weights[t] {
				penalty := logisticRidge * ahead[t][j]
				if j == width {
					penalty = 0
				}
				weights[t][j] = ahead[t][j] - rate*(gradient[t][j]+penalty)
				ahead[t][j] = weights[t][j] + momentum*(weights[t][j]-previous[t][j])
			}
		}
	}
	return weights
}

func matrix(rows, columns int) [][]float64 {
	m := make([][]float64, rows)
	for i := range m {
		m[i] = make([]float64, columns)
	}
	return m
}

// predict returns the probability of each topic.
func predict(x sparse, weights [][]float64) []float64 {
	p := make([]float64, len(weights))
	for t, row := range weights {
		p[t] = row[len(row)-1]
		for j, column := range x.columns {
			p[t] += row[column] * x.values[j]
		}
	}
	largest, sum := slices.Max(p), 0.0
	for t := range p {
		p[t] = math.Exp(p[t] - largest)
		sum += p[t]
	}
	for t := range p {
		p[t] /= sum
	}
	return p
}

// split returns the words of the text in lower case.
func split(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// count returns how often each word occurs in the text, and the number of words.
func count(text string) (words map[string]float64, length float64) {
	words = map[string]float64{}
	for _, word := range split(text) {
		words[word]++
		length++
	}
	return words, length
}
