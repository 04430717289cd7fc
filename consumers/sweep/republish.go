package sweep

import (
	"context"
	"time"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/schema"
)

// republishBatch is the number of documents per batch.
const republishBatch = 256

// republish publishes the events that have been unpublished for Config.RepublishAfter. The message
// ids do not change, so if an event is in the stream already, the stream drops the duplicate.
func (s *Sweeper) republish(ctx context.Context, now time.Time) error {
	for ctx.Err() == nil {
		before := now.Add(-s.config.RepublishAfter)
		documents, err := s.db.UnpublishedDocuments(ctx, before, republishBatch)
		if err != nil || len(documents) == 0 {
			return err
		}
		if err := s.publish(ctx, "republished", documents); err != nil {
			return err
		}
	}
	return nil
}

// republishUnclassified publishes again the events of uploaded documents that classify never
// received, for example because the stream was deleted. It does so only while classify is idle:
// otherwise the event may still be waiting in the stream.
func (s *Sweeper) republishUnclassified(ctx context.Context, now time.Time) error {
	documents, err := s.db.UnclassifiedDocuments(ctx, now, s.config.RepublishAfter, republishBatch)
	if err != nil || len(documents) == 0 {
		return err
	}
	idle, err := s.streams.Idle(ctx, schema.StreamDocuments, schema.ConsumerClassify)
	if err != nil || !idle {
		return err
	}
	// Some documents may have been classified between the query and the check.
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

// publish publishes the documents' events and counts them under kind in the metrics.
func (s *Sweeper) publish(ctx context.Context, kind string, documents []schema.Document) error {
	published, err := s.publisher.Publish(ctx, documents)
	if err != nil {
		return err
	}
	runner.CountSweeperActions(kind, published)
	s.log.Info("republished events", "documents", published)
	return nil
}
