package sweep

import (
	"context"
	"time"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/schema"
)

const (
	// republishBatch is the number of documents per batch.
	republishBatch = 256
	// republishWindow is the number of each user's oldest unclassified documents whose events are
	// published again. A user's documents are classified in about the order of their ids, so the
	// others are not expected to be classified yet. This bounds the additional load of a long backlog,
	// in which events are delayed but not lost.
	republishWindow = 256
	// parkedWindow is the number of each user's oldest parked documents whose events are published
	// again in each round. If the provider is still unavailable, they are parked again.
	parkedWindow = 1000
)

// republish publishes the events that have been unpublished for Config.RepublishAfter. The message
// ids do not change, so if an event is in the stream already, the stream drops the duplicate.
func (s *Sweeper) republish(ctx context.Context) error {
	var last schema.Document // those that cannot be marked as published are left to the next round
	for ctx.Err() == nil {
		documents, err := s.db.UnpublishedDocuments(ctx, s.config.RepublishAfter, last, republishBatch)
		if err != nil || len(documents) == 0 {
			return err
		}
		if err := s.publish(ctx, "republished", documents); err != nil {
			return err
		}
		last = documents[len(documents)-1]
	}
	return nil
}

// republishUnclassified publishes again the events of uploaded documents that are overdue, because
// classify may never have received them, for example if the stream was deleted, and those of parked
// documents that are due. It decides by each
// document's own age. If the event is only delayed, classify acknowledges the second event without
// classifying the document again.
//
// Each round reads all unclassified documents if they are few. Otherwise it reads them at most once
// per Config.RepublishAfter.
func (s *Sweeper) republishUnclassified(ctx context.Context) error {
	if s.manyUnclassified && time.Since(s.scannedUnclassified) < s.config.RepublishAfter {
		return nil
	}
	s.scannedUnclassified, s.manyUnclassified = time.Now(), false
	ofUser, parkedOf := make(map[uuid.UUID]int), make(map[uuid.UUID]int)
	var overdue []uuid.UUID
	for after := uuid.Nil; ctx.Err() == nil; {
		documents, next, err := s.db.UnclassifiedDocuments(ctx, s.config.RepublishAfter, after, page)
		if err != nil {
			return err
		}
		for _, d := range documents {
			ofUser[d.UserID]++
			if d.Parked {
				parkedOf[d.UserID]++
			}
			if d.Overdue && ofUser[d.UserID] <= republishWindow ||
				d.Parked && parkedOf[d.UserID] <= parkedWindow {
				overdue = append(overdue, d.ID)
			}
		}
		lastPage := next == uuid.Nil
		for len(overdue) >= republishBatch || (len(overdue) > 0 && lastPage) {
			n := min(republishBatch, len(overdue))
			if err := s.republishAgain(ctx, overdue[:n]); err != nil {
				return err
			}
			overdue = overdue[n:]
		}
		if lastPage {
			break
		}
		after, s.manyUnclassified = next, true
	}
	return ctx.Err()
}

// republishAgain publishes the events of published documents again, under new message ids.
func (s *Sweeper) republishAgain(ctx context.Context, ids []uuid.UUID) error {
	documents, err := s.db.MarkUnpublished(ctx, ids)
	if err != nil {
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
