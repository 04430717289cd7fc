// Package builtin sorts documents into topics offline: no server, no language
// model, no call outside the process.
//
// A topic's name, keywords and description are looked for in the text, in two ways:
//
//   - as words and phrases, by BM25 with the topic as the query. How telling a word
//     is comes from a table of word frequencies, so no corpus is needed;
//   - as meaning, by the cosine between the mean direction of the topic's words and
//     that of the text's, from a table of word vectors (package vectors).
//
// What a user has sorted by hand is looked at too, in the same two ways: how near the
// text's direction and its stems are to those of each topic's examples, compared with
// the examples of the other topics.
//
// A logistic regression makes a confidence of all, which was fitted on labeled
// documents. A topic is chosen only where it is more likely right than wrong; a
// text that fits no topic gets none, and one that clearly fits several gets up to three.
// Names alone work; keywords make it better.
//
// Words are stemmed as English and vectors are of English words: topics in another
// language are found where their own words stand in the text.
//
// The first 64 KiB of a text and at most 4,000 words of it are read.
package builtin

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"intray/infra/ai"
	"intray/infra/ai/builtin/vectors"
)

// Provider and Model name this classifier in answers. Model changes when the same
// document may get other topics than before.
const (
	Provider = "builtin"
	Model    = "bm25-sg100d-2"
)

// Classifier sorts documents into topics. Any number of goroutines may share one.
type Classifier struct {
	lexicon  *lexicon
	profiles *cache
}

// New opens the tables inside the binary; it takes milliseconds. It fails only
// where the binary's table of word vectors is damaged.
func New() (*Classifier, error) {
	table, err := vectors.Open()
	if err != nil {
		return nil, fmt.Errorf("open builtin classifier: %w", err)
	}
	l := &lexicon{table: table}
	return &Classifier{lexicon: l, profiles: newCache(l.profile)}, nil
}

// Classify gives the topics that fit the document, most confident first: at most
// three, each with a confidence of at least 50. It suggests no new topics.
// The same request, with topics in any order, gives the same answer. The only error is
// the context's.
func (c *Classifier) Classify(ctx context.Context, req ai.Request) (ai.Answer, error) {
	if err := ctx.Err(); err != nil {
		return ai.Answer{}, fmt.Errorf("classify: %w", err)
	}
	document := c.lexicon.read(req.Filename, req.Text)
	choices := c.rank(document, req.Topics)
	for i, choice := range choices {
		if choice.Confidence < LeastConfidence || i == maxChoices {
			choices = choices[:i]
			break
		}
	}
	return ai.Answer{Choices: choices, Example: document.example(), Provider: Provider, Model: Model}, nil
}

// Rank gives every topic of the request with its confidence, best first, however
// little it fits: what Classify chooses from.
func (c *Classifier) Rank(req ai.Request) []ai.Choice {
	return c.rank(c.lexicon.read(req.Filename, req.Text), req.Topics)
}

func (c *Classifier) rank(document *document, topics []ai.Topic) []ai.Choice {
	type ranked struct {
		ai.Choice
		score
	}
	all := make([]ranked, 0, len(topics))
	best, second := math.Inf(-1), math.Inf(-1) // totals
	for i, s := range c.scores(document, topics) {
		r := ranked{Choice: ai.Choice{TopicID: topics[i].ID}, score: s}
		if total := r.total(); total > best {
			best, second = total, best
		} else {
			second = max(second, total)
		}
		all = append(all, r)
	}
	for i := range all {
		other := best
		if all[i].total() == best {
			other = second
		}
		all[i].Confidence = confidence(all[i].score, max(other, 0))
	}
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(
			cmp.Compare(b.Confidence, a.Confidence),
			cmp.Compare(b.total(), a.total()),
			cmp.Compare(a.TopicID, b.TopicID),
		)
	})
	choices := make([]ai.Choice, 0, len(all))
	taken := make(map[string]bool, len(all))
	for _, r := range all {
		if !taken[r.TopicID] {
			taken[r.TopicID] = true
			choices = append(choices, r.Choice)
		}
	}
	return choices
}

// scores gives each topic's score.
func (c *Classifier) scores(document *document, topics []ai.Topic) []score {
	learned := learn(topics, c.lexicon.table.Dims())
	spread := make([]float32, sketchBits)
	document.sketch.spread(spread)
	scores := make([]score, len(topics))
	for i, t := range topics {
		scores[i] = document.score(c.profiles.profile(t), learned.background)
		scores[i].nearVector = learned.trust[i] * learned.vectors.score(i, document.vector)
		scores[i].nearSketch = learned.trust[i] * learned.sketches.score(i, spread)
	}
	return scores
}
