package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

// draw returns n random questions. Their answers are drawn with the probabilities that result from
// the weights.
func draw(n int, weights []float64) []question {
	random := rand.New(rand.NewPCG(1, 2))
	questions := make([]question, n)
	for i := range questions {
		q := question{weight: 1}
		for range 4 {
			x := make([]float64, len(weights))
			for j := range x {
				x[j] = random.NormFloat64()
			}
			q.alternatives = append(q.alternatives, x)
		}
		u := random.Float64()
		for j, p := range probabilities(q, weights) {
			if u -= p; u <= 0 {
				q.right = j
				break
			}
		}
		questions[i] = q
	}
	return questions
}

func TestFitRecoversWeights(t *testing.T) {
	want := []float64{2, -1, 0, 0.5}
	got, err := fit(draw(20_000, want), len(want))
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 0.06 {
			t.Errorf("got %.3f, want %.3f within 0.06", got, want)
			break
		}
	}
}

func TestFitUsesTheWeightOfQuestions(t *testing.T) {
	yes := func(right int, weight float64) question {
		return question{alternatives: [][]float64{{0}, {1}}, right: right, weight: weight}
	}
	got, err := fit([]question{yes(1, 3), yes(0, 1)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	// The questions with the answer yes have three quarters of the total weight.
	if want := math.Log(3); math.Abs(got[0]-want) > 1e-4 {
		t.Errorf("got weight %.4f, want %.4f", got[0], want)
	}
}

func TestConstantFeatureGetsNoWeight(t *testing.T) {
	questions := draw(500, []float64{1})
	for i := range questions {
		for j := range questions[i].alternatives {
			questions[i].alternatives[j] = append(questions[i].alternatives[j], 7)
		}
	}
	got, err := fit(questions, 2)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got[1]) > 1e-6 {
		t.Errorf("got weight %v, want 0", got[1])
	}
}

func TestSolve(t *testing.T) {
	x, err := solve([][]float64{{4, 2}, {2, 3}}, []float64{2, 5})
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(x[0]+0.5) > 1e-12 || math.Abs(x[1]-2) > 1e-12 {
		t.Errorf("got %v, want [-0.5 2]", x)
	}
	if _, err := solve([][]float64{{1, 1}, {1, 1}}, []float64{1, 1}); err == nil {
		t.Error("singular matrix: got no error, want one")
	}
}
