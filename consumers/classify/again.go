package classify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/uuid"

	"intray/consumers/classify/extract"
	"intray/consumers/runner"
	"intray/schema"
)

// HandleAgain is Handle for events that an operator replays: it classifies
// documents that were classified before, and takes up those that failed.
//
// A document keeps its status and its topics while the AI is asked, and for good
// where the AI gives no answer: then the message becomes a dead letter. Topics that
// a person set stay as they are. What comes out as it was changes nothing.
func (c *Classifier) HandleAgain(ctx context.Context, batch []runner.Message[schema.DocumentEvent]) []error {
	errs := make([]error, len(batch))
	for i, m := range batch {
		errs[i] = c.classifyAgain(ctx, m.Event.DocumentID, m.Attempts)
	}
	return errs
}

// errMeanwhile says that a document was changed while the AI was asked.
var errMeanwhile = errors.New("it was changed meanwhile")

func (c *Classifier) classifyAgain(ctx context.Context, id uuid.UUID, tries int) error {
	document, settings, topics, err := c.db.ClassifyInput(ctx, id)
	if errors.Is(err, &schema.Error{Code: schema.CodeNotFound}) {
		return nil // it has ended
	}
	if err != nil {
		return fmt.Errorf("classify document %s again: %w", id, err)
	}
	if document.Status == schema.StatusUploaded {
		return c.classify(ctx, id, tries) // it waits for its first time
	}
	if document.Status != schema.StatusFailed && (document.Status != schema.StatusClassified || document.TopicsLocked) {
		return nil
	}
	had, err := c.db.DocumentTopics(ctx, id)
	if err != nil {
		return fmt.Errorf("classify document %s again: %w", id, err)
	}
	whole := func(ctx context.Context, d schema.Document, content io.Reader, size int64) (extract.Result, error) {
		return c.extractor.Text(ctx, content, size, d.ContentType, d.Filename)
	}
	decide, err := c.decide(ctx, document, settings, topics, tries, whole)
	if err != nil {
		return fmt.Errorf("classify document %s again: %w", id, err)
	}
	if decide == nil {
		return nil
	}
	var outcome error
	changed, err := c.db.Transition(ctx, []uuid.UUID{id}, func(d *schema.Document, q *schema.Quota) schema.Decision {
		outcome = nil
		if d.Version != document.Version {
			outcome = errMeanwhile
			return schema.Decision{}
		}
		after := *d
		now := schema.Now()
		after.Reclassify(now)
		decision := decide(&after, q, now)
		switch {
		case after.Reason == schema.ReasonAIUnavailable:
			outcome = runner.Permanent(errors.New("the AI gave no answer in every try"))
			return schema.Decision{}
		case after.Status == schema.StatusFailed && d.Status == schema.StatusClassified,
			after.Status == d.Status && after.Reason == d.Reason && after.Provider == d.Provider &&
				after.Model == d.Model && same(had, decision.Topics):
			return schema.Decision{}
		}
		*d = after
		return decision
	})
	if err == nil {
		err = outcome
	}
	if err != nil {
		return fmt.Errorf("classify document %s again: %w", id, err)
	}
	c.publisher.TryPublish(ctx, changed)
	return nil
}

// same says whether the topics found are those that the document has; nil are
// those.
func same(had, found []schema.DocumentTopic) bool {
	if found == nil || len(had) != len(found) {
		return found == nil
	}
	for _, t := range found {
		if !slices.Contains(had, t) {
			return false
		}
	}
	return true
}
