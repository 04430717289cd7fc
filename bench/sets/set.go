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

// Seed deals the documents into the halves that the weights of package builtin were fitted on, and
// the others.
const Seed = 1

// Document is one labeled document.
type Document struct {
	// Topic is the ID of the topic that is right.
	Topic string
	// Filename and Text are as in [ai.Request].
	Filename, Text string
}

// Set is a collection of documents, each of one topic.
type Set struct {
	Name      string
	Topics    []ai.Topic
	Documents []Document
	// New is set where each document is asked for as if its topic had just been made: of that topic
	// there are a name and examples, of the others everything but examples.
	New bool
}

// topicsFor gives the topics to ask for the document with.
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

// Split deals the documents of each topic into a half to tune on and a half that
// is held out. The same seed gives the same halves.
func (s Set) Split(seed uint64) (tuning, heldOut Set) {
	tuning = Set{Name: s.Name + "/tuning", Topics: s.Topics}
	heldOut = Set{Name: s.Name + "/held-out", Topics: s.Topics}
	documents := s.sample(len(s.Documents), seed)
	slices.SortStableFunc(documents, func(a, b Document) int { return cmp.Compare(a.Topic, b.Topic) })
	for i, d := range documents {
		half := &tuning
		if i%2 == 1 {
			half = &heldOut
		}
		half.Documents = append(half.Documents, d)
	}
	return tuning, heldOut
}

// NamesOnly is the set with topics that have neither description nor keywords.
func (s Set) NamesOnly() Set {
	s.Name += "/names"
	topics := make([]ai.Topic, len(s.Topics))
	for i, t := range s.Topics {
		topics[i] = ai.Topic{ID: t.ID, Name: t.Name}
	}
	s.Topics = topics
	return s
}

// Learner is a classifier that answers with an example of the document.
type Learner interface {
	Classify(context.Context, ai.Request) (ai.Answer, error)
}

// Taught is the set with topics that a user has sorted up to n documents of another
// set into by hand, the first of each topic.
func (s Set) Taught(ctx context.Context, c Learner, from Set, n int) (Set, error) {
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

// sample takes up to n documents of each topic, in an order that the seed alone
// decides.
func (s Set) sample(n int, seed uint64) []Document {
	documents := slices.Clone(s.Documents)
	random := rand.New(rand.NewPCG(seed, seed))
	random.Shuffle(len(documents), func(i, j int) { documents[i], documents[j] = documents[j], documents[i] })
	taken := map[string]int{}
	return slices.DeleteFunc(documents, func(d Document) bool {
		taken[d.Topic]++
		return taken[d.Topic] > n
	})
}
