package classify

import (
	"context"
	"errors"
	"slices"

	"intray/consumers/runner"
	"intray/schema"
)

// HandleReplay is Handle for events that an operator replays: it also classifies
// documents that were classified before, and those that failed.
//
// A document keeps its status and its topics while the AI is asked, and for good
// where the AI gives no answer: then the message becomes a dead letter. Topics
// that a person set stay as they are. A result that is the same as before changes
// nothing.
func (c *Classifier) HandleReplay(
	ctx context.Context, batch []runner.Message[schema.DocumentEvent],
) []error {
	errs := make([]error, len(batch))
	for i, m := range batch {
		errs[i] = c.handle(ctx, m, c.reclassify)
	}
	return errs
}

var (
	errChangedMeanwhile = errors.New("the document was changed meanwhile")
	errNoAnswer         = errors.New("the AI gave no answer in any attempt")
)

// reclassify classifies a document that was classified or has failed.
func (c *Classifier) reclassify(ctx context.Context, in input) error {
	d := in.document
	switch {
	case d.Status == schema.StatusUploaded: // its first classification is still due
		return c.classify(ctx, in)
	case d.Status != schema.StatusFailed && d.Status != schema.StatusClassified,
		d.Status == schema.StatusClassified && d.TopicsLocked:
		return nil
	}
	before, err := c.db.DocumentTopics(ctx, d.ID)
	if err != nil {
		return err
	}
	decide, err := c.decide(ctx, in, c.extractAtOnce)
	if err != nil || decide == nil {
		return err
	}
	var refused error
	err = c.transition(ctx, d.ID, func(current *schema.Document, q *schema.Quota) schema.Decision {
		var decision schema.Decision
		if refused = nil; current.Version != d.Version {
			refused = errChangedMeanwhile
		} else {
			decision, refused = decide.again(current, q, before)
		}
		return decision
	})
	if err != nil {
		return err
	}
	return refused
}

// again carries out the decision on a document that was classified or has failed,
// whose topics were before. It changes nothing where the result is the same or
// worse, and fails where the AI gave no answer.
func (decide decision) again(d *schema.Document, q *schema.Quota, before []schema.DocumentTopic,
) (schema.Decision, error) {
	after, now := *d, schema.Now()
	after.Reclassify(now)
	result := decide(&after, q, now)
	switch {
	case after.Reason == schema.ReasonAIUnavailable:
		return schema.Decision{}, runner.Permanent(errNoAnswer)
	case after.Status == schema.StatusFailed && d.Status == schema.StatusClassified:
		return schema.Decision{}, nil
	case sameResult(d, &after) && sameTopics(before, result.Topics):
		return schema.Decision{}, nil
	}
	*d = after
	return result, nil
}

func sameResult(a, b *schema.Document) bool {
	return a.Status == b.Status && a.Reason == b.Reason && a.Provider == b.Provider &&
		a.Model == b.Model
}

// sameTopics reports whether a decision leaves the topics as they were before; one
// whose topics are nil does not change them.
func sameTopics(before, after []schema.DocumentTopic) bool {
	if after == nil {
		return true
	}
	return len(before) == len(after) && !slices.ContainsFunc(after, func(t schema.DocumentTopic) bool {
		return !slices.Contains(before, t)
	})
}
