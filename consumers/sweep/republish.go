package sweep

import (
	"context"
	"time"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/schema"
)

// republishBatch is how many documents are published again at once.
const republishBatch = 256

// republish publishes the events that have been unpublished for RepublishAfter. Their
// message ids stay the same: where one was stored after all, the stream drops the
// second.
func (s *Sweeper) republish(ctx context.Context, now time.Time) error {
	for ctx.Err() == nil {
		documents, err := s.db.UnpublishedDocuments(ctx, now.Add(-s.config.RepublishAfter), republishBatch)
		if err != nil || len(documents) == 0 {
			return err
		}
		if err := s.publish(ctx, "republished", documents); err != nil {
			return err
		}
	}
	return nil
}

// republishUnclassified publishes the events again of uploaded documents whose events
// are lost, with a stream that was lost or deleted. While classify has anything to
// do, a document that waits may just be waiting for its turn.
func (s *Sweeper) republishUnclassified(ctx context.Context, now time.Time) error {
	documents, err := s.db.UnclassifiedDocuments(ctx, now, s.config.RepublishAfter, republishBatch)
	if err != nil || len(documents) == 0 {
		return err
	}
	idle, err := s.streams.Idle(ctx, schema.StreamDocuments, schema.ConsumerClassify)
	if err != nil || !idle {
		return err
	}
	// Some may have been classified between the two queries.
	documents, err = s.db.UnclassifiedDocuments(ctx, now, s.config.RepublishAfter, republishBatch)
	if err != nil || len(documents) == 0 {
		return err
	}
	ids := make([]uuid.UUID, len(documents))
	for i, d := range documents {
		ids[i] = d.ID
	}
	if documents, err = s.db.MarkUnpublished(ctx, ids); err != nil {
		return err
	}
	return s.publish(ctx, "unclassified", documents)
}

// publish publishes the documents' events. The label is that of the metric.
func (s *Sweeper) publish(ctx context.Context, label string, documents []schema.Document) error {
	published, err := s.publisher.Publish(ctx, documents)
	if err != nil {
		return err
	}
	runner.CountSweeperActions(label, published)
	s.log.Info("events published again", "documents", published)
	return nil
}
