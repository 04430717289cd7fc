package classify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"intray/consumers/classify/builtin"
	"intray/consumers/runner"
	"intray/infra/ai"
	"intray/infra/ai/llm"
	"intray/infra/postgres"
	"intray/schema"
)

// Settings are a user's AI settings, empty where the system's defaults apply.
type Settings = postgres.AISettings

// SuggestedConfidence is the confidence of a topic that the AI made up for the
// document, for which it gives none: below that of a topic it was sure of.
const SuggestedConfidence = 50

// errDailyBound is why a document waits for the next day.
var errDailyBound = fmt.Errorf("%w: the owner's calls of this day are used up", ai.ErrUnavailable)

// hold fails where asking the provider is of no use now: with a postponement
// while it is held back or the owner's calls are used up, and with errPatience
// where the document has waited long enough.
func (c *Classifier) hold(d schema.Document, provider string, now time.Time) error {
	g, ok := c.gates[provider]
	if !ok {
		return fmt.Errorf("%w: this program has no provider %q", ai.ErrUnavailable, provider)
	}
	if c.config.Bounds[provider].Daily > 0 && c.spent.on(d.UserID, now) {
		return runner.Postpone(errDailyBound, untilTomorrow(now))
	}
	wait, since := g.shut(now)
	if wait == 0 {
		return nil
	}
	if patient := now.Add(-c.config.Patience); since.Before(patient) && d.ChangedAt.Before(patient) && !since.IsZero() {
		return fmt.Errorf("provider %s: %w", provider, errPatience)
	}
	return c.heldBack(provider, wait)
}

// heldBack postpones a document of a provider that is not to be called for a
// while, with some more so that what waits does not come back together.
func (c *Classifier) heldBack(provider string, wait time.Duration) error {
	return runner.Postpone(fmt.Errorf("%w: %s is held back", ai.ErrUnavailable, provider),
		wait+rand.N(wait/2+c.config.MinDelay+1))
}

// ask asks the provider that the owner's settings, or else the defaults, name,
// and once more if the answer cannot be used.
func (c *Classifier) ask(ctx context.Context, d schema.Document, text string, settings Settings, topics []schema.Topic,
) (answer ai.Answer, err error) {
	name, model := c.choose(settings)
	request := ai.Request{
		Model: model, SystemPrompt: c.config.SystemPrompt,
		Filename: d.Filename, Text: text, Topics: make([]ai.Topic, len(topics)),
	}
	for i, t := range topics {
		request.Topics[i] = ai.Topic{ID: t.ID.String(), Name: t.Name, Description: t.Description, Keywords: t.Keywords}
	}
	if name == builtin.Provider {
		if err := c.teach(ctx, d.UserID, topics, request.Topics); err != nil {
			return ai.Answer{}, err
		}
	}
	const asks = 2
	for range asks {
		answer, err = c.call(ctx, d.UserID, name, request)
		if !errors.Is(err, ai.ErrInvalidAnswer) {
			break
		}
	}
	if err != nil {
		return ai.Answer{}, fmt.Errorf("ask provider %s: %w", name, err)
	}
	return answer, nil
}

// examplesPerTopic is how many of the newest documents that a user has sorted into a
// topic by hand are shown to a provider that learns.
const examplesPerTopic = 32

// teach gives the topics of a request the examples that the user has set by hand.
func (c *Classifier) teach(ctx context.Context, user uuid.UUID, topics []schema.Topic, asked []ai.Topic) error {
	ids := make([]uuid.UUID, len(topics))
	for i, t := range topics {
		ids[i] = t.ID
	}
	examples, err := c.db.Examples(ctx, user, ids, examplesPerTopic)
	if err != nil {
		return err
	}
	for i, id := range ids {
		asked[i].Examples = examples[id]
	}
	return nil
}

// call makes one call, if the provider's gate and the owner's bound let it.
func (c *Classifier) call(ctx context.Context, owner uuid.UUID, name string, request ai.Request) (ai.Answer, error) {
	g := c.gates[name]
	select { // in the order in which they came
	case g.calls <- struct{}{}:
		defer func() { <-g.calls }()
	case <-ctx.Done():
		return ai.Answer{}, ctx.Err()
	}
	began := time.Now()
	if wait := g.enter(began); wait > 0 {
		return ai.Answer{}, c.heldBack(name, wait)
	}
	if err := c.count(ctx, owner, name, began); err != nil {
		g.leave(began, began, context.Canceled) // nobody was called
		return ai.Answer{}, err
	}
	answer, err := c.config.Providers[name].Classify(ctx, request)
	g.leave(began, time.Now(), err)
	runner.AICalled(name, time.Since(began), err)
	return answer, err
}

// count counts a call on its owner, and fails where the day's are used up.
func (c *Classifier) count(ctx context.Context, owner uuid.UUID, provider string, now time.Time) error {
	limit := c.config.Bounds[provider].Daily
	if limit <= 0 {
		return nil
	}
	ok, err := c.db.CountAICall(ctx, owner, limit, now)
	if err != nil || ok {
		return err
	}
	if c.spent.mark(owner, now) {
		c.log.Warn("documents of a user wait for the next day: the daily bound is reached", "user_id", owner, "calls", limit)
	}
	return runner.Postpone(errDailyBound, untilTomorrow(now))
}

// choose returns the provider's name and the model for a user's settings, each by
// itself the user's or else the default.
func (c *Classifier) choose(s Settings) (provider, model string) {
	return cmp.Or(s.Provider, c.config.DefaultProvider), cmp.Or(s.Model, c.config.DefaultModel)
}

// found returns the topics that an answer gives the document, those that it
// suggests among them, which become its owner's. A document whose topics a person
// has set suggests none.
func (c *Classifier) found(ctx context.Context, d schema.Document, answer ai.Answer, topics []schema.Topic) ([]schema.DocumentTopic, error) {
	found := chosen(answer, topics)
	if d.TopicsLocked {
		return found, nil
	}
	var proposed []schema.Topic
	for _, s := range answer.Suggested {
		name, ok := llm.CleanName(s)
		if !ok || len(proposed) == llm.MaxSuggested {
			continue
		}
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make a topic id: %w", err)
		}
		proposed = append(proposed, schema.Topic{ID: id, Name: name})
	}
	if len(proposed) == 0 {
		return found, nil
	}
	named, err := c.db.SuggestTopics(ctx, d.UserID, proposed)
	if err != nil {
		return nil, err
	}
	has := make(map[uuid.UUID]bool)
	for _, t := range found {
		has[t.TopicID] = true
	}
	for _, t := range named {
		if !has[t.ID] {
			has[t.ID] = true
			found = append(found, schema.DocumentTopic{TopicID: t.ID, Confidence: SuggestedConfidence})
		}
	}
	return found, nil
}

// chosen returns the topics of the answer that the document was asked about,
// each once.
func chosen(answer ai.Answer, topics []schema.Topic) []schema.DocumentTopic {
	asked := make(map[uuid.UUID]bool, len(topics))
	for _, t := range topics {
		asked[t.ID] = true
	}
	found := []schema.DocumentTopic{}
	for _, choice := range answer.Choices {
		id, err := uuid.Parse(choice.TopicID)
		if err != nil || !asked[id] {
			continue
		}
		asked[id] = false
		found = append(found, schema.DocumentTopic{TopicID: id, Confidence: min(100, max(0, choice.Confidence))})
	}
	return found
}

// spent remembers whose calls of a day are used up, so that their documents are
// not read for nothing.
type spent struct {
	mu    sync.Mutex
	day   string
	users map[uuid.UUID]bool
}

func (s *spent) on(user uuid.UUID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.day == now.UTC().Format(time.DateOnly) && s.users[user]
}

// mark says whether it is the first of the user and day.
func (s *spent) mark(user uuid.UUID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if day := now.UTC().Format(time.DateOnly); s.day != day {
		s.day, s.users = day, make(map[uuid.UUID]bool)
	}
	first := !s.users[user]
	s.users[user] = true
	return first
}

// untilTomorrow is the wait of a document until the next UTC day has begun. It is
// an hour at most: after that it is looked at again, should the bound have been
// raised.
func untilTomorrow(now time.Time) time.Duration {
	tomorrow := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	return min(tomorrow.Sub(now)+rand.N(time.Minute), time.Hour+rand.N(time.Minute))
}
