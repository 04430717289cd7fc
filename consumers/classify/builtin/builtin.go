package builtin

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"intray/consumers/classify/builtin/glossary"
	"intray/consumers/classify/builtin/vectors"
	"intray/infra/ai"
)

// Provider and Model name this classifier in answers. Every change after which the same document
// may be classified into other topics must also change Model.
const (
	Provider = "builtin"
	Model    = "bm25-sg100d-8"
)

// Classifier classifies documents into topics. It is safe for concurrent use.
type Classifier struct {
	lexicon  *lexicon
	profiles *profileCache
}

// New opens the tables that are embedded in the binary, which takes milliseconds. It fails only if
// one of them is damaged.
func New() (*Classifier, error) {
	table, err := vectors.Open()
	if err != nil {
		return nil, fmt.Errorf("open builtin classifier: %w", err)
	}
	translations, err := glossary.Open()
	if err != nil {
		return nil, fmt.Errorf("open builtin classifier: %w", err)
	}
	if translations.Vectors() != table.Len() {
		return nil, fmt.Errorf("open builtin classifier: the glossary is for %d word vectors, not %d",
			translations.Vectors(), table.Len())
	}
	if table.Dims() > maxDims {
		return nil, fmt.Errorf("open builtin classifier: word vectors have %d dimensions, more than %d",
			table.Dims(), maxDims)
	}
	l := newLexicon(table, translations)
	return &Classifier{lexicon: l, profiles: newProfileCache(l.profile)}, nil
}

// Classify returns the topics of the document, in descending order of confidence: at most three,
// each with a confidence of at least MinConfidence and with its evidence. It never suggests new
// topics. Equal requests have equal answers, regardless of the order of their topics. The only
// error is that of ctx: after ctx is canceled, Classify returns within milliseconds.
func (c *Classifier) Classify(ctx context.Context, req ai.Request) (ai.Answer, error) {
	if err := ctx.Err(); err != nil {
		return ai.Answer{}, fmt.Errorf("classify: %w", err)
	}
	document := c.lexicon.read(req.Filename, req.Text)
	all, err := c.rank(ctx, document, req.Topics)
	if err != nil {
		return ai.Answer{}, fmt.Errorf("classify: %w", err)
	}
	var choices []ai.Choice
	for _, r := range all[:min(len(all), maxChoices)] {
		if r.Confidence < MinConfidence {
			break
		}
		c.addEvidence(&r, document, req.Topics[r.topic])
		choices = append(choices, r.Choice)
	}
	return ai.Answer{
		Choices: choices, Example: document.example(), Provider: Provider, Model: Model,
	}, nil
}

// Rank returns all topics of the request with their confidences, in descending order of confidence.
// Unlike Classify, it also returns those with a confidence below MinConfidence.
func (c *Classifier) Rank(req ai.Request) []ai.Choice {
	// Without a deadline there is no error.
	all, _ := c.rank(context.Background(), c.lexicon.read(req.Filename, req.Text), req.Topics)
	choices := make([]ai.Choice, len(all))
	for i, r := range all {
		choices[i] = r.Choice
	}
	return choices
}

// ranked is a topic of a request with its features.
type ranked struct {
	ai.Choice
	topic    int // the index of the topic
	features *Features
	total    float64
}

// rank returns the topics in descending order of confidence, without topics that have the ID of a
// better one. The only error is that of ctx.
func (c *Classifier) rank(
	ctx context.Context, document *document, topics []ai.Topic,
) ([]ranked, error) {
	features, err := c.features(ctx, document, topics)
	if err != nil {
		return nil, err
	}
	all, weights := make([]ranked, len(topics)), document.weights()
	totals := make([]float64, len(topics))
	for i := range features {
		totals[i] = features[i].total(weights)
	}
	for i, lead := range Leads(totals) {
		f := &features[i]
		choice := ai.Choice{TopicID: topics[i].ID, Confidence: weights.probability(f, lead)}
		all[i] = ranked{choice, i, f, totals[i]}
	}
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(
			cmp.Compare(b.total, a.total),
			cmp.Compare(b.Confidence, a.Confidence),
			cmp.Compare(a.TopicID, b.TopicID),
		)
	})
	// The topics are in the order of their totals, which are fitted to rank topics. The confidences
	// must have the same order, so a confidence that exceeds the previous one is lowered to it.
	for i := 1; i < len(all); i++ {
		all[i].Confidence = min(all[i].Confidence, all[i-1].Confidence)
	}
	seen := make(map[string]bool, len(all))
	return slices.DeleteFunc(all, func(r ranked) bool {
		double := seen[r.TopicID]
		seen[r.TopicID] = true
		return double
	}), nil
}

// Features returns the features of each topic of the request, in the order of the topics. If
// uniform is set, the words of an English text have the same idf, like those of other languages.
// bench/fit fits the weights to the features.
func (c *Classifier) Features(req ai.Request, uniform bool) []Features {
	document := c.lexicon.readAs(req.Filename, req.Text, uniform)
	features, _ := c.features(context.Background(), document, req.Topics)
	return features
}

// Example returns the example of the request's document, which is read as in Features.
func (c *Classifier) Example(req ai.Request, uniform bool) []byte {
	return c.lexicon.readAs(req.Filename, req.Text, uniform).example()
}

// Direction returns the direction of the request's text, a vector of length 1. bench/fit computes
// the background direction from it.
func (c *Classifier) Direction(req ai.Request) []float32 {
	return c.lexicon.read(req.Filename, req.Text).vector
}

// features returns the features of each topic. The work for one topic is so small that ctx is
// checked only between topics.
func (c *Classifier) features(
	ctx context.Context, document *document, topics []ai.Topic,
) ([]Features, error) {
	trained, err := train(ctx, topics, c.lexicon.table.Dims())
	if err != nil {
		return nil, err
	}
	all := make([]Features, len(topics))
	for i, t := range topics {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		all[i] = document.features(c.profiles.profile(t, document.reading), trained.background)
	}
	return all, trained.compare(ctx, document, all)
}
