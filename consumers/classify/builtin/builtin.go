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

// New opens the tables inside the binary, in milliseconds. It fails only
// if the binary's table of word vectors is damaged.
func New() (*Classifier, error) {
	table, err := vectors.Open()
	if err != nil {
		return nil, fmt.Errorf("open builtin classifier: %w", err)
	}
	l := &lexicon{table: table}
	return &Classifier{lexicon: l, profiles: newProfileCache(l.profile)}, nil
}

// Classify returns the topics that fit the document, most confident first: at most
// three, each with a confidence of at least MinConfidence. It suggests no new topics.
// The same request, with topics in any order, gives the same answer. The only error is
// the context's.
func (c *Classifier) Classify(ctx context.Context, req ai.Request) (ai.Answer, error) {
	if err := ctx.Err(); err != nil {
		return ai.Answer{}, fmt.Errorf("classify: %w", err)
	}
	document := c.lexicon.read(req.Filename, req.Text)
	choices := c.rank(document, req.Topics)
	for i, choice := range choices {
		if choice.Confidence < MinConfidence || i == maxChoices {
			choices = choices[:i]
			break
		}
	}
	return ai.Answer{Choices: choices, Example: document.example(), Provider: Provider, Model: Model}, nil
}

// Rank returns every topic of the request with its confidence, best first, however
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
	// The totals were fitted to put topics in order, so they decide it. A topic's confidence is
	// never above that of a topic before it.
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

// Features returns the evidence for each of the request's topics, in their order: what the
// weights are fitted on (bench/fit).
func (c *Classifier) Features(req ai.Request) []Features {
	return c.evidence(c.lexicon.read(req.Filename, req.Text), req.Topics)
}

// Direction returns the direction of the request's text, a vector of length 1: what the
// background is fitted on (bench/fit).
func (c *Classifier) Direction(req ai.Request) []float32 {
	return c.lexicon.read(req.Filename, req.Text).vector
}

func (c *Classifier) evidence(document *document, topics []ai.Topic) []Features {
	learned := learn(topics, c.lexicon.table.Dims())
	all := make([]Features, len(topics))
	for i, t := range topics {
		all[i] = document.features(c.profiles.profile(t), learned.background)
	}
	learned.compare(document, all)
	return all
}
