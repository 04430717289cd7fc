package main

import (
	"errors"
	"math"
)

// question is a choice among alternatives, of which one is right. Each alternative is described by
// its features.
type question struct {
	alternatives [][]float64
	right        int
	weight       float64
}

// shrinkage keeps weights small that have little influence (L2 regularization). Half of it times
// the square of each weight is subtracted from the log-likelihood of all questions, whose weights
// are scaled to add up to 1.
const shrinkage = 1e-7

// fit returns the weights of the features that maximize the likelihood of the right answers. The
// probability of an alternative is proportional to the exponential of the weighted sum of its
// features, so the model is a conditional logit (McFadden, 1974). fit uses Newton's method. A
// question whose answer is yes or no has two alternatives, one of them all zeros; the model is then
// a logistic regression. width is the number of features.
func fit(questions []question, width int) ([]float64, error) {
	weights := make([]float64, width)
	for range 50 {
		gradient, curvature := derivatives(questions, weights)
		step, err := solve(curvature, gradient)
		if err != nil {
			return nil, err
		}
		var largest float64
		for i, s := range step {
			weights[i] += s
			largest = max(largest, math.Abs(s))
		}
		if largest < 1e-7 {
			return weights, nil
		}
	}
	return nil, errors.New("fit the weights: no convergence after 50 steps")
}

// derivatives returns the gradient of the log-likelihood and its negative second derivatives.
func derivatives(
	questions []question, weights []float64,
) (gradient []float64, curvature [][]float64) {
	width := len(weights)
	gradient, curvature = make([]float64, width), make([][]float64, width)
	var all float64
	for _, q := range questions {
		all += q.weight
	}
	for i := range curvature {
		curvature[i] = make([]float64, width)
		curvature[i][i] = shrinkage
		gradient[i] = -shrinkage * weights[i]
	}
	mean := make([]float64, width)
	for _, q := range questions {
		p := probabilities(q, weights)
		clear(mean)
		for i, x := range q.alternatives {
			for j := range x {
				mean[j] += p[i] * x[j]
			}
		}
		share := q.weight / all
		for j := range gradient {
			gradient[j] += share * (q.alternatives[q.right][j] - mean[j])
		}
		for i, x := range q.alternatives {
			for j := range x {
				for k := range j + 1 {
					curvature[j][k] += share * p[i] * (x[j] - mean[j]) * (x[k] - mean[k])
				}
			}
		}
	}
	for j := range curvature {
		for k := range j {
			curvature[k][j] = curvature[j][k]
		}
	}
	return gradient, curvature
}

// probabilities returns the probability of each alternative.
func probabilities(q question, weights []float64) []float64 {
	p := make([]float64, len(q.alternatives))
	largest := math.Inf(-1)
	for i, x := range q.alternatives {
		for j, v := range x {
			p[i] += weights[j] * v
		}
		largest = max(largest, p[i])
	}
	var sum float64
	for i := range p {
		p[i] = math.Exp(p[i] - largest)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// solve returns x with a·x = b for a symmetric, positive definite matrix a. It overwrites a with
// its Cholesky decomposition.
func solve(a [][]float64, b []float64) ([]float64, error) {
	n := len(b)
	x := make([]float64, n)
	for i := range n {
		for j := range i + 1 {
			sum := a[i][j]
			for k := range j {
				sum -= a[i][k] * a[j][k]
			}
			switch {
			case i != j:
				a[i][j] = sum / a[j][j]
			case sum <= 0:
				return nil, errors.New("fit the weights: the features are linearly dependent")
			default:
				a[i][i] = math.Sqrt(sum)
			}
		}
		x[i] = b[i]
		for k := range i {
			x[i] -= a[i][k] * x[k]
		}
		x[i] /= a[i][i]
	}
	for i := n - 1; i >= 0; i-- {
		for k := i + 1; k < n; k++ {
			x[i] -= a[k][i] * x[k]
		}
		x[i] /= a[i][i]
	}
	return x, nil
}
