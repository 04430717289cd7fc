// Package builtin sorts documents into topics offline: no server, no language
// model, no call outside the process.
//
// A topic's name, keywords and description are looked for in the text, in two ways:
//
//   - as words and phrases, by BM25 with the topic as the query. How telling a word
//     is comes from a table of word frequencies, so no corpus is needed;
//   - as meaning, by the cosine between the mean direction of the topic's words and
//     those of the text's, of its opening's and of its most telling words each by itself,
//     from a table of word vectors (package vectors).
//
// What a user has sorted by hand is looked at too, in the same two ways: how near the
// text's direction and its stems are to those of each topic's examples, compared with
// the examples of the other topics.
//
// What each kind of evidence weighs was fitted on labeled documents (package fit): once to put the
// topics in order, once to say how sure that is. A topic is chosen only where that is sure
// enough; a text that fits no topic gets none, and one that clearly fits several gets up to
// three. Names alone work; keywords make it better.
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

	"intray/consumers/classify/builtin/vectors"
	"intray/infra/ai"
)

// Provider and Model name this classifier in answers. Model changes when the same
// document may get other topics than before.
const (
	Provider = "builtin"
	Model    = "bm25-sg100d-4"
)

// Classifier sorts documents into topics. Any number of goroutines may share one.
type Classifier struct {
	lexicon  *lexicon
	profiles *profileCache
}

// New opens the tables inside the binary; it takes milliseconds. It fails only
// where the binary's table of word vectors is damaged.
func New() (*Classifier, error) {
	table, err := vectors.Open()
	if err != nil {
		return nil, fmt.Errorf("open builtin classifier: %w", err)
	}
	l := &lexicon{table: table}
	return &Classifier{lexicon: l, profiles: newProfileCache(l.profile)}, nil
}

// Classify gives the topics that fit the document, most confident first: at most
// three, each with a confidence of at least LeastConfidence. It suggests no new topics.
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
		total float64
	}
	evidence := c.evidence(document, topics)
	all := make([]ranked, len(topics))
	best, second := math.Inf(-1), math.Inf(-1) // totals
	for i := range evidence {
		all[i] = ranked{Choice: ai.Choice{TopicID: topics[i].ID}, total: evidence[i].total()}
		if total := all[i].total; total > best {
			best, second = total, best
		} else {
			second = max(second, total)
		}
	}
	for i := range all {
		other := best
		if all[i].total == best {
			other = second
		}
		all[i].Confidence = confidence(&evidence[i], all[i].total-max(other, 0))
	}
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(
			cmp.Compare(b.total, a.total),
			cmp.Compare(b.Confidence, a.Confidence),
			cmp.Compare(a.TopicID, b.TopicID),
		)
	})
	// The totals were fitted to tell topics apart, so they decide the order; nobody is to be surer of a later one.
	for i := 1; i < len(all); i++ {
		all[i].Confidence = min(all[i].Confidence, all[i-1].Confidence)
	}
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

// Evidence gives what speaks for each of the request's topics, in their order: what the weights
// are fitted on (package fit).
func (c *Classifier) Evidence(req ai.Request) []Evidence {
	return c.evidence(c.lexicon.read(req.Filename, req.Text), req.Topics)
}

// Direction gives the direction of the request's text, a vector of length 1: what package fit takes the
// background from.
func (c *Classifier) Direction(req ai.Request) []float32 {
	return c.lexicon.read(req.Filename, req.Text).vector
}

func (c *Classifier) evidence(document *document, topics []ai.Topic) []Evidence {
	learned := learn(topics, c.lexicon.table.Dims())
	all := make([]Evidence, len(topics))
	for i, t := range topics {
		all[i] = document.evidence(c.profiles.profile(t), learned.background)
	}
	learned.compare(document, all)
	return all
}
