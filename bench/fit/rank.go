package main

import (
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

// ranking has the features of each topic for one document, and whether each topic is right. One
// topic is right for a document, two for two documents joined into one, and none if the right topic
// was removed from the topics.
type ranking struct {
	features []builtin.Features
	right    []bool
	weight   float64
}

// mode determines what the classifier is given about the topics.
type mode struct {
	namesOnly bool // topics have neither descriptions nor keywords
	// examples is how many documents a user has sorted manually into each topic that has examples.
	// Every topic has them, unless everyOther or onlyOne is set. With everyOther, every other topic
	// has them. With onlyOne, a single topic has them, and otherwise only a name, as if the user had
	// just created it.
	examples            int
	everyOther, onlyOne bool
}

var modes = []mode{
	{}, {namesOnly: true},
	{examples: 5}, {examples: 20}, {examples: 5, everyOther: true},
	{examples: 20, namesOnly: true},
	{examples: 5, onlyOne: true}, {examples: 20, onlyOne: true},
}

// noneWeight is the weight of rankings of a document that belongs to none of the topics, relative
// to the others: users sort most of their documents into some topic. noneUniformWeight is the same
// for texts whose words have the same idf, because words of topics in other languages match them by
// chance. noneTrainedWeight is the same if topics have examples: on sets to which nothing was
// fitted, the confidence was too low without examples, and too high with many.
const (
	noneWeight        = 0.3
	noneUniformWeight = 0.4
	noneTrainedWeight = 0.9
)

// weightOfNone returns the weight of rankings of a document that belongs to none of the topics,
// which have no examples.
func weightOfNone(uniform bool) float64 {
	if uniform {
		return noneUniformWeight
	}
	return noneWeight
}

// ownTopicInterval is used in the modes with onlyOne: for one in ownTopicInterval documents, the
// topic that has examples is the document's own topic. That is more often than by chance, but still
// for a minority of the documents.
const ownTopicInterval = 5

// maxRanked is the number of documents of a set that are ranked. All of them can be examples.
const maxRanked = 300

// folds is the number of folds of a set. The fold of a document is its index modulo folds.
const folds = 4

// rank returns the rankings of up to maxRanked documents of the set, evenly spread over it: one of
// the document with all topics, one without the document's own topic, and one of the document
// joined with a document of another topic. The examples of a topic never include the ranked
// documents: the documents form folds, and the examples for one fold are taken from the others, so
// that few models are trained. Each ranking has the weight 1/n, where n is the number of the ranked
// documents. uniform is as in [builtin.Classifier.Features], here and below.
func rank(c *builtin.Classifier, set sets.Set, m mode, uniform bool) []ranking {
	if m.namesOnly {
		set = set.NamesOnly()
	}
	examples := make([][]byte, len(set.Documents))
	for i, d := range set.Documents {
		examples[i] = c.Example(ai.Request{Text: d.Text}, uniform)
	}
	random := rand.New(rand.NewPCG(sets.Seed, uint64(len(set.Documents))))
	step := max(1, (len(set.Documents)+maxRanked-1)/maxRanked) | 1 // odd, to visit every fold
	weight := float64(step) / float64(len(set.Documents))
	var rankings []ranking
	for i := 0; i < len(set.Documents); i += step {
		d := set.Documents[i]
		other := i%folds + folds*random.IntN((len(set.Documents)-i%folds+folds-1)/folds)
		topics := topicsWithExamples(set, examples, m, i)
		add := func(text string, topics []ai.Topic, right ...string) {
			r := ranking{
				features: c.Features(ai.Request{Text: text, Topics: topics}, uniform), weight: weight,
			}
			switch {
			case len(right) == 0 && m.examples > 0:
				r.weight *= noneTrainedWeight
			case len(right) == 0:
				r.weight *= weightOfNone(uniform)
			}
			for _, t := range topics {
				r.right = append(r.right, slices.Contains(right, t.ID))
			}
			rankings = append(rankings, r)
		}
		add(d.Text, topics, d.Topic)
		if d.Topic != "" {
			isRight := func(t ai.Topic) bool { return t.ID == d.Topic }
			add(d.Text, slices.DeleteFunc(slices.Clone(topics), isRight))
		}
		if o := set.Documents[other]; o.Topic != d.Topic {
			add(start(d.Text)+"\n"+start(o.Text), topics, d.Topic, o.Topic)
		}
	}
	return rankings
}

const (
	// passageWords is the number of words of a passage of a series.
	passageWords = 100
	// seriesExamples is how many passages of a series a user has sorted into the new topic.
	seriesExamples = 5
	// seriesWeight is the weight of the rankings of a series, relative to those of rank. They count
	// less because a passage is not a typical document.
	seriesWeight = 0.2
)

// rankSeries returns rankings for the following situation. A user has created a topic for a series
// of similar documents, such as the invoices of one sender, whose words suggest another topic. The
// name of the new topic is not related to its documents. The next document of the series belongs to
// the new topic, and documents outside the series belong to their own topics. Each series consists
// of the passages of one document that is long enough.
func rankSeries(c *builtin.Classifier, set sets.Set, uniform bool) (rankings []ranking) {
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
		newTopic := ai.Topic{ID: "new", Name: "Folder"}
		for _, passage := range passages[i][:seriesExamples] {
			newTopic.Examples = append(newTopic.Examples, c.Example(ai.Request{Text: passage}, uniform))
		}
		topics := append(slices.Clone(set.Topics), newTopic)
		add := func(passage, right string) {
			r := ranking{
				features: c.Features(ai.Request{Text: passage, Topics: topics}, uniform),
				weight:   seriesWeight / float64(len(set.Documents)),
			}
			for _, t := range topics {
				r.right = append(r.right, t.ID == right)
			}
			rankings = append(rankings, r)
		}
		add(passages[i][seriesExamples], newTopic.ID)
		for _, j := range []int{nextDocument(set, i, true), nextDocument(set, i, false)} {
			if j >= 0 && len(passages[j]) > 0 {
				add(passages[j][0], set.Documents[j].Topic)
			}
		}
	}
	return rankings
}

// nextDocument returns the index of the next document after i that has the same topic if same is
// set, and another topic otherwise. After the last document it continues with the first one. It
// returns -1 if there is no such document.
func nextDocument(set sets.Set, i int, same bool) int {
	for k := 1; k < len(set.Documents); k++ {
		j := (i + k) % len(set.Documents)
		if (set.Documents[j].Topic == set.Documents[i].Topic) == same {
			return j
		}
	}
	return -1
}

// rankForeign returns the rankings of the documents of a set with topics that fit none of them: one
// with all that is known about the topics and one with the topics' names only. Each ranking has the
// same weight as one of a document without a topic in rank.
func rankForeign(
	c *builtin.Classifier, set sets.Set, topics []ai.Topic, uniform bool,
) (rankings []ranking) {
	for _, topics := range [][]ai.Topic{topics, sets.Set{Topics: topics}.NamesOnly().Topics} {
		for _, d := range set.Documents {
			rankings = append(rankings, ranking{
				features: c.Features(ai.Request{Text: d.Text, Topics: topics}, uniform),
				right:    make([]bool, len(topics)),
				weight:   weightOfNone(uniform) / float64(len(set.Documents)),
			})
		}
	}
	return rankings
}

// topicsWithExamples returns the set's topics with the examples that the mode requires. It takes
// them from examples, which has one for each of the set's documents, but not from those of the
// fold of document i.
func topicsWithExamples(set sets.Set, examples [][]byte, m mode, i int) []ai.Topic {
	topics := slices.Clone(set.Topics)
	one := i / ownTopicInterval % len(topics)
	if i%ownTopicInterval == 0 {
		isOwn := func(t ai.Topic) bool { return t.ID == set.Documents[i].Topic }
		one = slices.IndexFunc(topics, isOwn)
	}
	for t := range topics {
		if m.everyOther && t%2 == 1 || m.onlyOne && t != one {
			continue
		}
		if m.onlyOne {
			topics[t] = ai.Topic{ID: topics[t].ID, Name: topics[t].Name}
		}
		for k, d := range set.Documents {
			if d.Topic == topics[t].ID && k%folds != i%folds && len(topics[t].Examples) < m.examples {
				topics[t].Examples = append(topics[t].Examples, examples[k])
			}
		}
	}
	return topics
}

// start returns the first 8 KiB of a text. The classifier reads a second text of this length that
// follows it too.
func start(text string) string { return strings.ToValidUTF8(text[:min(len(text), 8<<10)], "") }

// readSamples reads the first sample of each starter topic, and every other sample that fits no
// topic.
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
		return set, errors.New("read the samples: there are none that fit no topic")
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
