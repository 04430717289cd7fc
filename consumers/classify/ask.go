package classify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/consumers/classify/builtin"
	"intray/consumers/runner"
	"intray/infra/ai"
	"intray/infra/ai/llm"
	"intray/infra/postgres"
	"intray/schema"
)

// Settings holds a user's AI settings. Empty fields mean that the defaults in Config apply.
type Settings = postgres.AISettings

// SuggestedConfidence is the confidence of a topic that the AI provider suggests. Providers return
// no confidence for suggested topics, so this is below that of a topic the provider is sure of.
const SuggestedConfidence = 50

// errDailyLimit means that the document waits for the next day.
var errDailyLimit = fmt.Errorf("%w: the owner's daily calls are used up", ai.ErrUnavailable)

// admit returns an error if a call to the provider would be pointless now. It returns a
// postponement while the provider's circuit breaker is open or the owner's daily calls are used up,
// and errOutageTimeout if the document has waited for the provider for Config.OutageTimeout. now is
// the time of this machine, and stored that of the database's clock.
func (c *Classifier) admit(d schema.Document, provider string, now, stored time.Time) error {
	b, ok := c.breakers[provider]
	if !ok {
		return fmt.Errorf("%w: provider %q is not configured", ai.ErrUnavailable, provider)
	}
	if c.config.Limits[provider].DailyCalls > 0 && c.dailyLimits.contains(d.UserID, stored) {
		return runner.Postpone(errDailyLimit, untilTomorrow(stored))
	}
	wait, failingSince := b.state(now)
	if wait == 0 {
		return nil
	}
	timeout := c.config.OutageTimeout
	if !failingSince.IsZero() && now.Sub(failingSince) > timeout &&
		stored.Sub(d.ChangedAt) > timeout {
		return fmt.Errorf("provider %s: %w", provider, errOutageTimeout)
	}
	return c.postpone(provider, wait)
}

// postpone returns a postponement by wait plus a random time, so that waiting documents are not
// redelivered together.
func (c *Classifier) postpone(provider string, wait time.Duration) error {
	err := fmt.Errorf("%w: the circuit breaker of %s is open", ai.ErrUnavailable, provider)
	return runner.Postpone(err, wait+rand.N(wait/2+c.config.MinDelay+1))
}

// ask calls the provider that the owner's settings or the defaults name, and returns its answer and
// what speaks for the topics in it. If the answer is invalid, ask calls the provider once more.
func (c *Classifier) ask(
	ctx context.Context, in *input, text string,
) (answer ai.Answer, explanation schema.Explanation, err error) {
	name, model := c.choose(in.settings)
	owner := in.document.UserID
	request := ai.Request{
		Model: model, SystemPrompt: c.config.SystemPrompt,
		Filename: in.document.Filename, Text: text, Topics: make([]ai.Topic, len(in.topics)),
	}
	for i, t := range in.topics {
		request.Topics[i] = ai.Topic{
			ID:          t.ID.String(),
			Name:        t.Name,
			Description: t.Description,
			Keywords:    t.Keywords,
		}
	}
	var examples map[postgres.UserTopic][]postgres.Example
	if name == builtin.Provider {
		if examples, err = in.examples(ctx); err != nil {
			return ai.Answer{}, explanation, err
		}
		for i, t := range in.topics {
			for _, e := range examples[postgres.UserTopic{User: owner, Topic: t.ID}] {
				request.Topics[i].Examples = append(request.Topics[i].Examples, e.Content)
			}
		}
	}
	const asks = 2
	for range asks {
		answer, err = c.call(ctx, owner, name, request)
		if !errors.Is(err, ai.ErrInvalidAnswer) {
			break
		}
	}
	if err != nil {
		return ai.Answer{}, explanation, fmt.Errorf("ask provider %s: %w", name, err)
	}
	for _, choice := range answer.Choices {
		topic, err := uuid.Parse(choice.TopicID)
		if err != nil {
			continue
		}
		evidence := schema.TopicEvidence{ID: topic, Words: choice.Words}
		for _, i := range choice.Examples {
			example := examples[postgres.UserTopic{User: owner, Topic: topic}][i]
			evidence.Examples = append(evidence.Examples, example.Document)
		}
		explanation.Topics = append(explanation.Topics, evidence)
	}
	return answer, explanation, nil
}

// examplesPerTopic is the number of examples per topic that are passed to the builtin provider.
// They come from the newest documents whose topics the user set manually.
const examplesPerTopic = 32

// examplesOf returns a function that returns the examples of all topics of the inputs whose
// provider is builtin. It reads them from the database once, when it is first called, and leaves
// out the inputs that are nil by then.
func (c *Classifier) examplesOf(inputs []*input,
) func(context.Context) (map[postgres.UserTopic][]postgres.Example, error) {
	var examples map[postgres.UserTopic][]postgres.Example
	return func(ctx context.Context) (_ map[postgres.UserTopic][]postgres.Example, err error) {
		if examples != nil {
			return examples, nil
		}
		var topics []postgres.UserTopic
		owners := make(map[uuid.UUID]bool)
		for _, in := range inputs {
			if in == nil || owners[in.document.UserID] {
				continue
			}
			owner := in.document.UserID
			if provider, _ := c.choose(in.settings); provider != builtin.Provider {
				continue
			}
			owners[owner] = true
			for _, t := range in.topics {
				topics = append(topics, postgres.UserTopic{User: owner, Topic: t.ID})
			}
		}
		examples, err = c.db.Examples(ctx, topics, examplesPerTopic)
		return examples, err
	}
}

// writableFor is how long PostgreSQL is expected to accept writes after it has accepted one.
const writableFor = time.Second

// call makes one call to the provider if its circuit breaker and the owner's daily limit allow it.
func (c *Classifier) call(
	ctx context.Context, owner uuid.UUID, name string, request ai.Request,
) (ai.Answer, error) {
	b := c.breakers[name]
	// The builtin provider runs in this process, so the lanes are limit enough. A text in a batch must
	// not wait for documents that are compared with many topics.
	if name != builtin.Provider {
		select { // waiting calls proceed in the order of their arrival
		case b.slots <- struct{}{}:
			defer func() { <-b.slots }()
		case <-ctx.Done():
			return ai.Answer{}, ctx.Err()
		}
	}
	began := time.Now()
	if wait := b.allow(began); wait > 0 {
		return ai.Answer{}, c.postpone(name, wait)
	}
	err := c.db.Writable(ctx, writableFor) // otherwise the answer could not be stored
	if err == nil {
		err = c.count(ctx, owner, name)
	}
	if err != nil {
		b.record(began, began, context.Canceled) // no call was made
		return ai.Answer{}, err
	}
	answer, err := c.config.Providers[name].Classify(ctx, request)
	b.record(began, time.Now(), err)
	runner.ObserveAICall(name, time.Since(began), err)
	return answer, err
}

// count counts a call for its owner. It returns a postponement if the owner's daily calls are used
// up.
func (c *Classifier) count(
	ctx context.Context, owner uuid.UUID, provider string,
) error {
	limit := c.config.Limits[provider].DailyCalls
	if limit <= 0 {
		return nil
	}
	now := c.db.EstimatedNow()
	ok, err := c.db.CountAICall(ctx, owner, limit, now)
	if err != nil || ok {
		return err
	}
	if c.dailyLimits.add(owner, now) {
		c.log.Warn("daily limit of AI calls reached; the user's documents wait for the next day",
			"user_id", owner, "calls", limit)
	}
	return runner.Postpone(errDailyLimit, untilTomorrow(now))
}

// choose returns the names of the provider and the model for a user's settings. Each is the user's
// choice, or else the default.
func (c *Classifier) choose(s Settings) (provider, model string) {
	return cmp.Or(s.Provider, c.config.DefaultProvider), cmp.Or(s.Model, c.config.DefaultModel)
}

// topicsOf returns the topics of a document according to an answer. It creates the topics that the
// answer suggests, as topics of the document's owner, and includes them. For a document with locked
// topics it ignores suggestions.
func (c *Classifier) topicsOf(
	ctx context.Context, in *input, answer ai.Answer,
) ([]schema.DocumentTopic, error) {
	topics := chosen(answer, in.topics)
	if in.document.TopicsLocked {
		return topics, nil
	}
	proposed, err := proposedTopics(answer.Suggested)
	if err != nil || len(proposed) == 0 {
		return topics, err
	}
	suggested, err := c.db.SuggestTopics(ctx, in.document.UserID, proposed)
	if err != nil {
		return nil, err
	}
	c.publisher.Hint(schema.HintTopics, in.document.UserID)
	for _, t := range suggested {
		same := func(has schema.DocumentTopic) bool { return has.TopicID == t.ID }
		if !slices.ContainsFunc(topics, same) {
			topics = append(topics, schema.DocumentTopic{TopicID: t.ID, Confidence: SuggestedConfidence})
		}
	}
	return topics, nil
}

// proposedTopics returns new topics for the valid ones of the names, up to llm.MaxSuggested.
func proposedTopics(names []string) ([]schema.Topic, error) {
	var topics []schema.Topic
	for _, suggested := range names {
		name, ok := llm.CleanName(suggested)
		if !ok || len(topics) == llm.MaxSuggested {
			continue
		}
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("create topic id: %w", err)
		}
		topics = append(topics, schema.Topic{ID: id, Name: name})
	}
	return topics, nil
}

// chosen returns the topics in the answer that were part of the request, each once.
func chosen(answer ai.Answer, topics []schema.Topic) []schema.DocumentTopic {
	asked := make(map[uuid.UUID]bool, len(topics))
	for _, t := range topics {
		asked[t.ID] = true
	}
	result := []schema.DocumentTopic{}
	for _, choice := range answer.Choices {
		id, err := uuid.Parse(choice.TopicID)
		if err != nil || !asked[id] {
			continue
		}
		asked[id] = false
		confidence := min(100, max(0, choice.Confidence))
		result = append(result, schema.DocumentTopic{TopicID: id, Confidence: confidence})
	}
	return result
}

// untilTomorrow returns the delay until shortly after the start of the next UTC day, but at most
// about an hour: the limit may be raised in the meantime.
func untilTomorrow(now time.Time) time.Duration {
	tomorrow := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	return min(tomorrow.Sub(now)+rand.N(time.Minute), time.Hour+rand.N(time.Minute))
}
