package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"intray/bench/sets"
	"intray/consumers/classify/builtin"
	"intray/infra/ai"
	"intray/schema"
)

// ranking is the evidence for each topic of one document, and which topics are right: one, two for
// two documents joined, none where the right one was taken away.
type ranking struct {
	evidence []builtin.Features
	right    []bool
	weight   float64
}

// mode is what the classifier is given of the topics.
type mode struct {
	namesOnly bool
	// examples is how many documents a user has sorted by hand into each topic. Where some is set,
	// it is into every other topic. Where one is set, it is into one topic alone, which has only a
	// name, as if the user had just made it.
	examples  int
	some, one bool
}

var modes = []mode{
	{}, {namesOnly: true},
	{examples: 5}, {examples: 20}, {examples: 5, some: true},
	{examples: 20, namesOnly: true},
	{examples: 5, one: true}, {examples: 20, one: true},
}

// ownOnce is such that one of ownOnce documents belongs to the one topic that has examples: more
// often than by chance, less often than to another.
const ownOnce = 5

// ask returns the rankings of each document of the set: once as it is, once with its topic taken
// away, and once joined with a document of another topic. A document is never one of the examples.
// The documents of a set weigh 1 together.
func ask(ctx context.Context, c *builtin.Classifier, set sets.Set, m mode) ([]ranking, error) {
	if m.namesOnly {
		set = set.NamesOnly()
	}
	examples := make([][]byte, len(set.Documents))
	for i, d := range set.Documents {
		answer, err := c.Classify(ctx, ai.Request{Text: d.Text})
		if err != nil {
			return nil, err
		}
		examples[i] = answer.Example
	}
	random := rand.New(rand.NewPCG(sets.Seed, uint64(len(set.Documents))))
	weight := 1 / float64(len(set.Documents))
	var asked []ranking
	for i, d := range set.Documents {
		other := random.IntN(len(set.Documents))
		topics := taught(set, examples, m, i, other)
		put := func(text string, topics []ai.Topic, right ...string) {
			r := ranking{evidence: c.Features(ai.Request{Text: text, Topics: topics}), weight: weight}
			for _, t := range topics {
				r.right = append(r.right, slices.Contains(right, t.ID))
			}
			asked = append(asked, r)
		}
		put(d.Text, topics, d.Topic)
		if d.Topic != "" {
			isRight := func(t ai.Topic) bool { return t.ID == d.Topic }
			put(d.Text, slices.DeleteFunc(slices.Clone(topics), isRight))
		}
		if o := set.Documents[other]; o.Topic != d.Topic {
			put(start(d.Text)+"\n"+start(o.Text), topics, d.Topic, o.Topic)
		}
	}
	return asked, nil
}

const (
	// passageWords is the length of the passages of a series, seriesExamples how many of them a user
	// has sorted.
	passageWords   = 100
	seriesExamples = 5
	// seriesWeight is the weight of a series' rankings, where those of ask weigh 1: a passage is a
	// poor document.
	seriesWeight = 0.2
)

// series returns the rankings that a user expects who makes a topic for a series of similar
// documents, such as one sender's invoices, whose words are evidence for another topic. The new topic
// has a name that says nothing. The next of the series belongs to it, other documents to theirs. Each
// series consists of passages of one document that is long enough.
func series(ctx context.Context, c *builtin.Classifier, set sets.Set) (asked []ranking, err error) {
	passages := make([][]string, len(set.Documents))
	for i, d := range set.Documents {
		for words := range slices.Chunk(strings.Fields(d.Text), passageWords) {
			passages[i] = append(passages[i], strings.Join(words, " "))
		}
	}
	for i := range set.Documents {
		if len(passages[i]) <= seriesExamples {
			continue
		}
		made := ai.Topic{ID: "new", Name: "Folder"}
		for _, passage := range passages[i][:seriesExamples] {
			answer, err := c.Classify(ctx, ai.Request{Text: passage})
			if err != nil {
				return nil, err
			}
			made.Examples = append(made.Examples, answer.Example)
		}
		topics := append(slices.Clone(set.Topics), made)
		put := func(passage, right string) {
			r := ranking{
				evidence: c.Features(ai.Request{Text: passage, Topics: topics}),
				weight:   seriesWeight / float64(len(set.Documents)),
			}
			for _, t := range topics {
				r.right = append(r.right, t.ID == right)
			}
			asked = append(asked, r)
		}
		put(passages[i][seriesExamples], made.ID)
		for _, j := range []int{another(set, i, true), another(set, i, false)} {
			if j >= 0 && len(passages[j]) > 0 {
				put(passages[j][0], set.Documents[j].Topic)
			}
		}
	}
	return asked, nil
}

// another returns the next document after i of the same topic, or of another one; -1 for none.
func another(set sets.Set, i int, same bool) int {
	for k := 1; k < len(set.Documents); k++ {
		j := (i + k) % len(set.Documents)
		if (set.Documents[j].Topic == set.Documents[i].Topic) == same {
			return j
		}
	}
	return -1
}

// strangers returns the rankings of the documents of a set with topics that none of them belongs to,
// once with full topics and once with names only. They weigh as much as a mode of ask.
func strangers(c *builtin.Classifier, set sets.Set, topics []ai.Topic) (asked []ranking) {
	for _, topics := range [][]ai.Topic{topics, sets.Set{Topics: topics}.NamesOnly().Topics} {
		for _, d := range set.Documents {
			asked = append(asked, ranking{
				evidence: c.Features(ai.Request{Text: d.Text, Topics: topics}),
				right:    make([]bool, len(topics)), weight: 1 / float64(len(set.Documents)),
			})
		}
	}
	return asked
}

// taught returns the set's topics with the examples of the mode, other than the documents i and j.
func taught(set sets.Set, examples [][]byte, m mode, i, j int) []ai.Topic {
	topics := slices.Clone(set.Topics)
	one := i / ownOnce % len(topics)
	if i%ownOnce == 0 {
		one = slices.IndexFunc(topics, func(t ai.Topic) bool { return t.ID == set.Documents[i].Topic })
	}
	for t := range topics {
		if m.some && t%2 == 1 || m.one && t != one {
			continue
		}
		if m.one {
			topics[t] = ai.Topic{ID: topics[t].ID, Name: topics[t].Name}
		}
		for k, d := range set.Documents {
			if d.Topic == topics[t].ID && k != i && k != j && len(topics[t].Examples) < m.examples {
				topics[t].Examples = append(topics[t].Examples, examples[k])
			}
		}
	}
	return topics
}

// start returns the start of a text, so short that another one after it is read too.
func start(text string) string { return strings.ToValidUTF8(text[:min(len(text), 8<<10)], "") }

// readSamples reads the first sample of each starter topic, and every other one that fits none.
func readSamples(folder string) (sets.Set, error) {
	set := sets.Set{Name: "samples"}
	for _, t := range schema.StarterTopics {
		id := strings.ReplaceAll(strings.ToLower(t.Name), " ", "-")
		set.Topics = append(set.Topics, ai.Topic{
			ID: id, Name: t.Name, Description: t.Description, Keywords: t.Keywords,
		})
		text, err := os.ReadFile(filepath.Join(folder, "fits", id+"-1.txt"))
		if err != nil {
			return set, fmt.Errorf("read the samples: %w", err)
		}
		set.Documents = append(set.Documents, sets.Document{Topic: id, Text: string(text)})
	}
	none, err := filepath.Glob(filepath.Join(folder, "none", "*.txt"))
	if err != nil || len(none) == 0 {
		return set, errors.New("read the samples: none that fit no topic")
	}
	for i, file := range none {
		text, err := os.ReadFile(file)
		if err != nil {
			return set, fmt.Errorf("read the samples: %w", err)
		}
		if i%2 == 0 {
			set.Documents = append(set.Documents, sets.Document{Text: string(text)})
		}
	}
	return set, nil
}
