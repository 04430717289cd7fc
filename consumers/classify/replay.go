package classify

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/consumers/classify/builtin"
	"intray/consumers/runner"
	"intray/schema"
)

// HandleReplay handles events that an operator replays. In contrast to Handle, it also classifies
// documents that are classified or failed already.
//
// A document keeps its status and topics until there is a new answer. If no attempt gets an answer,
// the message is dead-lettered and the document stays as it is. Topics that were set manually are
// kept. A result equal to the previous one changes nothing.
func (c *Classifier) HandleReplay(
	ctx context.Context, batch []runner.Message[schema.DocumentEvent],
) []error {
	errs := make([]error, len(batch))
	for i, m := range batch {
		id := m.Event.DocumentID
		inputs, err := c.inputs(ctx, batch[i:i+1])
		if err == nil && inputs[0] != nil {
			err = c.reclassify(ctx, inputs[0])
		}
		errs[i] = documentError(id, err)
	}
	return errs
}

var (
	errChangedMeanwhile = errors.New("document changed during its classification")
	errNoAnswer         = errors.New("no attempt got an answer from the AI provider")
)

// reclassify classifies a document that is classified or failed already. Of a classified document
// whose topics are locked, it renews only the example: that is what the provider learns from. It
// skips such a document if the provider does not learn.
func (c *Classifier) reclassify(ctx context.Context, in *input) error {
	d := in.document
	switch {
	case d.Status == schema.StatusUploaded: // not classified yet
		return c.classify(ctx, ctx, []*input{in}, c.extractDirectly)[0]
	case d.Status != schema.StatusFailed && d.Status != schema.StatusClassified,
		d.Status == schema.StatusClassified && d.TopicsLocked && !c.learns(in):
		return nil
	}
	before, err := c.db.DocumentTopics(ctx, d.ID)
	if err != nil {
		return err
	}
	decide, err := c.decide(ctx, in, c.extractDirectly)
	if err != nil || decide == nil {
		return err
	}
	var refused error
	changed, err := c.transition(ctx, []uuid.UUID{d.ID}, decide.withQuota,
		func(current *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
			var decision schema.Decision
			if refused = nil; current.Version != d.Version {
				refused = errChangedMeanwhile
			} else {
				decision, refused = decide.reapply(current, q, before, now)
			}
			return decision
		})
	if err != nil {
		return err
	}
	c.publisher.TryPublish(ctx, changed)
	return refused
}

// learns reports whether the provider of a document learns from examples.
func (c *Classifier) learns(in *input) bool {
	provider, _ := c.choose(in.settings)
	return provider == builtin.Provider
}

// reapply applies the decision to a document that is classified or failed. before contains the
// document's topics. If the result is the same, or would turn a classified document into a failed
// one, reapply changes nothing. It returns an error if there was no answer.
func (decide *decision) reapply(
	d *schema.Document, q *schema.Quota, before []schema.DocumentTopic, now time.Time,
) (schema.Decision, error) {
	after := *d
	after.Reclassify(now)
	result := decide.decide(&after, q, now)
	switch {
	case after.Reason == schema.ReasonAIUnavailable:
		return schema.Decision{}, runner.Permanent(errNoAnswer)
	case after.Status == schema.StatusFailed && d.Status == schema.StatusClassified:
		return schema.Decision{}, nil
	case d.Status == schema.StatusClassified && d.TopicsLocked,
		sameResult(d, &after) && sameTopics(before, result.Topics):
		return schema.Decision{Example: result.Example}, nil
	}
	*d = after
	return result, nil
}

// sameResult reports whether two versions of a document have the same status, reason, provider and
// model.
func sameResult(a, b *schema.Document) bool {
	return a.Status == b.Status && a.Reason == b.Reason && a.Provider == b.Provider &&
		a.Model == b.Model
}

// sameTopics reports whether a decision leaves a document's topics unchanged: after holds the
// topics of the decision, and is nil if the decision does not set any.
func sameTopics(before, after []schema.DocumentTopic) bool {
	if after == nil {
		return true
	}
	return len(before) == len(after) && !slices.ContainsFunc(after, func(t schema.DocumentTopic) bool {
		return !slices.Contains(before, t)
	})
}
