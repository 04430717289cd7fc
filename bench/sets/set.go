// Package sets reads public sets of labeled documents and measures a classifier on them.
package sets

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"intray/infra/ai"
)

// Seed is the seed with which [Set.Split] made the tuning halves on which the weights of package
// builtin were fitted.
const Seed = 1

// Document is one labeled document.
type Document struct {
	// Topic is the ID of the right topic.
	Topic string
	// Filename and Text are as in [ai.Request].
	Filename, Text string
}

// Set is a collection of topics and of documents, each of which has one right topic.
type Set struct {
	Name      string
	Topics    []ai.Topic
	Documents []Document
	// New makes [Measure] treat the topic of each document as one that the user has just created: that
	// topic has only its name and its examples, and the other topics have everything but examples.
	New bool
}

// topicsFor returns the topics to rank for a document.
func (s Set) topicsFor(d Document) []ai.Topic {
	if !s.New {
		return s.Topics
	}
	topics := slices.Clone(s.Topics)
	for i, t := range topics {
		if t.ID == d.Topic {
			topics[i] = ai.Topic{ID: t.ID, Name: t.Name, Examples: t.Examples}
		} else {
			topics[i].Examples = nil
		}
	}
	return topics
}

// Split splits the documents of each topic into a half for tuning and a held-out half. The same
// seed always results in the same halves.
func (s Set) Split(seed uint64) (tuning, heldOut Set) {
	tuning = Set{Name: s.Name + "/tuning", Topics: s.Topics}
	heldOut = Set{Name: s.Name + "/held-out", Topics: s.Topics}
	documents := s.sample(len(s.Documents), seed)
	slices.SortStableFunc(documents, func(a, b Document) int {
		return cmp.Compare(a.Topic, b.Topic)
	})
	for i, d := range documents {
		half := &tuning
		if i%2 == 1 {
			half = &heldOut
		}
		half.Documents = append(half.Documents, d)
	}
	return tuning, heldOut
}

// NamesOnly returns the set with topics that have neither descriptions nor keywords.
func (s Set) NamesOnly() Set {
	s.Name += "/names"
	topics := make([]ai.Topic, len(s.Topics))
	for i, t := range s.Topics {
		topics[i] = ai.Topic{ID: t.ID, Name: t.Name}
	}
	s.Topics = topics
	return s
}

// ExampleClassifier is a classifier whose answers contain an example of the document.
type ExampleClassifier interface {
	Classify(context.Context, ai.Request) (ai.Answer, error)
}

// WithExamples returns the set with topics that have up to n examples each, as if a user had sorted
// documents manually. The examples are those of the first documents of each topic in the set from.
func (s Set) WithExamples(
	ctx context.Context, c ExampleClassifier, from Set, n int,
) (Set, error) {
	s.Name += fmt.Sprintf("/%d examples", n)
	topics := slices.Clone(s.Topics)
	for _, d := range from.Documents {
		i := slices.IndexFunc(topics, func(t ai.Topic) bool { return t.ID == d.Topic })
		if i < 0 || len(topics[i].Examples) >= n {
			continue
		}
		answer, err := c.Classify(ctx, ai.Request{Filename: d.Filename, Text: d.Text})
		if err != nil {
			return Set{}, err
		}
		topics[i].Examples = append(slices.Clip(topics[i].Examples), answer.Example)
	}
	s.Topics = topics
	return s, nil
}

// sample returns up to n documents of each topic in random order. The same seed always results in
// the same sample.
func (s Set) sample(n int, seed uint64) []Document {
	documents := slices.Clone(s.Documents)
	random := rand.New(rand.NewPCG(seed, seed))
	random.Shuffle(len(documents), func(i, j int) {
		documents[i], documents[j] = documents[j], documents[i]
	})
	taken := map[string]int{}
	return slices.DeleteFunc(documents, func(d Document) bool {
		taken[d.Topic]++
		return taken[d.Topic] > n
	})
}
